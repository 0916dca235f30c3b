//! Files of the right shape, and tokens that the control plane's rule accepts.

use std::os::unix::fs::PermissionsExt as _;
use std::time::SystemTime;

use identity::token::{KeySet, Verifier};

use super::Credentials;

#[test]
fn a_workloads_token_is_accepted_by_the_rule_given_to_the_control_plane() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = Credentials::make(&directory.path().join("cacerts"), "cluster.local").unwrap();
    let agent = directory.path().join("agent");
    credentials.equip(&agent, "default", "bookinfo-reviews").unwrap();
    let path = agent.join("var/run/secrets/tokens/istio-token");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(path).unwrap();
    let rule: serde_json::Value = serde_json::from_str(&credentials.jwt_rule()).unwrap();
    let keys = KeySet::from_jwks(rule["jwks"].as_str().unwrap()).unwrap();
    let verifier = Verifier {
        issuer: rule["issuer"].as_str().unwrap().to_owned(),
        audiences: vec!["istio-ca".to_owned()],
    };
    let claims = verifier.verify(&token, &keys, SystemTime::now()).unwrap();
    assert_eq!((claims.namespace.as_str(), claims.service_account.as_str()), ("default", "bookinfo-reviews"));
}

#[test]
fn the_cas_files_are_complete_and_private() {
    let directory = tempfile::tempdir().unwrap();
    Credentials::make(directory.path(), "cluster.local").unwrap();
    for name in ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"] {
        let text = std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(text.starts_with("-----BEGIN"), "{name}");
    }
    let mode = std::fs::metadata(directory.path().join("ca-key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
