//! Objects in the binary form of Kubernetes, cut down to what the mesh reads of them; everything else is skipped unread.
//!
//! As JSON, pods are most of what an API server has to write at a start, and of what has to be read, and EndpointSlices
//! most of the rest. Numbers of fields are those of apimachinery's generated.proto. Texts are shown as JSON shows them: what
//! is no UTF-8 as U+FFFD.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use config::labels::Labels;
use config::{Kind, Meta, Object, Origin, Owner, text};
use prost::Message;

use super::raw::Raw;

mod endpoint_slice;
mod pod;

use endpoint_slice::EndpointSlice;
use pod::Pod;

/// What stands before every object.
pub(super) const MARK: &[u8; 4] = b"k8s\0";

/// An object of a kind that is read in this form, without its version: another version that says the same is no change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Binary {
    Pod(Box<Pod>),
    EndpointSlice(Box<EndpointSlice>),
}

/// One frame of a watch.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// An object came, or is another one.
    Put(Raw),
    /// An object is gone.
    Gone(Raw),
    /// So far the watch has come.
    Bookmark { version: String },
    /// The API server has ended the watch: HTTP status, what it says.
    Failed { code: u16, reason: String, message: String },
}

/// Reads one of the watch of a kind.
///
/// # Errors
/// What is wrong with it.
pub(super) fn frame(kind: Kind, bytes: Bytes) -> Result<Frame, String> {
    let WatchEvent { kind: event, object } = read(bytes)?;
    let object = object.unwrap_or_default().raw;
    if !object.starts_with(MARK) {
        return Err(format!("an event {event:?} whose object is not in the binary form"));
    }
    let Unknown { raw } = read(object.slice(MARK.len()..))?;
    match event.as_str() {
        "ADDED" | "MODIFIED" => Ok(Frame::Put(Binary::read(kind, raw)?.into_raw())),
        "DELETED" => Ok(Frame::Gone(Binary::read(kind, raw)?.into_raw())),
        "BOOKMARK" => {
            let Bare { metadata } = read(raw)?;
            Ok(Frame::Bookmark { version: owned(&metadata.unwrap_or_default().resource_version) })
        }
        "ERROR" => {
            let Status { message, reason, code } = read(raw)?;
            Ok(Frame::Failed { code: u16::try_from(code).unwrap_or_default(), reason, message })
        }
        _ => Err(format!("an event of the unknown kind {event:?}")),
    }
}

/// The version that the metadata of a list says.
///
/// # Errors
/// What is wrong with it.
pub(super) fn version_of_list(bytes: Bytes) -> Result<String, String> {
    let ListMeta { resource_version } = read(bytes)?;
    Ok(owned(&resource_version))
}

fn read<T: Message + Default>(bytes: Bytes) -> Result<T, String> {
    T::decode(bytes).map_err(|error| error.to_string())
}

#[derive(Clone, PartialEq, Message)]
struct ListMeta {
    #[prost(bytes = "bytes", tag = "2")]
    resource_version: Text,
}

/// An object of which only the metadata is looked at.
#[derive(Clone, PartialEq, Message)]
struct Bare {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchEvent {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(message, optional, tag = "2")]
    object: Option<RawExtension>,
}

#[derive(Clone, PartialEq, Message)]
struct RawExtension {
    #[prost(bytes = "bytes", tag = "1")]
    raw: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(bytes = "bytes", tag = "2")]
    raw: Bytes,
}

/// Why an API server does not do something.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(int32, tag = "6")]
    code: i32,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct ObjectMeta {
    #[prost(bytes = "bytes", tag = "1")]
    name: Text,
    #[prost(bytes = "bytes", tag = "3")]
    namespace: Text,
    #[prost(bytes = "bytes", tag = "5")]
    uid: Text,
    #[prost(bytes = "bytes", tag = "6")]
    resource_version: Text,
    #[prost(int64, tag = "7")]
    generation: i64,
    #[prost(message, optional, tag = "8")]
    creation: Option<Time>,
    #[prost(message, optional, tag = "9")]
    deletion: Option<Time>,
    #[prost(message, repeated, tag = "11")]
    labels: Vec<Entry>,
    #[prost(message, repeated, tag = "12")]
    annotations: Vec<Entry>,
    #[prost(message, repeated, tag = "13")]
    owners: Vec<OwnerReference>,
}

