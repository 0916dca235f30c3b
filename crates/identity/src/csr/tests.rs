//! Tests of signing requests.

use proptest::prelude::*;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, ParsedExtension};

use super::{Error, LARGEST, Plain, PublicKey, make, names_request};
use crate::authority::San;
use crate::der;
use crate::key::{Kind, PrivateKey, pem_of};

/// Requests of another program, signed correctly with keys that get no certificate here.
const RSA_1024: &str = "\
-----BEGIN CERTIFICATE REQUEST-----\n\
MIIBTjCBuAIBADAPMQ0wCwYDVQQDDAR3ZWFrMIGfMA0GCSqGSIb3DQEBAQUAA4GN\n\
ADCBiQKBgQDUBic8ZrkST/U22Y0sa1LT1HJ2EwIdpWDCKzIvP1uEyU9BmM6fdjwS\n\
80SQiKqhagVEiK/TXKwoHSeAwKGYTZA60Q9nTQrVip2qzE4obdTjuNoKFaqTbZdn\n\
0R2NmZp9+BEIpqPgIukh5D6V9rDriu86erFMqWgz8MjfuVm0qCEAzQIDAQABoAAw\n\
DQYJKoZIhvcNAQEFBQADgYEAllsI2eiLnUmkaB0De74DfdFv2wCrV1NTcdVlViak\n\
eYMWQ6peh7CTUg5tcMb+s+RBB432tjP3qSJI3Pn7Levr0zpvqAlt6w2BTg5robYM\n\
QiCeNFd2gweNsDChUo8xgjMH+Zuv/aVF6k/VxPvuJAG9jAEM/CfvnDL8z5gxHF1+\n\
VkI=\n\
-----END CERTIFICATE REQUEST-----\n";
const ED25519: &str = "\
-----BEGIN CERTIFICATE REQUEST-----\n\
MIGMMEACAQAwDTELMAkGA1UEAwwCZWQwKjAFBgMrZXADIQDLQCJpVoJlMzY1ut4s\n\
ENBTl1Hvj+qsvGsKs450SFScpqAAMAUGAytlcANBAMBCrDP/FM/qCyq425o6b8OR\n\
zGUxako+Vo8QBBS8Vcw8trnoZDNUwFf1sWrWX9/k0IStSeoCrVfjvG+NGzeJlAQ=\n\
-----END CERTIFICATE REQUEST-----\n";
const SECP256K1: &str = "\
-----BEGIN CERTIFICATE REQUEST-----\n\
MIHDMGwCAQAwDTELMAkGA1UEAwwCazEwVjAQBgcqhkjOPQIBBgUrgQQACgNCAAQu\n\
updxAE2ZBcV89dzW8/n1zRxJMDxilnIRQihdt/wayATXosZEgehLJ0HRkZEmNHwo\n\
U3I0BWXTyaEBXbubLF68oAAwCgYIKoZIzj0EAwIDRwAwRAIgOMiLF0PpMUfgDE0H\n\
af4szOmMBQjpOD7+47I4l8NWtTUCIAlGrfOnQIpW6biuOnlnpwG1gBGxhc3rZhmH\n\
eC9SMjo0\n\
-----END CERTIFICATE REQUEST-----\n";

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

#[test]
fn weak_and_unknown_keys_are_refused() {
    assert_eq!(PublicKey::from_csr_pem(RSA_1024), Err(Error::Key("RSA of 1024 bits".into())));
    assert!(matches!(PublicKey::from_csr_pem(ED25519), Err(Error::Key(_))));
    assert!(PublicKey::from_csr_pem(SECP256K1).is_err());
}

/// A request with this subject and these raw attributes, properly signed.
fn request(subject: &[u8], attributes: &[Vec<u8>]) -> String {
    let key = PrivateKey::generate(Kind::P256).unwrap();
    let attributes = der::context(0, &attributes.concat());
    let info = der::sequence(&[&der::unsigned(&[0]), subject, key.spki_der(), &attributes]);
    let signature = der::bit_string(&key.sign(&info).unwrap());
    pem_of("CERTIFICATE REQUEST", &der::sequence(&[&info, key.algorithm_der(), &signature]))
}

fn asking(value: &[u8]) -> Vec<u8> {
    der::sequence(&[der::oid::EXTENSION_REQUEST, value])
}

#[test]
fn a_request_that_others_sign_asks_for_uris_and_nothing_else() {
    let uri = "spiffe://td/ns/a/sa/b".to_owned();
    let sans = [San::Uri(uri.clone())];
    let (nobody, names) = (der::name(&[]), asking(&names_request(&sans, true)));
    let organization = der::name(&[(der::oid::ORGANIZATION, "")]);
    for subject in [&nobody, &organization] {
        for critical in [true, false] {
            let pem = request(subject, &[asking(&names_request(&sans, critical))]);
            let plain = Plain::from_csr_pem(&format!("said before\n{pem}{ED25519}")).unwrap();
            assert_eq!(
                (plain.uris, plain.pem),
                (vec![uri.clone()], pem),
                "and nothing around it is passed on"
            );
        }
    }
    let made = make(&PrivateKey::generate(Kind::P256).unwrap(), &sans).unwrap();
    assert_eq!(Plain::from_csr_pem(&made).unwrap().uris, [uri]);

    let names_of = |san: San| der::extension(der::oid::SUBJECT_ALT_NAME, true, &San::names_der(&[san]));
    let is_ca = der::extension(der::oid::BASIC_CONSTRAINTS, true, &der::sequence(&[&[1, 1, 0xff]]));
    let set = |extensions: &[&[u8]]| asking(&der::element(der::SET, &der::sequence(extensions)));
    let both = names_of(sans[0].clone());
    let two_values = [der::sequence(&[&both]), der::sequence(&[&is_ca])].concat();
    let refused = [
        request(&der::name(&[(der::oid::ORGANIZATION, "system:masters")]), std::slice::from_ref(&names)),
        request(&der::name(&[(der::oid::ORGANIZATIONAL_UNIT, "")]), std::slice::from_ref(&names)),
        request(&nobody, &[]),
        request(&nobody, &[set(&[&both, &is_ca])]),
        request(&nobody, &[set(&[&is_ca])]),
        request(&nobody, &[set(&[&both, &both])]),
        request(&nobody, &[set(&[&names_of(San::Dns("istiod.istio-system.svc".into()))])]),
        request(&nobody, &[names.clone(), set(&[&is_ca])]),
        request(&nobody, &[asking(&der::element(der::SET, &two_values))]),
    ];
    for (which, pem) in refused.iter().enumerate() {
        let read = Plain::from_csr_pem(pem);
        assert!(matches!(read, Err(Error::Beyond(_) | Error::Malformed(_))), "{which}: {read:?}");
    }
}
