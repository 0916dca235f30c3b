//! To JSON: original field names, defaults left out, every known `Any` opened.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, ReflectMessage, SerializeOptions,
    Value as Field,
};
use serde_json::{Map, Number, Value};

use super::{Error, decode};
use crate::google::protobuf::Any;

pub(super) const TYPE: &str = "@type";
pub(super) const VALUE: &str = "value";
pub(super) const ANY: &str = "google.protobuf.Any";

/// The message in `bytes` as JSON.
///
/// Fields have the names of the `.proto` file. Values that encoding would not write are left out; a wrapper, an
/// `optional` or a member of a oneof that is set is written even when it holds a default. Enums by name, 64 bit
/// integers and durations as strings, bytes in base64. An `Any` of unknown type is `{"@type", "value"}` with base64.
///
/// # Errors
/// When the type of the whole is unknown or the bytes are not of it. Nested messages never fail.
pub fn to_json(type_url: &str, bytes: &[u8]) -> Result<Value, Error> {
    Ok(message_to_json(&decode(type_url, bytes)?))
}

/// The same for an `Any`, with its `@type` in front; never fails.
pub fn any_to_json(any: &Any) -> Value {
    Names::Original.packed(&any.type_url, &any.value)
}

/// As [`any_to_json`], with fields in lowerCamelCase, as the JSON form of protobuf has them by default.
pub fn any_to_camel_json(any: &Any) -> Value {
    Names::Camel.packed(&any.type_url, &any.value)
}

/// The JSON form of a message that is at hand decoded.
pub fn message_to_json(message: &DynamicMessage) -> Value {
    Names::Original.message(message)
}

/// How fields are called.
#[derive(Debug, Clone, Copy)]
enum Names {
    /// As in the `.proto` file.
    Original,
    /// In lowerCamelCase.
    Camel,
}

impl Names {
    fn message(self, message: &DynamicMessage) -> Value {
        let descriptor = message.descriptor();
        let name = descriptor.full_name();
        if name == ANY {
            let text = |number| message.get_field_by_number(number);
            let type_url = text(1).and_then(|url| url.as_str().map(str::to_owned)).unwrap_or_default();
            let value = text(2).and_then(|value| value.as_bytes().cloned()).unwrap_or_default();
            return self.packed(&type_url, &value);
        }
        if has_own_form(name) {
            let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(true);
            // Fails only for a duration or timestamp outside its range; null is all that can be said of those.
            return message
                .serialize_with_options(serde_json::value::Serializer, &options)
                .unwrap_or(Value::Null);
        }
        let mut object = Map::new();
        for (field, value) in message.fields() {
            let name = match self {
                Self::Original => field.name(),
                Self::Camel => field.json_name(),
            };
            object.insert(name.to_owned(), self.field(&field, value));
        }
        Value::Object(object)
    }

    fn packed(self, type_url: &str, bytes: &[u8]) -> Value {
        let mut object = Map::new();
        if type_url.is_empty() && bytes.is_empty() {
            return Value::Object(object);
        }
        object.insert(TYPE.to_owned(), Value::from(type_url));
        match decode(type_url, bytes) {
            Err(_) => {
                object.insert(VALUE.to_owned(), Value::from(BASE64.encode(bytes)));
            }
            Ok(message) => {
                let name = message.descriptor().full_name().to_owned();
                match self.message(&message) {
                    Value::Object(fields) if !has_own_form(&name) && name != ANY => object.extend(fields),
                    value => {
                        object.insert(VALUE.to_owned(), value);
                    }
                }
            }
        }
        Value::Object(object)
    }

    fn field(self, field: &FieldDescriptor, value: &Field) -> Value {
        match value {
            Field::List(items) => items.iter().map(|item| self.scalar(&field.kind(), item)).collect(),
            Field::Map(entries) => {
                let kind = match field.kind() {
                    Kind::Message(entry) => entry.map_entry_value_field().kind(),
                    other => other,
                };
                let mut entries: Vec<(String, &Field)> =
                    entries.iter().map(|(key, value)| (map_key(key), value)).collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                entries.into_iter().map(|(key, value)| (key, self.scalar(&kind, value))).collect()
            }
            value => self.scalar(&field.kind(), value),
        }
    }

    fn scalar(self, kind: &Kind, value: &Field) -> Value {
        match value {
            Field::Bool(value) => Value::from(*value),
            Field::I32(value) => Value::from(*value),
            Field::U32(value) => Value::from(*value),
            Field::I64(value) => Value::from(value.to_string()),
            Field::U64(value) => Value::from(value.to_string()),
            // By way of the shortest text: 0.1f32 is 0.1, not 0.10000000149011612.
            Field::F32(value) => float(value.to_string().parse().unwrap_or(f64::NAN)),
            Field::F64(value) => float(*value),
            Field::String(value) => Value::from(value.as_str()),
            Field::Bytes(value) => Value::from(BASE64.encode(value)),
            Field::EnumNumber(number) => match kind {
                Kind::Enum(descriptor) => enum_to_json(descriptor, *number),
                _ => Value::from(*number),
            },
            Field::Message(message) => self.message(message),
            Field::List(_) | Field::Map(_) => Value::Null, // lists and maps do not nest in protobuf
        }
    }
}

/// Messages whose JSON form is not an object of their fields.
pub(super) fn has_own_form(name: &str) -> bool {
    let Some(name) = name.strip_prefix("google.protobuf.") else { return false };
    matches!(name, "Duration" | "Timestamp" | "FieldMask" | "Struct" | "Value" | "ListValue" | "Empty")
        || is_wrapper(name)
}

fn is_wrapper(name: &str) -> bool {
    name.strip_suffix("Value").is_some_and(|of| {
        matches!(
            of,
            "Double" | "Float" | "Int64" | "UInt64" | "Int32" | "UInt32" | "Bool" | "String" | "Bytes"
        )
    })
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => Value::from("NaN"),
        None if value > 0.0 => Value::from("Infinity"),
        None => Value::from("-Infinity"),
    }
}

fn enum_to_json(descriptor: &EnumDescriptor, number: i32) -> Value {
    if descriptor.full_name() == "google.protobuf.NullValue" {
        return Value::Null;
    }
    descriptor.get_value(number).map_or_else(|| Value::from(number), |value| Value::from(value.name()))
}
