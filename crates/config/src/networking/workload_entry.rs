//! The workload entry declarations of networking.istio.io: what its fields are and how they are read.

use std::collections::BTreeMap;

use crate::decode::schema::spec;
use crate::labels::Labels;

spec! {
    /// `WorkloadEntry` of networking.istio.io.
    pub struct WorkloadEntry {
        address: String,
        ports: BTreeMap<String, u32>,
        labels: Labels,
        network: String,
        locality: String,
        weight: u32,
        service_account: String,
    }
}
