//! Tests of revocation lists.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::*;
use crate::cert::parse_chain;

struct Signer {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Signer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let certificate = parse_chain(&pem).unwrap().remove(0);
    Signer { certificate, issuer: Issuer::new(params, key) }
}

fn list_of(authority: &Signer) -> String {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2036, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&authority.issuer).unwrap().pem().unwrap()
}

#[test]
fn every_authority_must_have_signed_a_list() {
    let (root, between) = (authority("root"), authority("between"));
    let chain = [between.certificate.clone(), root.certificate.clone()];
    let lists = format!("{}{}", list_of(&root), list_of(&between));
    assert_eq!(check(&lists, &chain), Ok(()));
    let missing = check(&list_of(&root), &chain).unwrap_err();
    assert_eq!(missing, Error::Missing("CN=between".into()));
    // the name alone proves nothing
    let namesake = format!("{}{}", list_of(&root), list_of(&authority("between")));
    assert!(matches!(check(&namesake, &chain), Err(Error::Missing(_))));
}

#[test]
fn what_is_no_list_is_an_error() {
    let one = list_of(&authority("root"));
    let torn = one.replacen("MI", "AA", 1);
    for text in
        ["", "nonsense", authority("root").certificate.to_pem().as_str(), &torn, &one[..one.len() / 2]]
    {
        assert!(matches!(check(text, &[]), Err(Error::Malformed(_))), "{text}");
    }
}
