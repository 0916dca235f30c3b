//! Any bytes a client sends are a refusal or a request, and the session stops talking after each.
//!
//! The input: one byte for the variant, then requests, each behind two bytes with its length.

use std::sync::Arc;
use std::time::SystemTime;

use prost::Message;
use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use xds::server::{Session, Source};
use xds::{Edition, Request, Resource, TypeUrl, Variant};

/// A source with something of every kind.
struct Everything(Arc<Edition>);

impl Source for Everything {
    fn edition(&self, _: &TypeUrl) -> Option<Arc<Edition>> {
        Some(Arc::clone(&self.0))
    }

    fn on_demand(&self, type_url: &TypeUrl) -> bool {
        *type_url == TypeUrl::Secret
    }

    fn lookup(&self, _: &TypeUrl, name: &str) -> Option<Resource> {
        name.starts_with('s').then(|| Resource::new(name, b"found".to_vec()))
    }
}

/// Responses to one request; there are three resources and a few hundred names.
const MOST: usize = 100_000;

/// What a fuzzer, and the seeded mutations among the tests, run.
pub(crate) fn fuzz_entry(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let variant = if first.is_multiple_of(2) { Variant::Delta } else { Variant::Sotw };
    let resources = ["a", "b", "80/c"].map(|name| Resource::new(name, name.as_bytes().to_vec()));
    let source = Everything(Edition::new(1, resources.to_vec()));
    let mut session = Session::new(variant, 7, Arc::default());
    while let Some((head, body)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*head)).min(body.len());
        let (message, more) = body.split_at(len);
        rest = more;
        let request = match variant {
            Variant::Delta => DeltaDiscoveryRequest::decode(message).map(Request::from),
            Variant::Sotw => DiscoveryRequest::decode(message).map(Request::from),
        };
        let Ok(request) = request else { continue };
        session.on_request(request);
        let mut responses = 0;
        while session.next_response(&source, SystemTime::UNIX_EPOCH).is_some() {
            responses += 1;
            assert!(responses < MOST, "the session never stops talking");
        }
    }
    for (type_url, status) in session.status() {
        assert_eq!(session.names(type_url).len(), status.names.len(), "{type_url:?}");
    }
}
