//! The small language in which kinds are declared: a struct, its fields' names and its reader in one place.

use std::collections::BTreeMap;

use base64::Engine as _;
use litemap::LiteMap;

use super::node::{Content, Key, Node};
use super::reader::Reader;
use crate::duration::Duration;
use crate::value::{Bytes, Value};

/// What can be read from a node and shown as JSON again.
pub trait Field: Sized {
    /// Overwrites `self` by what `node` (never null) says; problems go to the reader.
    fn read(&mut self, node: &Node, reader: &mut Reader);
    /// The JSON form as protobuf writes it: absent fields left out.
    fn to_value(&self) -> Value;
    /// Whether it is what nobody writes: an empty list, `false`, the enum's first value.
    fn is_absent(&self) -> bool;
}

/// One choice out of several keys that stand side by side with the other fields of an object.
pub(crate) trait Choice: Sized {
    /// Rust name and JSON name (if that is not derived) of every alternative.
    const KEYS: &'static [(&'static str, &'static str)];
    /// Reads the alternative that `key` names; `None` if it names none of them.
    fn read_key(key: &Key, node: &Node, reader: &mut Reader) -> Option<Option<Self>>;
    /// JSON name and value of the chosen alternative.
    fn to_entry(&self) -> (String, Value);
}

/// Declares an object: struct, field names, reader and writer.
macro_rules! spec {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $( $(#[$fmeta:meta])* $field:ident $(($json:literal))? : $ty:ty, )* }
        $( oneof { $( $choice:ident : $cty:ty, )* } )?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name {
            $(
                #[doc = concat!("The field `", stringify!($field), "`.")]
                $(#[$fmeta])*
                pub $field: $ty,
            )*
            $($(
                #[doc = concat!("Which of the fields of `", stringify!($choice), "` is set.")]
                pub $choice: Option<$cty>,
            )*)?
        }

        // no float in here is ever NaN: the reader refuses it
        impl Eq for $name {}

        impl $crate::decode::schema::Field for $name {
            fn read(
                &mut self,
                node: &$crate::decode::node::Node,
                reader: &mut $crate::decode::reader::Reader,
            ) {
                $($( let mut $choice: Option<&str> = None; )*)?
                for (key, value) in reader.entries(node) {
                    $(
                        if $crate::decode::reader::names(key, stringify!($field), concat!($($json)?)) {
                            reader.field(key, stringify!($field), concat!($($json)?), value, &mut self.$field);
                            continue;
                        }
                    )*
                    $($(
                        if $crate::decode::schema::choose(key, value, reader, &mut $choice, &mut self.$choice) {
                            continue;
                        }
                    )*)?
                    let _ = value;
                    reader.unknown(key, &[
                        &[$( (stringify!($field), concat!($($json)?)), )*] as &[(&str, &str)],
                        $($( <$cty as $crate::decode::schema::Choice>::KEYS, )*)?
                    ].concat());
                }
            }

            fn to_value(&self) -> $crate::value::Value {
                let entries: Vec<Option<(String, $crate::value::Value)>> = vec![
                    $( $crate::decode::schema::entry(stringify!($field), concat!($($json)?), &self.$field), )*
                    $($( self.$choice.as_ref().map($crate::decode::schema::Choice::to_entry), )*)?
                ];
                $crate::value::Value::Object(entries.into_iter().flatten().collect())
            }

            fn is_absent(&self) -> bool {
                false
            }
        }

        impl $name {
            /// The JSON form as protobuf writes it: absent fields are left out, keys are sorted.
            pub fn to_value(&self) -> $crate::value::Value {
                $crate::decode::schema::Field::to_value(self)
            }
        }
    };
}

/// Declares an enumeration that is written by name or by number; the first value is the default.
macro_rules! spec_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $first:ident = $fnumber:literal $ftext:literal,
            $( $variant:ident = $number:literal $text:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $name {
            #[doc = concat!("`", $ftext, "`")]
            #[default]
            $first,
            $(
                #[doc = concat!("`", $text, "`")]
                $variant,
            )*
        }

        impl $name {
            /// Every value with its number and its name.
            pub const ALL: &'static [(Self, i32, &'static str)] =
                &[(Self::$first, $fnumber, $ftext), $( (Self::$variant, $number, $text), )*];

            /// The name in YAML.
            pub fn name(self) -> &'static str {
                match self {
                    Self::$first => $ftext,
                    $( Self::$variant => $text, )*
                }
            }

            /// The number in protobuf.
            pub fn number(self) -> i32 {
                match self {
                    Self::$first => $fnumber,
                    $( Self::$variant => $number, )*
                }
            }
        }

        impl $crate::decode::schema::Field for $name {
            fn read(
                &mut self,
                node: &$crate::decode::node::Node,
                reader: &mut $crate::decode::reader::Reader,
            ) {
                if let Some(found) = $crate::decode::schema::pick(node, reader, Self::ALL) {
                    *self = found;
                }
            }

            fn to_value(&self) -> $crate::value::Value {
                $crate::value::Value::String(self.name().to_owned())
            }

            fn is_absent(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

/// Declares the alternatives of which an object has at most one.
macro_rules! spec_oneof {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $variant:ident($ty:ty) : $field:ident $(= $json:literal)?, )* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $(
                #[doc = concat!("The field `", stringify!($field), "`.")]
                $variant($ty),
            )*
        }

        impl Eq for $name {}

        impl $crate::decode::schema::Choice for $name {
            const KEYS: &'static [(&'static str, &'static str)] =
                &[$( (stringify!($field), concat!($($json)?)), )*];

            fn read_key(
                key: &$crate::decode::node::Key,
                node: &$crate::decode::node::Node,
                reader: &mut $crate::decode::reader::Reader,
            ) -> Option<Option<Self>> {
                $(
                    if $crate::decode::reader::names(key, stringify!($field), concat!($($json)?)) {
                        let mut value = <$ty>::default();
                        reader.field(key, stringify!($field), concat!($($json)?), node, &mut value);
                        return Some((!node.is_null()).then_some(Self::$variant(value)));
                    }
                )*
                None
            }

            fn to_entry(&self) -> (String, $crate::value::Value) {
                match self {
                    $(
                        Self::$variant(value) => (
                            $crate::decode::reader::json_name(stringify!($field), concat!($($json)?)),
                            $crate::decode::schema::Field::to_value(value),
                        ),
                    )*
                }
            }
        }
    };
}

