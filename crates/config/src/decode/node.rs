//! The tree between text and types: what YAML or JSON said, with the position of everything.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::value::Value;

/// A place in a text; both count from 1, 0 means unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mark {
    /// Line.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Mark,
    /// What it is.
    pub content: Content,
}

/// A key of an object and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it begins.
    pub at: Mark,
    /// The key.
    pub name: String,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// `null`, `~` or nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other finite number.
    Float(f64),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// An object in the order of the text.
    Object(Vec<(Key, Node)>),
}

impl Node {
    /// What it is, for messages: `a string`, `the number 5`.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Null => "null".to_owned(),
            Content::Bool(b) => format!("the truth value {b}"),
            Content::Integer(n) => format!("the number {n}"),
            Content::Float(n) => format!("the number {n}"),
            Content::String(s) if s.chars().count() <= 40 => format!("the string {s:?}"),
            Content::String(_) => "a string".to_owned(),
            Content::List(_) => "a list".to_owned(),
            Content::Object(_) => "an object".to_owned(),
        }
    }

    /// The member `name` of an object; `None` for anything else.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Content::Object(entries) = &self.content else { return None };
        entries.iter().find(|(k, _)| k.name == name).map(|(_, v)| v)
    }

    /// The elements of a list; none for anything else.
    pub fn elements(&self) -> &[Self] {
        if let Content::List(elements) = &self.content { elements } else { &[] }
    }

    /// The members of an object in their order; none for anything else.
    pub fn members(&self) -> &[(Key, Self)] {
        if let Content::Object(members) = &self.content { members } else { &[] }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Content::String(s) = &self.content { Some(s) } else { None }
    }

    /// Whether it says nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// The tree without positions.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(b) => Value::Bool(*b),
            Content::Integer(n) => i64::try_from(*n).map_or(Value::Number(*n as f64), Value::Integer),
            Content::Float(n) => Value::Number(*n),
            Content::String(s) => Value::String(s.clone()),
            Content::List(l) => Value::List(l.iter().map(Self::to_value).collect()),
            Content::Object(m) => {
                Value::Object(m.iter().map(|(k, v)| (k.name.clone(), v.to_value())).collect())
            }
        }
    }
}

impl From<Content> for Node {
    /// Without a position.
    fn from(content: Content) -> Self {
        Self { at: Mark::default(), content }
    }
}

/// A tree without positions, as what an API server sends is read. Of members of the same name the first counts.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree).map(Self::from)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Content::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            members.push((Key { at: Mark::default(), name }, value));
        }
        Ok(Content::Object(members))
    }
}

/// A tree without positions, for objects that come from an API and not from a text.
impl From<&serde_json::Value> for Node {
    fn from(json: &serde_json::Value) -> Self {
        use serde_json::Value as J;
        let content = match json {
            J::Null => Content::Null,
            J::Bool(b) => Content::Bool(*b),
            J::Number(n) => match (n.as_i128(), n.as_f64()) {
                (Some(i), _) => Content::Integer(i),
                (None, Some(f)) => Content::Float(f),
                (None, None) => Content::Null,
            },
            J::String(s) => Content::String(s.clone()),
            J::Array(l) => Content::List(l.iter().map(Self::from).collect()),
            J::Object(m) => Content::Object(
                m.iter()
                    .map(|(k, v)| (Key { at: Mark::default(), name: k.clone() }, Self::from(v)))
                    .collect(),
            ),
        };
        Self { at: Mark::default(), content }
    }
}
