//! The little of protobuf that a sidecar without Envoy needs: a walk over fields in place, and a writer.

use bytes::{BufMut, BytesMut};

#[cfg(test)]
mod tests;

/// One field's value; numbers of fixed width are skipped.
pub(crate) enum Value<'a> {
    /// A number or an enum.
    Varint(u64),
    /// A string, bytes, or a message.
    Bytes(&'a [u8]),
    /// Of fixed width.
    Fixed,
}

/// The fields of a message, in order; ends at the first byte that makes no sense.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Of this message.
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut out = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            out |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(out);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

/// Every value of a repeated field.
pub(crate) fn all(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    Fields::of(message).filter_map(move |(of, value)| match value {
        Value::Bytes(bytes) if of == number => Some(bytes),
        _ => None,
    })
}

/// The value of a field, empty if it is not there.
pub(crate) fn one(message: &[u8], number: u64) -> &[u8] {
    all(message, number).last().unwrap_or_default()
}

/// A string field, empty if it is not there or is none.
pub(crate) fn text(message: &[u8], number: u64) -> &str {
    std::str::from_utf8(one(message, number)).unwrap_or_default()
}

/// The name a `Cluster` takes its endpoints under, if it asks the discovery service for them.
pub(crate) fn endpoints_of(cluster: &[u8]) -> Option<&str> {
    const EDS: u64 = 3;
    let asks = Fields::of(cluster).any(|(number, value)| number == 2 && matches!(value, Value::Varint(EDS)));
    asks.then(|| match text(one(cluster, 3), 2) {
        "" => text(cluster, 1),
        service => service,
    })
}

/// The names of the route configurations that a `Listener`'s connection managers ask the discovery service for.
pub(crate) fn routes_of(listener: &[u8]) -> impl Iterator<Item = &str> {
    let chains = all(listener, 3).chain(all(listener, 25));
    chains.flat_map(|chain| all(chain, 3)).filter_map(|filter| {
        let config = one(filter, 4);
        if !text(config, 1).ends_with("HttpConnectionManager") {
            return None;
        }
        Some(text(one(one(config, 2), 3), 2)).filter(|name| !name.is_empty())
    })
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Writes a string, bytes, or a message.
pub(crate) fn put(out: &mut BytesMut, number: u64, value: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, value.len() as u64);
    out.put_slice(value);
}

/// A value of `google.protobuf.Struct`.
pub(crate) enum Json<'a> {
    /// A string.
    Text(&'a str),
    /// An object.
    Object(&'a [(&'a str, Json<'a>)]),
}

/// A `google.protobuf.Struct` of these entries.
pub(crate) fn structure(entries: &[(&str, Json<'_>)]) -> BytesMut {
    let mut out = BytesMut::new();
    for (key, value) in entries {
        let mut encoded = BytesMut::new();
        match value {
            Json::Text(text) => put(&mut encoded, 3, text.as_bytes()),
            Json::Object(entries) => put(&mut encoded, 5, &structure(entries)),
        }
        let mut entry = BytesMut::new();
        put(&mut entry, 1, key.as_bytes());
        put(&mut entry, 2, &encoded);
        put(&mut out, 1, &entry);
    }
    out
}
