//! From text to typed objects: tree, schema, and what is told to the user on the way.

pub(crate) mod body;
mod documents;
mod metadata;
pub mod node;
pub mod reader;
mod scalar;
pub(crate) mod schema;
mod yaml;

pub use documents::{Decoded, documents, documents_in, from_json, from_node};
pub use metadata::{rfc3339, unix_seconds};
pub use node::{Content, Key, Mark, Node};
pub use reader::Reader;
pub use schema::Field;
pub use yaml::{SyntaxError, trees};
