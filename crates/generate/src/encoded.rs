//! Resources as they travel: encoded once, shared by everybody who gets the same bytes.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The resource types this room makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum TypeName {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoint,
    /// LDS.
    Listener,
    /// RDS.
    Route,
    /// VHDS: virtual hosts as resources of their own.
    VirtualHost,
    /// SDS.
    Secret,
    /// ECDS.
    Extension,
    /// NDS.
    NameTable,
}

impl TypeName {
    /// Every type, in the order in which they are pushed (as pilot/pkg/xds/ads.go: `PushOrder`).
    pub const ALL: [Self; 8] = [
        Self::Cluster,
        Self::Endpoint,
        Self::Listener,
        Self::Route,
        Self::VirtualHost,
        Self::Secret,
        Self::Extension,
        Self::NameTable,
    ];

    /// The type URL of the resource.
    #[must_use]
    pub const fn url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::NameTable => "type.googleapis.com/istio.networking.nds.v1.NameTable",
        }
    }

    /// The type with this URL, if it is made here.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.url() == url)
    }
}

/// One resource: name, content hash, encoded message (the value of the `Any`).
#[derive(Clone, Debug)]
pub struct Resource {
    /// The xDS resource name.
    pub name: Arc<str>,
    /// xxh3 of the bytes.
    pub version: u64,
    /// The bytes, shared.
    pub body: Bytes,
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.name == other.name
    }
}
impl Eq for Resource {}

impl Resource {
    /// Encodes `message` under `name`.
    pub fn encode<M: Message>(name: impl Into<Arc<str>>, message: &M) -> Self {
        Self::from_bytes(name, message.encode_to_vec().into())
    }

    /// Like [`Resource::encode`], for what many builds make alike: they share the bytes.
    pub fn encode_shared<M: Message>(name: &str, message: &M) -> Self {
        static BODIES: config::shared::Pool<[u8]> = config::shared::Pool::new();
        let encoded = message.encode_to_vec();
        let body = BODIES.one(&*encoded, || Arc::from(&*encoded));
        Self::from_bytes(config::text(name), Bytes::from_owner(body))
    }

    /// From bytes already encoded.
    pub fn from_bytes(name: impl Into<Arc<str>>, bytes: Bytes) -> Self {
        Self { name: name.into(), version: xxh3_64(&bytes), body: bytes }
    }

    /// Size of the encoded message in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether the message is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }
}

/// The digest of a list of resources: equal exactly when names, versions and order are.
#[must_use]
pub fn digest<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> u64 {
    let mut bytes = Vec::new();
    for r in resources {
        bytes.extend_from_slice(&xxh3_64(r.name.as_bytes()).to_le_bytes());
        bytes.extend_from_slice(&r.version.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// Resources that are sent one after the other and that editions share.
#[derive(Clone, Debug, Default)]
pub struct Section {
    resources: Vec<Resource>,
    digest: u64,
}

impl Section {
    /// A section of `resources`, in the order in which they are sent. Of several with one name the first stays.
    #[must_use]
    pub fn new(mut resources: Vec<Resource>) -> Arc<Self> {
        let mut have = HashSet::with_capacity(resources.len());
        resources.retain(|r| have.insert(r.name.clone()));
        Arc::new(Self { digest: digest(&resources), resources })
    }

    /// The resources.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// Equal exactly when names, versions and order are.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether it has a resource of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.resources.iter().any(|r| *r.name == *name)
    }
}

/// The digest of anything that can be hashed.
#[must_use]
pub fn digest_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = Xxh3::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The digest of anything that has a `Debug` form; for small intermediate answers only.
#[must_use]
pub fn digest_debug(value: &impl std::fmt::Debug) -> u64 {
    xxh3_64(format!("{value:?}").as_bytes())
}

/// A protobuf duration.
#[must_use]
pub fn duration(d: config::Duration) -> proto::google::protobuf::Duration {
    proto::google::protobuf::Duration { seconds: d.seconds(), nanos: d.subsec_nanos() }
}

/// A duration of whole seconds.
#[must_use]
pub const fn seconds(seconds: i64) -> proto::google::protobuf::Duration {
    proto::google::protobuf::Duration { seconds, nanos: 0 }
}

/// A present `UInt32Value`.
#[must_use]
pub const fn u32_value(value: u32) -> Option<proto::google::protobuf::UInt32Value> {
    Some(proto::google::protobuf::UInt32Value { value })
}

/// A present `BoolValue`.
#[must_use]
pub const fn bool_value(value: bool) -> Option<proto::google::protobuf::BoolValue> {
    Some(proto::google::protobuf::BoolValue { value })
}
