//! Writing the little DER that certificates and requests need; reading is left to x509-parser and webpki.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

#[cfg(test)]
mod tests;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Object identifiers, already encoded with tag and length.
pub(crate) mod oid {
    pub(crate) const ORGANIZATION: &[u8] = &[6, 3, 0x55, 4, 10];
    pub(crate) const ORGANIZATIONAL_UNIT: &[u8] = &[6, 3, 0x55, 4, 11];
    pub(crate) const SUBJECT_KEY_ID: &[u8] = &[6, 3, 0x55, 0x1d, 14];
    pub(crate) const KEY_USAGE: &[u8] = &[6, 3, 0x55, 0x1d, 15];
    pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[6, 3, 0x55, 0x1d, 17];
    pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[6, 3, 0x55, 0x1d, 19];
    pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[6, 3, 0x55, 0x1d, 35];
    pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[6, 3, 0x55, 0x1d, 37];
    pub(crate) const SERVER_AUTH: &[u8] = &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
    pub(crate) const CLIENT_AUTH: &[u8] = &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
    pub(crate) const EXTENSION_REQUEST: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 14];
}

/// One element: tag, length, content.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[length.leading_zeros() as usize / 8..];
        out.push(0x80 | significant.len() as u8);
        out.extend_from_slice(significant);
    }
    out.extend_from_slice(content);
    out
}

/// A SEQUENCE of already encoded elements.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// An unsigned INTEGER from big-endian bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    let mut content = bytes[start..].to_vec();
    // Empty is not an integer, and a set top bit would make it negative.
    if content.first().is_none_or(|b| b & 0x80 != 0) {
        content.insert(0, 0);
    }
    element(INTEGER, &content)
}

/// A BIT STRING of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

/// A constructed, context-specific element, as `[n] EXPLICIT` writes it.
pub(crate) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | number, content)
}

/// UTCTime up to 2049, GeneralizedTime after it (RFC 5280 section 4.1.2.5); whole seconds, rounded down. Moments that
/// certificates cannot express become the nearest ones they can.
pub(crate) fn moment(at: SystemTime) -> Vec<u8> {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()).min(253_402_300_799);
    let date = OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second) = (date.hour(), date.minute(), date.second());
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if year < 2050 {
        element(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        element(0x18, format!("{year:04}{rest}").as_bytes())
    }
}

/// One extension.
pub(crate) fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[oid, flag, &element(OCTET_STRING, content)])
}

/// A distinguished name of single-valued parts, in order: (encoded oid, text).
pub(crate) fn name(parts: &[(&[u8], &str)]) -> Vec<u8> {
    let sets: Vec<u8> = parts
        .iter()
        .flat_map(|(oid, text)| element(SET, &sequence(&[oid, &element(UTF8_STRING, text.as_bytes())])))
        .collect();
    element(SEQUENCE, &sets)
}
