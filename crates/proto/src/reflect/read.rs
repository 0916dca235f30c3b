//! From JSON: message by message, so that every problem has the path of its field.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage,
    Value as Field,
};
use serde_json::{Map, Value};

use super::json::{ANY, TYPE, VALUE, has_own_form};
use super::{Error, descriptor, encode};

/// Bytes of the message that `json` describes; equal messages give equal bytes.
///
/// Both spellings of a field name are read. A `null` leaves its field unset. An `Any` of unknown type is read when
/// it is `{"@type", "value"}` with base64, and `{}` is an empty `Any`.
///
/// # Errors
/// When the type, a nested `@type` or a field is unknown, or a value does not fit its field.
pub fn from_json(type_url: &str, json: &Value) -> Result<Vec<u8>, Error> {
    message_from_json(type_url, json).map(|message| encode(&message))
}

/// The same, not encoded yet.
///
/// # Errors
/// As [`from_json`].
pub fn message_from_json(type_url: &str, json: &Value) -> Result<DynamicMessage, Error> {
    let descriptor = descriptor(type_url).ok_or_else(|| Error::UnknownType(type_url.to_owned()))?;
    read(&descriptor, json, "").map_err(|(field, problem)| Error::Json {
        type_url: type_url.to_owned(),
        field,
        problem,
    })
}

/// Path of a field and what is wrong with it.
type Problem = (String, String);

fn read(descriptor: &MessageDescriptor, json: &Value, path: &str) -> Result<DynamicMessage, Problem> {
    let name = descriptor.full_name();
    if has_own_form(name) {
        return leaf(descriptor, json).map_err(|problem| (path.to_owned(), problem));
    }
    let Value::Object(object) = json else {
        return Err((path.to_owned(), format!("an object is expected ({name}), not {}", sort_of(json))));
    };
    if name == ANY {
        return read_any(descriptor, object, path);
    }
    let mut message = DynamicMessage::new(descriptor.clone());
    for (key, value) in object {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let field = descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key));
        let Some(field) = field else {
            return Err((path, format!("{name} has no such field")));
        };
        if value.is_null() && !reads_null(&field) {
            continue;
        }
        if message.has_field(&field) {
            return Err((path, "given twice".to_owned()));
        }
        if let Some(oneof) = field.containing_oneof()
            && let Some(other) = oneof.fields().find(|other| message.has_field(other))
        {
            return Err((path, format!("excludes {}, which is given too", other.name())));
        }
        read_field(&mut message, &field, value, &path)?;
    }
    Ok(message)
}

fn read_field(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    value: &Value,
    path: &str,
) -> Result<(), Problem> {
    let value = match (field.kind(), value) {
        (Kind::Message(entry), Value::Object(entries)) if field.is_map() => {
            match entry.map_entry_value_field().kind() {
                Kind::Message(of) => {
                    let key_kind = entry.map_entry_key_field().kind();
                    let mut map = std::collections::HashMap::new();
                    for (key, value) in entries {
                        let path = format!("{path}[{key:?}]");
                        let read = read(&of, value, &path)?;
                        let key = map_key(&key_kind, key)
                            .ok_or_else(|| (path, "not a key of this map".to_owned()))?;
                        map.insert(key, Field::Message(read));
                    }
                    Field::Map(map)
                }
                _ => single(message, field, value, path)?,
            }
        }
        (Kind::Message(of), Value::Array(items)) if field.is_list() => {
            let read = items.iter().enumerate().map(|(i, item)| read(&of, item, &format!("{path}[{i}]")));
            Field::List(read.map(|item| item.map(Field::Message)).collect::<Result<_, _>>()?)
        }
        (Kind::Message(of), value) if !field.is_list() && !field.is_map() => {
            Field::Message(read(&of, value, path)?)
        }
        _ => single(message, field, value, path)?,
    };
    message.set_field(field, value);
    Ok(())
}

/// A field without messages of ours inside: the library's own reading of it.
fn single(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    value: &Value,
    path: &str,
) -> Result<Field, Problem> {
    let alone = Value::Object(Map::from_iter([(field.name().to_owned(), value.clone())]));
    let alone = leaf(&message.descriptor(), &alone).map_err(|problem| (path.to_owned(), problem))?;
    Ok(alone.get_field(field).into_owned())
}

fn leaf(descriptor: &MessageDescriptor, json: &Value) -> Result<DynamicMessage, String> {
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(descriptor.clone(), json, &strict)
        .map_err(|error| error.to_string())
}

fn read_any(
    descriptor: &MessageDescriptor,
    object: &Map<String, Value>,
    path: &str,
) -> Result<DynamicMessage, Problem> {
    let mut any = DynamicMessage::new(descriptor.clone());
    if object.is_empty() {
        return Ok(any);
    }
    let Some(type_url) = object.get(TYPE).and_then(Value::as_str) else {
        return Err((path.to_owned(), "\"@type\" is missing".to_owned()));
    };
    let bytes = match super::descriptor(type_url) {
        Some(of) if has_own_form(of.full_name()) || of.full_name() == ANY => {
            let path = format!("{path}.{VALUE}");
            let Some(value) = object.get(VALUE) else { return Err((path, "missing".to_owned())) };
            encode(&read(&of, value, &path)?)
        }
        Some(of) => {
            let mut fields = object.clone();
            fields.remove(TYPE);
            encode(&read(&of, &Value::Object(fields), path)?)
        }
        None => match object.get(VALUE).and_then(Value::as_str).and_then(|text| BASE64.decode(text).ok()) {
            Some(bytes) if object.len() == 2 => bytes,
            _ => return Err((format!("{path}.{TYPE}"), format!("unknown message type {type_url:?}"))),
        },
    };
    any.set_field_by_number(1, Field::String(type_url.to_owned()));
    any.set_field_by_number(2, Field::Bytes(bytes.into()));
    Ok(any)
}

/// Fields in which `null` is a value.
fn reads_null(field: &FieldDescriptor) -> bool {
    !field.is_list()
        && !field.is_map()
        && match field.kind() {
            Kind::Message(of) => of.full_name() == "google.protobuf.Value",
            Kind::Enum(of) => of.full_name() == "google.protobuf.NullValue",
            _ => false,
        }
}

fn map_key(kind: &Kind, text: &str) -> Option<MapKey> {
    Some(match kind {
        Kind::String => MapKey::String(text.to_owned()),
        Kind::Bool => MapKey::Bool(text.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(text.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(text.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32(text.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => MapKey::U64(text.parse().ok()?),
        _ => return None,
    })
}

fn sort_of(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
