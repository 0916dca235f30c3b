//! Tests of the DER writer against the readers of x509-parser.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use x509_parser::prelude::{ASN1Time, FromDer, X509Name};

use super::{element, moment, name, oid, unsigned};

#[test]
fn lengths_take_as_many_bytes_as_they_need() {
    assert_eq!(element(4, &[7; 3])[..2], [4, 3]);
    assert_eq!(element(4, &[7; 128])[..3], [4, 0x81, 128]);
    assert_eq!(element(4, &[7; 65536])[..5], [4, 0x83, 1, 0, 0]);
}

#[test]
fn integers_are_minimal_and_never_negative() {
    assert_eq!(unsigned(&[0, 0, 5]), [2, 1, 5]);
    assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
    assert_eq!(unsigned(&[]), [2, 1, 0]);
}

#[test]
fn several_values_of_one_attribute_stay_several() {
    let der = name(&[(oid::ORGANIZATIONAL_UNIT, "w:a"), (oid::ORGANIZATIONAL_UNIT, "cs:b")]);
    let (rest, parsed) = X509Name::from_der(&der).unwrap();
    assert!(rest.is_empty());
    let units: Vec<&str> = parsed.iter_organizational_unit().map(|u| u.as_str().unwrap()).collect();
    assert_eq!(units, ["w:a", "cs:b"]);
}

proptest! {
    #[test]
    fn every_second_of_three_centuries_is_read_back(seconds in 0u64..9_000_000_000) {
        let der = moment(UNIX_EPOCH + Duration::from_secs(seconds));
        let (rest, read) = ASN1Time::from_der(&der).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read.timestamp(), seconds as i64);
    }
}
