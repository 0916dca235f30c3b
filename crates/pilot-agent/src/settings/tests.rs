//! How flags, environment and files come together.

use clap::Parser;

use super::*;
use crate::args::{Cli, Command};

fn flags(more: &[&str]) -> ProxyFlags {
    let args = ["pilot-agent", "proxy", "--meshConfig", "/nonexistent"].iter().chain(more);
    match Cli::try_parse_from(args).unwrap().command {
        Command::Proxy(flags) => *flags,
        other => panic!("{other:?}"),
    }
}

fn settings(more: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Settings> {
    Settings::gather(&flags(more), Environment::from_pairs(env.iter().copied()), false)
}

#[test]
fn a_bound_proxy_has_one_address_and_a_node_of_its_own() {
    let env = [("POD_NAME", "web"), ("POD_NAMESPACE", "ns"), ("ISTIO_META_DNS_CAPTURE", "true")];
    let settings = settings(&["--bindAddress", "127.21.0.7"], &env).unwrap();
    assert_eq!(settings.place.node_id(), "sidecar~127.21.0.7~web.ns~ns.svc.cluster.local");
    assert_eq!(settings.localhost().to_string(), "127.21.0.7");
    assert!(settings.serves_dns());
    let node = settings.node();
    assert_eq!(node.text("INSTANCE_IPS"), "127.21.0.7");
    assert_eq!(node.metadata["PILOT_SAN"], serde_json::json!(["istiod.istio-system.svc"]));
}

#[test]
fn explicit_concurrency_beats_the_cpu_limit() {
    let limit = ("ISTIO_CPU_LIMIT", "3");
    let number =
        |more: &[&str], env: &[(&str, &str)]| settings(more, env).unwrap().proxy_config.number("concurrency");
    assert_eq!(number(&[], &[]), None);
    assert_eq!(number(&[], &[limit]), Some(3));
    assert_eq!(number(&[], &[limit, ("PROXY_CONFIG", "concurrency: 0")]), Some(0));
    assert_eq!(number(&["--concurrency", "5"], &[limit, ("PROXY_CONFIG", "concurrency: 1")]), Some(5));
}

#[test]
fn contradictions_are_refused() {
    assert!(settings(&[], &[("PROV_CERT", "/x"), ("FILE_MOUNTED_CERTS", "true")]).is_err());
    assert!(settings(&[], &[("ECC_SIGNATURE_ALGORITHM", "ED25519")]).is_err());
    assert!(settings(&[], &[("WORKLOAD_IDENTITY_SOCKET_FILE", "a/b")]).is_err());
    assert!(settings(&[], &[("WORKLOAD_IDENTITY_SOCKET_FILE", "absent")]).is_err());
    assert!(settings(&[], &[("PROXY_CONFIG", "[]")]).is_err());
}

#[test]
fn keys_are_of_the_kind_that_is_asked_for() {
    let key = |env: &[(&str, &str)]| settings(&[], env).unwrap().security.issue.key;
    assert_eq!(key(&[]), crate::sds::KeyKind::Rsa(2048));
    assert_eq!(key(&[("ECC_SIGNATURE_ALGORITHM", "ECDSA")]), crate::sds::KeyKind::P256);
    assert_eq!(
        key(&[("ECC_SIGNATURE_ALGORITHM", "ECDSA"), ("ECC_CURVE", "P384")]),
        crate::sds::KeyKind::P384
    );
}
