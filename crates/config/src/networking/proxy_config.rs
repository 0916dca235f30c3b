//! The proxy config declarations of networking.istio.io: what its fields are and how they are read.

use std::collections::BTreeMap;

use crate::decode::schema::spec;
use crate::selector::WorkloadSelector;

spec! {
    /// `ProxyConfig` of networking.istio.io.
    pub struct ProxyConfig {
        selector: Option<WorkloadSelector>,
        concurrency: Option<i32>,
        environment_variables: BTreeMap<String, String>,
        image: Option<ProxyImage>,
    }
}

spec! {
    /// `ProxyImage` of networking.istio.io.
    pub struct ProxyImage {
        image_type: String,
    }
}
