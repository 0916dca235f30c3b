//! Requests and responses in the form the state machine works with, the same for both protocol variants.

use std::sync::Arc;

use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};

use crate::edition::{Resource, Section};
use crate::type_url::TypeUrl;

/// The two variants of the protocol.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// `DeltaAggregatedResources`.
    #[default]
    Delta,
    /// `StreamAggregatedResources`, state of the world.
    Sotw,
}

/// A header of this server's answers to delta streams: it knows virtual hosts as resources of their own. Upstream's control
/// plane does not, and ends a stream that asks for them (pilot/pkg/xds/apigen.go), so an agent that may be led to one has
/// to keep such requests back.
pub const VIRTUAL_HOSTS_HEADER: &str = "x-meltemi-virtual-hosts";

/// One request of either variant, without its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The type it is about.
    pub type_url: TypeUrl,
    /// The nonce of the response it answers; empty if it answers none.
    pub nonce: String,
    /// Set if that response was refused.
    pub error: Option<Rejection>,
    /// What is wanted.
    pub wish: Wish,
}

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// A change of the subscription.
    Delta {
        /// Names to add.
        subscribe: Vec<String>,
        /// Names to take away.
        unsubscribe: Vec<String>,
        /// Names and versions the client holds from an earlier stream.
        claims: Vec<(String, String)>,
    },
    /// The whole subscription.
    Sotw {
        /// All names.
        names: Vec<String>,
    },
}

/// A refusal of a response by the client (`error_detail`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A gRPC status code.
    pub code: i32,
    /// The client's words.
    pub message: String,
}

impl From<DeltaDiscoveryRequest> for Request {
    fn from(request: DeltaDiscoveryRequest) -> Self {
        Self {
            type_url: TypeUrl::parse(&request.type_url),
            nonce: request.response_nonce,
            error: request.error_detail.map(|e| Rejection { code: e.code, message: e.message }),
            wish: Wish::Delta {
                subscribe: request.resource_names_subscribe,
                unsubscribe: request.resource_names_unsubscribe,
                claims: request.initial_resource_versions.into_iter().collect(),
            },
        }
    }
}

impl From<DiscoveryRequest> for Request {
    fn from(request: DiscoveryRequest) -> Self {
        Self {
            type_url: TypeUrl::parse(&request.type_url),
            nonce: request.response_nonce,
            error: request.error_detail.map(|e| Rejection { code: e.code, message: e.message }),
            wish: Wish::Sotw { names: request.resource_names },
        }
    }
}

/// A response, assembled from shared parts; `server::codec` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The variant it is written in.
    pub variant: Variant,
    /// Its type.
    pub type_url: TypeUrl,
    /// Its nonce, unique on its stream.
    pub nonce: Arc<str>,
    /// The revision of the edition it was made from; its version on the wire.
    pub revision: u64,
    /// The resources, in order.
    pub resources: Resources,
    /// Names that are gone; delta only.
    pub removed: Vec<Arc<str>>,
}

/// The resources of a response, in order. Whole sections are shared, so that they need not be written for each client.
#[derive(Debug, Clone, Default)]
pub struct Resources(Vec<Piece>);

#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Section(Arc<Section>),
    Single(Vec<Resource>),
    /// Of another type than the response.
    Foreign(TypeUrl, Box<[Resource]>),
}

impl Piece {
    pub(crate) fn resources(&self) -> &[Resource] {
        match self {
            Self::Section(section) => section.resources(),
            Self::Single(resources) => resources,
            Self::Foreign(_, resources) => resources,
        }
    }
}

impl Resources {
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Adds resources of another type than the response, as answers to questions have them.
    pub fn push_foreign(&mut self, type_url: TypeUrl, resources: Vec<Resource>) {
        self.0.push(Piece::Foreign(type_url, resources.into()));
    }

    pub(crate) fn push_section(&mut self, section: Arc<Section>) {
        self.0.push(Piece::Section(section));
    }

    pub(crate) fn push(&mut self, resource: Resource) {
        match self.0.last_mut() {
            Some(Piece::Single(resources)) => resources.push(resource),
            _ => self.0.push(Piece::Single(vec![resource])),
        }
    }

    /// The resources.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter().flat_map(Piece::resources)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.resources().len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<Resource>> for Resources {
    fn from(resources: Vec<Resource>) -> Self {
        Self(vec![Piece::Single(resources)])
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Resources {}
