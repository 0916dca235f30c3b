//! An object as an API server sends it, of whatever kind: decoded once and dropped.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use config::Kind;
use config::decode::{Content, Decoded, Key, Mark, Node, from_node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer, de};

use super::protobuf::Binary;

/// One object, and the little of its metadata that a watcher needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    /// Name, namespace and resource version.
    meta: ObjectMeta,
    body: Body,
}

/// What it says, in the form in which it came.
#[derive(Clone, Debug, PartialEq)]
enum Body {
    /// JSON: all of it, without `metadata.managedFields`.
    Tree(Node),
    /// The binary form, without its version.
    Binary(Binary),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut tree = Node::deserialize(deserializer)?;
        let metadata = match &mut tree.content {
            Content::Object(members) => members.iter_mut().find(|(key, _)| key.name == "metadata"),
            _ => None,
        };
        let Some((_, metadata)) = metadata else {
            return Err(de::Error::custom("an object without metadata"));
        };
        if let Content::Object(members) = &mut metadata.content {
            members.retain(|(key, _)| key.name != "managedFields");
        }
        let text = |key: &str| metadata.get(key).and_then(Node::as_str).map(str::to_owned);
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, body: Body::Tree(tree) })
    }
}

impl kube::Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.kind).into()
    }
    fn group(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.group).into()
    }
    fn version(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.version).into()
    }
    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.api_version).into()
    }
    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.plural).into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// How an API server is asked for a kind in one of its versions.
pub(crate) fn resource(kind: Kind, version: &str) -> ApiResource {
    let group = kind.group();
    ApiResource {
        api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.name().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

impl Raw {
    /// From an object in the binary form without its version, and what names it: name, namespace, version.
    pub(super) fn of_binary((name, namespace, version): (String, String, String), object: Binary) -> Self {
        let meta = ObjectMeta {
            name: Some(name),
            namespace: Some(namespace),
            resource_version: Some(version),
            ..ObjectMeta::default()
        };
        Self { meta, body: Body::Binary(object) }
    }

    /// Its version.
    pub(super) fn version(&self) -> &str {
        self.meta.resource_version.as_deref().unwrap_or_default()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// Its namespace; empty if it has none.
    pub(crate) fn namespace(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }

    /// The value of a label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.metadata("labels")?.get(name)?.as_str()
    }

    /// Its revision at the API server, as far as that is a number.
    pub(crate) fn revision(&self) -> u64 {
        self.meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
    }

    /// The object, or what is wrong with it. Elements of lists do not say their kind and version; problems are of `origin`.
    pub(crate) fn decode(self, kind: Kind, api_version: &str, origin: &Arc<str>) -> Decoded {
        let mut tree = match self.body {
            Body::Binary(object) => {
                let version = self.meta.resource_version.unwrap_or_default();
                return Decoded { objects: vec![object.object(&version, origin)], ..Decoded::default() };
            }
            Body::Tree(tree) => tree,
        };
        if let Content::Object(members) = &mut tree.content {
            members.retain(|(key, _)| !matches!(key.name.as_str(), "apiVersion" | "kind"));
            for (name, text) in [("apiVersion", api_version), ("kind", kind.name())] {
                let key = Key { at: Mark::default(), name: name.to_owned() };
                members.push((key, Content::String(text.to_owned()).into()));
            }
        }
        from_node(origin, &tree, "")
    }

    /// What JSON said; nothing of what came in the binary form, of which nobody asks.
    fn tree(&self) -> Option<&Node> {
        match &self.body {
            Body::Tree(tree) => Some(tree),
            Body::Binary(_) => None,
        }
    }

    /// Its unique id; empty if it has none.
    pub(crate) fn uid(&self) -> &str {
        self.metadata("uid").and_then(Node::as_str).unwrap_or_default()
    }

    /// How often its spec changed.
    pub(crate) fn generation(&self) -> i64 {
        match self.metadata("generation").map(|node| &node.content) {
            Some(Content::Integer(number)) => i64::try_from(*number).unwrap_or_default(),
            _ => 0,
        }
    }

    /// The types of the conditions in its status.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &str> {
        let conditions = self.tree().and_then(|tree| tree.get("status")?.get("conditions"));
        conditions
            .map(Node::elements)
            .into_iter()
            .flatten()
            .filter_map(|condition| condition.get("type")?.as_str())
    }

    fn metadata(&self, name: &str) -> Option<&Node> {
        self.tree()?.get("metadata")?.get(name)
    }

    /// A hash of what it says, without its version: another version that says the same is no change. Kind and version of
    /// the schema are left out, which are there or not depending on how it was asked for, and what of its status nobody
    /// reads: it is written by control planes, this one among them.
    pub(crate) fn hash(&self, kind: Kind, state: &RandomState) -> u64 {
        let tree = match &self.body {
            Body::Binary(object) => return state.hash_one(object),
            Body::Tree(tree) => tree,
        };
        let mut hasher = state.build_hasher();
        for (key, value) in tree.members() {
            match key.name.as_str() {
                "apiVersion" | "kind" => {}
                "status" if kind.is_istio() => {
                    if let Some((part, value)) = read_of_status(kind, value) {
                        hash_member(part, &value, &mut hasher);
                    }
                }
                "metadata" => {
                    for (key, value) in
                        value.members().iter().filter(|(key, _)| key.name != "resourceVersion")
                    {
                        hash_member(&key.name, value, &mut hasher);
                    }
                }
                name => hash_member(name, value, &mut hasher),
            }
        }
        hasher.finish()
    }
}

/// What the mesh is deduced from in the status of one of Istio's kinds: the addresses of a ServiceEntry, the health of a
/// WorkloadEntry.
fn read_of_status(kind: Kind, status: &Node) -> Option<(&'static str, Cow<'_, Node>)> {
    match kind {
        Kind::ServiceEntry => Some(("addresses", Cow::Borrowed(status.get("addresses")?))),
        Kind::WorkloadEntry => {
            let conditions = status.get("conditions")?.elements().iter();
            let is_health =
                |condition: &&Node| condition.get("type").and_then(Node::as_str) == Some("Healthy");
            let health: Vec<Node> = conditions.filter(is_health).cloned().collect();
            (!health.is_empty()).then(|| ("conditions", Cow::Owned(Content::List(health).into())))
        }
        _ => None,
    }
}

fn hash_member(key: &str, value: &Node, hasher: &mut impl Hasher) {
    hasher.write(key.as_bytes());
    hasher.write_u8(0xff);
    hash_tree(value, hasher);
}

/// Each value with a mark of what it is, so that no two trees give the same bytes.
fn hash_tree(value: &Node, hasher: &mut impl Hasher) {
    match &value.content {
        Content::Null => hasher.write_u8(0),
        Content::Bool(b) => hasher.write(&[1, u8::from(*b)]),
        Content::Integer(number) => {
            hasher.write_u8(2);
            hasher.write_i128(*number);
        }
        Content::Float(number) => {
            hasher.write_u8(6);
            hasher.write_u64(number.to_bits());
        }
        Content::String(text) => {
            hasher.write_u8(3);
            hasher.write(text.as_bytes());
            hasher.write_u8(0xff);
        }
        Content::List(items) => {
            hasher.write_u8(4);
            hasher.write_usize(items.len());
            items.iter().for_each(|item| hash_tree(item, hasher));
        }
        Content::Object(members) => {
            hasher.write_u8(5);
            hasher.write_usize(members.len());
            members.iter().for_each(|(key, value)| hash_member(&key.name, value, hasher));
        }
    }
}
