//! The kinds of Kubernetes a mesh is made from, cut down to the fields that matter to it.

mod endpoints;
mod ingress;
mod multicluster;
mod node;
mod plain;
mod pod;
mod service;

pub use endpoints::*;
pub use ingress::*;
pub use multicluster::*;
pub use node::*;
pub use plain::*;
pub use pod::*;
pub use service::*;

use crate::decode::node::{Content, Node as Tree};
use crate::decode::reader::Reader;
use crate::decode::schema::Field;
use crate::value::Value;

/// A port by number or by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A name.
    String(String),
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl Field for IntOrString {
    fn read(&mut self, node: &Tree, reader: &mut Reader) {
        if let Content::String(name) = &node.content {
            *self = Self::String(name.clone());
        } else {
            let mut number = 0;
            number.read(node, reader);
            *self = Self::Int(number);
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Int(number) => Value::Integer((*number).into()),
            Self::String(name) => Value::String(name.clone()),
        }
    }

    fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}