/// An entry of a map.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct Entry {
    #[prost(bytes = "bytes", tag = "1")]
    key: Text,
    #[prost(bytes = "bytes", tag = "2")]
    value: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct OwnerReference {
    #[prost(bytes = "bytes", tag = "1")]
    kind: Text,
    #[prost(bytes = "bytes", tag = "3")]
    name: Text,
    #[prost(bytes = "bytes", tag = "5")]
    api_version: Text,
    #[prost(bool, tag = "6")]
    controller: bool,
}

/// A text of a message.
type Text = Bytes;

fn shown(text: &Text) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

fn owned(text: &Text) -> String {
    shown(text).into_owned()
}

fn shared(of: &Text) -> Arc<str> {
    text(&shown(of))
}

fn labels(entries: &[Entry]) -> Labels {
    entries.iter().map(|Entry { key, value }| (owned(key), owned(value))).collect()
}

impl Binary {
    /// The kinds.
    pub(super) const KINDS: [Kind; 2] = [Kind::Pod, Kind::EndpointSlice];

    /// Reads an object of a kind.
    ///
    /// # Errors
    /// What is wrong with it, or that the kind is read as JSON only.
    pub(super) fn read(kind: Kind, bytes: Bytes) -> Result<Self, String> {
        match kind {
            Kind::Pod => read(bytes).map(|pod| Self::Pod(Box::new(pod))),
            Kind::EndpointSlice => read(bytes).map(|slice| Self::EndpointSlice(Box::new(slice))),
            _ => Err(format!("{} are not read in the binary form", kind.plural())),
        }
    }

    fn metadata(&mut self) -> &mut Option<ObjectMeta> {
        match self {
            Self::Pod(pod) => &mut pod.metadata,
            Self::EndpointSlice(slice) => &mut slice.metadata,
        }
    }

    /// As it is handed on.
    pub(super) fn into_raw(mut self) -> Raw {
        let metadata = self.metadata().get_or_insert_default();
        let version = owned(&std::mem::take(&mut metadata.resource_version));
        let names = (owned(&metadata.name), owned(&metadata.namespace), version);
        Raw::of_binary(names, self)
    }

    /// The object that it is, in this version, as `config` reads it from JSON.
    pub(super) fn object(mut self, version: &str, origin: &Arc<str>) -> Object {
        let metadata = self.metadata().take().unwrap_or_default();
        let (kind, spec) = match self {
            Self::Pod(pod) => (Kind::Pod, pod.body().into()),
            Self::EndpointSlice(slice) => (Kind::EndpointSlice, slice.body().into()),
        };
        Object { meta: Arc::new(metadata.meta(kind, version, origin)), spec, status: None }
    }
}

impl ObjectMeta {
    fn meta(&self, kind: Kind, version: &str, origin: &Arc<str>) -> Meta {
        let owner = |owner: &OwnerReference| Owner {
            api_version: owned(&owner.api_version),
            kind: owned(&owner.kind),
            name: owned(&owner.name),
            controller: owner.controller,
        };
        Meta {
            labels: labels(&self.labels).into(),
            annotations: labels(&self.annotations).into(),
            creation: self.creation.as_ref().map_or(0, |time| time.seconds),
            uid: owned(&self.uid),
            resource_version: version.to_owned(),
            generation: self.generation,
            owners: self.owners.iter().map(owner).collect::<Vec<_>>().into(),
            deleting: self.deletion.is_some(),
            origin: Origin::of(origin.clone()),
            ..Meta::new(kind, &shown(&self.namespace), &shown(&self.name))
        }
    }
}

#[cfg(test)]
mod tests;
