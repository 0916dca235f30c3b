//! Encoding in which equal messages are equal bytes: map entries in the order of their keys, in nested `Any`s as well.

use bytes::BufMut;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};

const ANY: &str = "google.protobuf.Any";

/// The bytes of a message, the same for every equal message. (`DynamicMessage::encode_to_vec` writes maps in an
/// order that changes from one process to the next, which would give unchanged resources new versions.)
pub fn encode(message: &DynamicMessage) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.encoded_len());
    let opened = (message.descriptor().full_name() == ANY).then(|| repacked(message)).flatten();
    let message = opened.as_ref().unwrap_or(message);
    for (field, value) in message.fields() {
        encode_field(&field, value, &mut out);
    }
    if message.unknown_fields().next().is_some() {
        let mut rest = message.clone();
        rest.take_fields().for_each(drop);
        out.extend(rest.encode_to_vec());
    }
    out
}

/// The `Any` with its content encoded anew; `None` when its type is unknown or its bytes are not of it.
fn repacked(any: &DynamicMessage) -> Option<DynamicMessage> {
    let type_url = any.get_field_by_number(1)?;
    let bytes = any.get_field_by_number(2)?;
    let content = super::decode(type_url.as_str()?, bytes.as_bytes()?).ok()?;
    let mut anew = any.clone();
    anew.set_field_by_number(2, Value::Bytes(encode(&content).into()));
    Some(anew)
}

fn encode_field(field: &FieldDescriptor, value: &Value, out: &mut Vec<u8>) {
    match (field.kind(), value) {
        (_, Value::Message(message)) => delimited(field.number(), &encode(message), out),
        (Kind::Message(_), Value::List(items)) => {
            for item in items {
                if let Value::Message(message) = item {
                    delimited(field.number(), &encode(message), out);
                }
            }
        }
        (Kind::Message(entry), Value::Map(entries)) => {
            let mut entries: Vec<(&MapKey, &Value)> = entries.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            for (key, value) in entries {
                let mut pair = Vec::new();
                encode_field(&entry.map_entry_key_field(), &Value::from(key.clone()), &mut pair);
                encode_field(&entry.map_entry_value_field(), value, &mut pair);
                delimited(field.number(), &pair, out);
            }
        }
        // A scalar, an enum, or a list of them: no map can be inside.
        _ => {
            let mut alone = DynamicMessage::new(field.parent_message().clone());
            alone.set_field(field, value.clone());
            out.extend(alone.encode_to_vec());
        }
    }
}

fn delimited(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}
