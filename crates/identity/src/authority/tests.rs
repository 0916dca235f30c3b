//! Tests of the authority: what it signs is read back by x509-parser, webpki and rustls.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::UnixTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Authority, CLOCK_SKEW, Error, Limits, Parts, PeerLabels, Request, San, SelfSigned};
use crate::bundle::Bundle;
use crate::cert::{self, Certificate, Usage, verify};
use crate::csr::PublicKey;
use crate::key::{Kind, PrivateKey};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn options() -> SelfSigned {
    SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") }
}

fn authority() -> Authority {
    Authority::self_signed(&options(), Limits::default(), now()).unwrap()
}

fn workload(name: &str) -> Vec<San> {
    vec![San::Uri(format!("spiffe://cluster.local/ns/default/sa/{name}"))]
}

fn sign(ca: &Authority, sans: &[San], ttl: Option<Duration>, at: SystemTime) -> Result<Certificate, Error> {
    let key = PublicKey::of(&PrivateKey::generate(Kind::P256).unwrap());
    ca.sign(&Request { key: &key, sans, ttl, labels: None }, at)
}

fn chain(ca: &Authority, leaf: Certificate) -> Vec<Certificate> {
    std::iter::once(leaf).chain(ca.chain().iter().cloned()).collect()
}

#[test]
fn a_workload_certificate_has_upstreams_form() {
    let ca = authority();
    let cert = sign(&ca, &workload("echo"), None, now()).unwrap();
    let (_, x509) = X509Certificate::from_der(cert.der()).unwrap();
    assert_eq!(x509.version().0, 2);
    assert_eq!(x509.subject().iter().count(), 0, "empty subject");
    let names = x509.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical);
    assert_eq!(cert.uris(), ["spiffe://cluster.local/ns/default/sa/echo"]);
    let usage = x509.key_usage().unwrap().unwrap();
    assert!(
        usage.value.digital_signature() && usage.value.key_encipherment() && !usage.value.key_cert_sign()
    );
    let extended = x509.extended_key_usage().unwrap().unwrap();
    assert!(extended.value.server_auth && extended.value.client_auth && !extended.value.any);
    assert!(!x509.basic_constraints().unwrap().unwrap().value.ca);
    assert_eq!(x509.issuer().as_raw(), ca.certificate().subject_der());
    assert_eq!(cert.not_before(), now() - CLOCK_SKEW);
    assert_eq!(cert.not_after(), now() + DAY);
    assert!(x509.raw_serial().len() <= 17);
    let other = sign(&ca, &workload("echo"), None, now()).unwrap();
    assert_ne!(cert.serial(), other.serial());
}

#[test]
fn the_root_has_upstreams_form() {
    let ca = Authority::self_signed(&SelfSigned::of("cluster.local"), Limits::default(), now()).unwrap();
    let root = ca.certificate();
    assert_eq!(root.subject(), "O=cluster.local");
    assert_eq!(ca.key().kind(), Kind::Rsa(2048));
    assert!(root.is_ca() && root.is_self_issued() && ca.is_self_signed() && ca.chain().is_empty());
    assert_eq!(root.not_after(), now() + 3650 * DAY);
    let (_, x509) = X509Certificate::from_der(root.der()).unwrap();
    x509.verify_signature(None).unwrap();
    let usage = x509.key_usage().unwrap().unwrap();
    assert!(usage.value.key_cert_sign() && !usage.value.digital_signature());
}