pub(crate) use {spec, spec_enum, spec_oneof};

/// Reads one key of a choice; tells whether the key belongs to it, and refuses a second one.
pub(crate) fn choose<'n, C: Choice>(
    key: &'n Key,
    node: &Node,
    reader: &mut Reader,
    chosen: &mut Option<&'n str>,
    slot: &mut Option<C>,
) -> bool {
    let Some(value) = C::read_key(key, node, reader) else { return false };
    let Some(value) = value else { return true };
    if let Some(first) = chosen {
        let message = format!("only one of {first:?} and {:?} may be set", key.name);
        reader.error(key.at, message, "remove one of them");
    }
    *chosen = Some(&key.name);
    *slot = Some(value);
    true
}

/// Finds the value of an enumeration by name or number.
pub(crate) fn pick<E: Copy>(node: &Node, reader: &mut Reader, all: &[(E, i32, &str)]) -> Option<E> {
    let found = match &node.content {
        Content::String(s) => all.iter().find(|(_, _, name)| name == s),
        Content::Integer(n) => all.iter().find(|(_, number, _)| i128::from(*number) == *n),
        _ => None,
    };
    if found.is_none() {
        let names: Vec<&str> = all.iter().map(|(_, _, name)| *name).collect();
        let message = format!("{} is not a value of this field", node.describe());
        reader.error(node.at, message, format!("one of {}", names.join(", ")));
    }
    found.map(|(value, _, _)| *value)
}

/// The entry of a field in a JSON object, unless it is absent.
pub(crate) fn entry<F: Field>(field: &str, json: &str, value: &F) -> Option<(String, Value)> {
    (!value.is_absent()).then(|| (super::reader::json_name(field, json), value.to_value()))
}

impl Field for String {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        match &node.content {
            Content::String(s) => self.clone_from(s),
            _ => reader.mismatch(node, "a string"),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Field for bool {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        match node.content {
            Content::Bool(b) => *self = b,
            _ => reader.mismatch(node, "true or false"),
        }
    }

    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }

    fn is_absent(&self) -> bool {
        !*self
    }
}

/// The whole number a node says: a number, a whole float, or digits in quotes as protobuf JSON has them.
fn whole(node: &Node) -> Option<i128> {
    match &node.content {
        Content::Integer(n) => Some(*n),
        Content::Float(f) if f.fract() == 0.0 && f.abs() < 1e18 => Some(*f as i128),
        Content::String(s) => s.parse().ok(),
        _ => None,
    }
}

/// A whole number as JSON.
fn integer(number: i128) -> Value {
    i64::try_from(number).map_or(Value::Number(number as f64), Value::Integer)
}

