//! Tests of signing requests.

use proptest::prelude::*;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, ParsedExtension};

use super::{Error, LARGEST, PublicKey, make};
use crate::authority::San;
use crate::key::{Kind, PrivateKey, pem_of};

fn der_of(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

#[test]
fn a_request_names_its_wish_and_proves_its_key() {
    for kind in [Kind::Rsa(2048), Kind::P256, Kind::P384] {
        let key = PrivateKey::generate(kind).unwrap();
        let pem = make(&key, &[San::Uri("spiffe://td/ns/a/sa/b".into())]).unwrap();
        let der = der_of(&pem);
        let (rest, csr) = X509CertificationRequest::from_der(&der).unwrap();
        assert!(rest.is_empty());
        let mut extensions = csr.requested_extensions().unwrap();
        assert!(matches!(extensions.next(), Some(ParsedExtension::SubjectAlternativeName(_))));
        assert_eq!(PublicKey::from_csr_pem(&pem).unwrap(), PublicKey::of(&key));
        assert_eq!(PublicKey::from_csr_pem(&make(&key, &[]).unwrap()).unwrap(), PublicKey::of(&key));
    }
}

#[test]
fn a_request_for_somebody_elses_key_is_refused() {
    let (mine, theirs) =
        (PrivateKey::generate(Kind::P256).unwrap(), PrivateKey::generate(Kind::P256).unwrap());
    let der = der_of(&make(&mine, &[]).unwrap());
    let place = der.windows(mine.spki_der().len()).position(|w| w == mine.spki_der()).unwrap();
    let mut stolen = der;
    stolen[place..place + theirs.spki_der().len()].copy_from_slice(theirs.spki_der());
    let refused = PublicKey::from_csr_pem(&pem_of("CERTIFICATE REQUEST", &stolen));
    assert_eq!(refused, Err(Error::Signature));
}

#[test]
fn what_is_too_large_or_no_request_is_refused() {
    let huge = "x".repeat(LARGEST + 1);
    assert_eq!(PublicKey::from_csr_pem(&huge), Err(Error::TooLarge(LARGEST + 1)));
    assert!(matches!(PublicKey::from_csr_pem("hello"), Err(Error::Malformed(_))));
    let mut der = der_of(&make(&PrivateKey::generate(Kind::P256).unwrap(), &[]).unwrap());
    der.push(0);
    assert!(matches!(
        PublicKey::from_csr_pem(&pem_of("CERTIFICATE REQUEST", &der)),
        Err(Error::Malformed(_))
    ));
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = PublicKey::from_csr_pem(&pem_of("CERTIFICATE REQUEST", &bytes));
    }
}

#[test]
fn no_flipped_byte_of_a_request_is_accepted_with_another_key() {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let der = der_of(&make(&key, &[San::Uri("spiffe://td/ns/a/sa/b".into())]).unwrap());
    for place in 0..der.len() {
        let mut changed = der.clone();
        changed[place] ^= 1;
        if let Ok(read) = PublicKey::from_csr_pem(&pem_of("CERTIFICATE REQUEST", &changed)) {
            assert_eq!(read, PublicKey::of(&key), "byte {place}");
        }
    }
}
