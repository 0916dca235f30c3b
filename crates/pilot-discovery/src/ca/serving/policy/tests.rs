//! What is spoken under which policy, as a handshake in memory has it.

use identity::Authority;
use identity::authority::{Limits, Request, San, SelfSigned};
use identity::csr::PublicKey;
use identity::key::PrivateKey;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection,
};

use super::*;

type Spoken = (ProtocolVersion, CipherSuite, NamedGroup);

/// What a client with every version and suite, or only TLS 1.2, speaks with a server of this policy.
fn spoken(policy: &Policy, newest: &'static SupportedProtocolVersion) -> Result<Spoken, rustls::Error> {
    let now = std::time::SystemTime::now();
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("ca") };
    let ca = Authority::self_signed(&options, Limits::default(), now).unwrap();
    let key = PrivateKey::generate(policy.key()).unwrap();
    let sans = [San::Dns("localhost".into())];
    let wanted = Request { key: &PublicKey::of(&key), sans: &sans, ttl: None, labels: None };
    let leaf = ca.sign(&wanted, now).unwrap().der().clone();
    let server = ServerConfig::builder_with_provider(policy.provider.clone())
        .with_protocol_versions(&policy.versions)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key.to_rustls())?;
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate().der().clone()).unwrap();
    let versions: &[_] = if newest == &TLS13 { &[&TLS13, &TLS12] } else { &[&TLS12] };
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConnection::new(Arc::new(server))?;
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from("localhost").unwrap())?;
    for _ in 0..8 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let group = server.negotiated_key_exchange_group().unwrap().name();
    Ok((server.protocol_version().unwrap(), server.negotiated_cipher_suite().unwrap().suite(), group))
}

fn policy(suites: &str, min_version: &str, compliance: &str) -> Policy {
    Policy::new(suites, min_version, compliance).unwrap().0
}

#[test]
fn flags_choose_versions_and_suites() {
    let (version, ..) = spoken(&Policy::default(), &TLS13).unwrap();
    assert_eq!(version, ProtocolVersion::TLSv1_3);
    assert_eq!(spoken(&policy("", "1.2", ""), &TLS12).unwrap().0, ProtocolVersion::TLSv1_2);
    assert!(spoken(&policy("", "1.3", ""), &TLS12).is_err());
    for suite in [
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ] {
        let chosen = policy(&format!("TLS_RSA_WITH_RC4_128_SHA, {suite:?}"), "", "");
        assert_eq!(spoken(&chosen, &TLS12).unwrap().1, suite);
        assert_eq!(
            spoken(&chosen, &TLS13).unwrap().0,
            ProtocolVersion::TLSv1_3,
            "it says nothing of TLS 1.3"
        );
    }
}

#[test]
fn a_policy_has_the_last_word() {
    let (version, suite, group) = spoken(&policy("", "1.3", "fips-140-2"), &TLS13).unwrap();
    assert_eq!((version, group), (ProtocolVersion::TLSv1_2, NamedGroup::secp256r1));
    assert!(format!("{suite:?}").contains("AES"));
    let (version, suite, group) = spoken(&policy("", "", "fips-140-3"), &TLS13).unwrap();
    assert_eq!(version, ProtocolVersion::TLSv1_3);
    assert!(format!("{suite:?}").contains("AES"), "{suite:?}");
    assert!(matches!(group, NamedGroup::secp256r1 | NamedGroup::secp384r1), "{group:?}");
    let (version, _, group) = spoken(&policy("", "", "pqc"), &TLS13).unwrap();
    assert_eq!((version, group), (ProtocolVersion::TLSv1_3, NamedGroup::X25519MLKEM768));
    assert!(spoken(&policy("", "", "pqc"), &TLS12).is_err());
}

#[test]
fn what_cannot_be_is_told() {
    for (suites, min, why) in [
        ("TLS_NONSENSE", "", "TLS_NONSENSE"),
        ("TLS_RSA_WITH_RC4_128_SHA", "", "none of them"),
        ("", "1.1", "--tls-min-version 1.1"),
    ] {
        let error = Policy::new(suites, min, "").unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let told = |suites, compliance| Policy::new(suites, "", compliance).unwrap().1.join(" ");
    assert!(told("TLS_RSA_WITH_RC4_128_SHA,TLS_AES_128_GCM_SHA256", "").contains("too weak"));
    assert!(told("", "fips-140-3").contains("not a validated module"));
    assert!(told("", "fips-9").contains("not known"));
    assert_eq!(told("", "pqc"), "");
}
