//! Tests of private keys.

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use x509_parser::prelude::FromDer;

use super::{Error, Kind, PrivateKey, pem_of};

#[test]
fn every_kind_is_made_written_and_read_back() {
    for kind in [Kind::Rsa(2048), Kind::Rsa(3072), Kind::P256, Kind::P384] {
        let key = PrivateKey::generate(kind).unwrap();
        let read = PrivateKey::from_pem(&key.to_pkcs8_pem()).unwrap();
        assert_eq!(read.kind(), kind);
        assert_eq!(read.spki_der(), key.spki_der());
        x509_parser::x509::SubjectPublicKeyInfo::from_der(key.spki_der()).unwrap();
    }
}

#[test]
fn sec1_and_pkcs1_wrappings_are_read() {
    let ec = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let sec1: EcPrivateKeyRfc5915Der<'_> = ec.private_key().as_der().unwrap();
    let read = PrivateKey::from_pem(&pem_of("EC PRIVATE KEY", sec1.as_ref())).unwrap();
    assert_eq!(read.kind(), Kind::P384);

    let rsa = PrivateKey::generate(Kind::Rsa(2048)).unwrap();
    // PKCS#8 is version, algorithm (15 bytes with its header), then PKCS#1 inside an OCTET STRING with a 4-byte header.
    let inner = &rsa.pkcs8_der()[4 + 3 + 15 + 4..];
    let read = PrivateKey::from_pem(&pem_of("RSA PRIVATE KEY", inner)).unwrap();
    assert_eq!(read.spki_der(), rsa.spki_der());
}

#[test]
fn debug_never_shows_the_secret() {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(P256, secret)");
}

#[test]
fn nonsense_is_refused_with_a_hint() {
    assert_eq!(PrivateKey::from_pem("hello").unwrap_err(), Error::Pem);
    assert_eq!(PrivateKey::from_pem(&pem_of("PRIVATE KEY", &[1, 2, 3])).unwrap_err(), Error::Unsupported);
    assert_eq!(PrivateKey::generate(Kind::Rsa(1024)).unwrap_err(), Error::Size(1024));
}