#[test]
fn webpki_and_rustls_believe_every_kind_of_key() {
    for kind in [Kind::Rsa(2048), Kind::P256, Kind::P384] {
        let options = SelfSigned { key: kind, ..options() };
        let ca = Authority::self_signed(&options, Limits::default(), now()).unwrap();
        for leaf in [Kind::Rsa(2048), Kind::P384] {
            let key = PublicKey::of(&PrivateKey::generate(leaf).unwrap());
            let request = Request { key: &key, sans: &workload("a"), ttl: None, labels: None };
            let cert = ca.sign(&request, now()).unwrap();
            for usage in [Usage::Client, Usage::Server] {
                verify(std::slice::from_ref(&cert), ca.bundle(), usage, now()).unwrap();
            }
            let mut roots = RootCertStore::empty();
            roots.add(ca.certificate().der().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            let at = UnixTime::since_unix_epoch(now().duration_since(UNIX_EPOCH).unwrap());
            verifier.verify_client_cert(cert.der(), &[], at).unwrap();
        }
    }
}

#[test]
fn a_foreign_authority_of_the_same_name_is_not_believed() {
    let (ours, theirs) = (authority(), authority());
    let cert = sign(&theirs, &workload("echo"), None, now()).unwrap();
    let error = verify(&[cert], ours.bundle(), Usage::Client, now()).unwrap_err();
    assert!(matches!(error, cert::Error::Untrusted { .. }), "{error}");
}

#[test]
fn the_ttl_is_honoured_up_to_the_maximum_and_the_life_of_the_root() {
    let ca = authority();
    let hour = sign(&ca, &workload("a"), Some(DAY / 24), now()).unwrap();
    assert_eq!(hour.not_after(), now() + DAY / 24);
    let zero = sign(&ca, &workload("a"), Some(Duration::ZERO), now()).unwrap();
    assert_eq!(zero.not_after(), now() + DAY);
    assert!(sign(&ca, &workload("a"), Some(90 * DAY), now()).is_ok());
    let error = sign(&ca, &workload("a"), Some(91 * DAY), now()).unwrap_err();
    assert_eq!(error.kind(), "TTL_ERROR");
    let late = ca.certificate().not_after() - DAY / 2;
    assert_eq!(sign(&ca, &workload("a"), None, late).unwrap().not_after(), ca.certificate().not_after());
    let error = sign(&ca, &workload("a"), None, ca.certificate().not_after()).unwrap_err();
    assert_eq!(error.kind(), "CA_NOT_READY");
}

#[test]
fn names_that_cannot_stand_in_a_certificate_are_refused() {
    let ca = authority();
    assert!(sign(&ca, &[], None, now()).is_err());
    for bad in ["", "spiffe://a b", "spiffe://a\0b", "spiffe://\u{e9}"] {
        assert!(sign(&ca, &[San::Uri(bad.into())], None, now()).is_err(), "{bad:?}");
    }
}

#[test]
fn server_names_and_addresses_are_believed_by_clients() {
    let ca = authority();
    let sans = [San::Dns("control.mesh.svc".into()), San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    let cert = sign(&ca, &sans, None, now()).unwrap();
    let end = webpki::EndEntityCert::try_from(cert.der()).unwrap();
    for name in ["control.mesh.svc", "127.0.0.1"] {
        end.verify_is_valid_for_subject_name(&name.try_into().unwrap()).unwrap();
    }
    assert!(end.verify_is_valid_for_subject_name(&"other.mesh.svc".try_into().unwrap()).is_err());
}

#[test]
fn rotation_breaks_nobody_before_or_after() {
    let old = authority();
    let before = sign(&old, &workload("a"), None, now()).unwrap();
    let later = now() + DAY;
    let new = old.rotate(&options(), later).unwrap();
    assert_eq!(new.bundle().roots().len(), 2);
    assert_eq!(new.bundle().roots()[0], *new.certificate());
    let after = sign(&new, &workload("a"), None, later).unwrap();
    let (only_old, only_new) =
        (Bundle::new([old.certificate().clone()]), Bundle::new([new.certificate().clone()]));
    for bundle in [&only_old, &only_new, new.bundle()] {
        for cert in [&before, &after] {
            verify(std::slice::from_ref(cert), bundle, Usage::Client, later).unwrap();
        }
    }
    let much_later = old.certificate().not_after() + Duration::from_secs(1);
    let newest = new.rotate(&options(), much_later).unwrap();
    assert!(!newest.bundle().contains(old.certificate()), "an expired root is dropped");
}

#[test]
fn a_root_wants_rotation_when_its_grace_period_begins() {
    let ca = authority();
    let life = 3650 * DAY;
    assert!(!ca.wants_rotation(20, now() + life * 79 / 100));
    assert!(ca.wants_rotation(20, now() + life * 80 / 100));
    assert!(!ca.wants_rotation(0, now() + life - DAY));
    assert!(ca.wants_rotation(0, now() + life));
}

#[test]
fn trusting_the_next_root_comes_before_signing_with_it() {
    let (old, next) = (authority(), authority());
    let bridge = old.trusting(next.bundle());
    let cert = sign(&next, &workload("a"), None, now()).unwrap();
    assert!(verify(std::slice::from_ref(&cert), old.bundle(), Usage::Client, now()).is_err());
    verify(&[cert], bridge.bundle(), Usage::Client, now()).unwrap();
    assert_eq!(bridge.certificate(), old.certificate());
}

#[test]
fn peer_labels_become_organizational_units() {
    let ca = authority();
    let key = PublicKey::of(&PrivateKey::generate(Kind::P256).unwrap());
    let labels = PeerLabels {
        workload: "sleep-v1".into(),
        canonical_service: "s".repeat(80),
        canonical_revision: "v1,OU=w:admin".into(),
        cluster: "Kubernetes".into(),
        app: String::new(),
        version: "v1".into(),
    };
    let sans = workload("sleep");
    let cert = ca.sign(&Request { key: &key, sans: &sans, ttl: None, labels: Some(&labels) }, now()).unwrap();
    let (_, x509) = X509Certificate::from_der(cert.der()).unwrap();
    let units: Vec<&str> = x509.subject().iter_organizational_unit().map(|u| u.as_str().unwrap()).collect();
    let cut = format!("cs:{}", "s".repeat(61));
    assert_eq!(units, ["w:sleep-v1", cut.as_str(), "c:Kubernetes", "v:v1"]);
    assert!(x509.subject_alternative_name().unwrap().unwrap().critical);
    verify(&[cert], ca.bundle(), Usage::Client, now()).unwrap();
}

/// An intermediate signed by `root`, whose subject has two values of one attribute.
fn intermediate(root: &Authority, ca: bool) -> (String, String) {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let name = crate::der::name(&[
        (crate::der::oid::ORGANIZATIONAL_UNIT, "one"),
        (crate::der::oid::ORGANIZATIONAL_UNIT, "two"),
    ]);
    let constraints: &[u8] = if ca { &[1, 1, 0xff] } else { &[] };
    let extensions = [
        crate::der::extension(crate::der::oid::KEY_USAGE, true, &[3, 2, 2, 4]),
        crate::der::extension(
            crate::der::oid::BASIC_CONSTRAINTS,
            true,
            &crate::der::sequence(&[constraints]),
        ),
    ];
    let template = super::Template {
        issuer: root.certificate().subject_der(),
        subject: &name,
        not_before: now() - DAY,
        not_after: now() + 365 * DAY,
        spki: key.spki_der(),
        extensions: &extensions,
    };
    let cert = template.signed_by(root.key()).unwrap();
    (cert.to_pem(), key.to_pkcs8_pem().to_string())
}

#[test]
fn a_plugged_intermediate_signs_and_its_chain_leads_to_the_root() {
    let root = authority();
    let root_pem = root.certificate().to_pem();
    let (cert, key) = intermediate(&root, true);
    for cert_chain in ["", &cert, &format!("{cert}{root_pem}")] {
        let parts = Parts { ca_cert: &cert, ca_key: &key, root_cert: &root_pem, cert_chain };
        let ca = Authority::from_pem(&parts, Limits::default(), now()).unwrap();
        assert!(!ca.is_self_signed());
        assert_eq!(ca.chain().len(), 1, "the intermediate and not the root");
        let leaf = sign(&ca, &workload("a"), None, now()).unwrap();
        verify(&chain(&ca, leaf.clone()), root.bundle(), Usage::Client, now()).unwrap();
        assert!(verify(&[leaf], root.bundle(), Usage::Client, now()).is_err(), "the chain is needed");
        assert!(ca.rotate(&options(), now()).is_err());
    }
}

#[test]
fn plugged_files_that_do_not_fit_are_refused_with_the_file_named() {
    let root = authority();
    let root_pem = root.certificate().to_pem();
    let (cert, key) = intermediate(&root, true);
    let (not_ca, not_ca_key) = intermediate(&root, false);
    let other = authority().certificate().to_pem();
    let refuse = |ca_cert: &str, ca_key: &str, root_cert: &str, at: SystemTime| {
        let parts = Parts { ca_cert, ca_key, root_cert, cert_chain: "" };
        Authority::from_pem(&parts, Limits::default(), at).unwrap_err().to_string()
    };
    assert!(refuse("", &key, &root_pem, now()).contains("ca-cert.pem"));
    assert!(refuse(&cert, "x", &root_pem, now()).contains("ca-key.pem"));
    assert!(refuse(&cert, &not_ca_key, &root_pem, now()).contains("not the key"));
    assert!(refuse(&cert, &key, "", now()).contains("root-cert.pem"));
    assert!(refuse(&cert, &key, &other, now()).contains("would not be trusted"));
    assert!(refuse(&not_ca, &not_ca_key, &root_pem, now()).contains("not authorized to sign"));
    assert!(refuse(&cert, &key, &root_pem, now() + 400 * DAY).contains("expired"));
}

#[test]
fn a_stored_self_signed_authority_comes_back_the_same() {
    let ca = authority();
    let (cert, key) = (ca.certificate().to_pem(), ca.key().to_pkcs8_pem());
    let parts = Parts { ca_cert: &cert, ca_key: &key, root_cert: &ca.bundle().to_pem(), cert_chain: "" };
    let again = Authority::from_pem(&parts, Limits::default(), now()).unwrap();
    assert!(again.is_self_signed());
    assert_eq!(again.bundle(), ca.bundle());
    assert!(again.chain().is_empty());
}
