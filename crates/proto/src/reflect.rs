//! Any message without knowing its type: descriptors at run time, JSON both ways, encoding with equal bytes for equal values.

mod encode;
mod json;
mod read;

use std::fmt;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

pub use encode::encode;
pub use json::{any_to_camel_json, any_to_json, message_to_json, to_json};
pub use read::{from_json, message_from_json};

#[cfg(test)]
mod tests;

static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.fds"));

// The build script wrote the set from files it had resolved, so it always decodes; were it ever not to, every
// look-up answers "unknown type" and the tests of this module fail.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap_or_default());

/// Descriptors of every message this crate has. The first call costs tens of milliseconds and some 27 MB.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The encoded `FileDescriptorSet` behind [`pool`].
pub fn descriptor_set() -> &'static [u8] {
    DESCRIPTORS
}

/// The descriptor a type URL names. What stands before the last `/` does not matter; a bare full name does as well.
pub fn descriptor(type_url: &str) -> Option<MessageDescriptor> {
    let name = type_url.rsplit_once('/').map_or(type_url, |(_, name)| name);
    pool().get_message_by_name(name)
}

/// The message in `bytes`.
///
/// # Errors
/// When the type is unknown or the bytes are not of that type.
pub fn decode(type_url: &str, bytes: &[u8]) -> Result<DynamicMessage, Error> {
    let descriptor = descriptor(type_url).ok_or_else(|| Error::UnknownType(type_url.to_owned()))?;
    DynamicMessage::decode(descriptor, bytes)
        .map_err(|source| Error::Decode { type_url: type_url.to_owned(), source })
}

/// Why a message could not be read or written without its type.
#[derive(Debug)]
pub enum Error {
    /// No descriptor has this name.
    UnknownType(String),
    /// The bytes are not a message of this type.
    Decode {
        /// The type that was tried.
        type_url: String,
        /// What was wrong with the bytes.
        source: prost::DecodeError,
    },
    /// The JSON is not a message of this type.
    Json {
        /// The type that was tried.
        type_url: String,
        /// Path of the field, such as `typed_config.vm_config`; empty for the whole.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownType(type_url) => write!(f, "unknown message type {type_url:?}"),
            Error::Decode { type_url, source } => write!(f, "not a {type_url}: {source}"),
            Error::Json { type_url, field, problem } if field.is_empty() => {
                write!(f, "not the JSON of a {type_url}: {problem}")
            }
            Error::Json { type_url, field, problem } => {
                write!(f, "not the JSON of a {type_url}: {field}: {problem}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::UnknownType(_) | Error::Json { .. } => None,
            Error::Decode { source, .. } => Some(source),
        }
    }
}