macro_rules! whole_number_field {
    ($($ty:ty => $name:literal),*) => { $(
        impl Field for $ty {
            fn read(&mut self, node: &Node, reader: &mut Reader) {
                match whole(node).map(<$ty>::try_from) {
                    Some(Ok(n)) => *self = n,
                    Some(Err(_)) => {
                        let hint = format!("{} to {}", <$ty>::MIN, <$ty>::MAX);
                        reader.error(node.at, format!("{} is out of range", node.describe()), hint);
                    }
                    None => reader.mismatch(node, $name),
                }
            }

            fn to_value(&self) -> Value {
                integer((*self).into())
            }

            fn is_absent(&self) -> bool {
                *self == 0
            }
        }
    )* };
}
whole_number_field!(i32 => "a whole number", u32 => "a whole number", i64 => "a whole number", u64 => "a whole number");

impl Field for f64 {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        let number = match &node.content {
            Content::Integer(n) => Some(*n as f64),
            Content::Float(f) => Some(*f),
            Content::String(s) => s.parse().ok(),
            _ => None,
        };
        match number {
            Some(n) if n.is_finite() => *self = n,
            Some(_) => reader.error(node.at, "the number is not finite", ""),
            None => reader.mismatch(node, "a number"),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(*self)
    }

    fn is_absent(&self) -> bool {
        *self == 0.0
    }
}

impl Field for Duration {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        match node.as_str().map(str::parse) {
            Some(Ok(duration)) => *self = duration,
            Some(Err(why)) => {
                let message = format!("{} is not a duration: {why}", node.describe());
                reader.error(node.at, message, "write it like 1.5s, 250ms or 1h");
            }
            None => reader.mismatch(node, "a duration like 1.5s"),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_proto_string())
    }

    fn is_absent(&self) -> bool {
        false
    }
}

impl Field for Value {
    fn read(&mut self, node: &Node, _: &mut Reader) {
        *self = node.to_value();
    }

    fn to_value(&self) -> Value {
        self.clone()
    }

    fn is_absent(&self) -> bool {
        false
    }
}

impl Field for Bytes {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        let engines =
            [&base64::engine::general_purpose::STANDARD, &base64::engine::general_purpose::URL_SAFE];
        match node.as_str().map(|s| engines.iter().find_map(|e| e.decode(s.trim()).ok())) {
            Some(Some(bytes)) => self.0 = bytes,
            Some(None) => reader.error(node.at, "the string is not base64", ""),
            None => reader.mismatch(node, "a base64 string"),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(base64::engine::general_purpose::STANDARD.encode(&self.0))
    }

    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Field + Default> Field for Option<T> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        let mut value = T::default();
        value.read(node, reader);
        *self = Some(value);
    }

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Field::to_value)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Field> Field for Box<T> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        self.as_mut().read(node, reader);
    }

    fn to_value(&self) -> Value {
        self.as_ref().to_value()
    }

    fn is_absent(&self) -> bool {
        self.as_ref().is_absent()
    }
}

impl<T: Field + Default> Field for Vec<T> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        let Content::List(elements) = &node.content else { return reader.mismatch(node, "a list") };
        self.clear();
        for (index, element) in elements.iter().enumerate() {
            let mut value = T::default();
            reader.element(index, element.at, |reader| {
                if element.is_null() {
                    reader.error(element.at, "an element of a list may not be null", "remove it");
                } else {
                    value.read(element, reader);
                }
            });
            self.push(value);
        }
        self.shrink_to_fit();
    }

    fn to_value(&self) -> Value {
        Value::List(self.iter().map(Field::to_value).collect())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// The entries of a map, each read, in the order they are written.
fn entries<T: Field + Default>(node: &Node, reader: &mut Reader) -> Vec<(String, T)> {
    let mut out = Vec::new();
    for (key, element) in reader.entries(node) {
        let mut value = T::default();
        reader.within(&key.name, key.at, |reader| {
            if !element.is_null() {
                value.read(element, reader);
            }
        });
        out.push((key.name.clone(), value));
    }
    out
}

impl<T: Field + Default> Field for LiteMap<String, T> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        let entries = entries(node, reader);
        *self = Self::with_capacity(entries.len());
        self.extend(entries);
    }

    fn to_value(&self) -> Value {
        Value::Object(self.iter().map(|(k, v)| (k.clone(), v.to_value())).collect())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Field + Default> Field for BTreeMap<String, T> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        *self = entries(node, reader).into_iter().collect();
    }

    fn to_value(&self) -> Value {
        Value::Object(self.iter().map(|(k, v)| (k.clone(), v.to_value())).collect())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}
