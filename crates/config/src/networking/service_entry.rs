//! The service entry declarations of networking.istio.io: what its fields are and how they are read.

use super::{WorkloadEntry, WorkloadSelector};
use crate::decode::schema::{spec, spec_enum};

spec! {
    /// `ServiceEntry` of networking.istio.io.
    pub struct ServiceEntry {
        hosts: Vec<String>,
        addresses: Vec<String>,
        ports: Vec<ServicePort>,
        location: Location,
        resolution: Resolution,
        endpoints: Vec<WorkloadEntry>,
        workload_selector: Option<WorkloadSelector>,
        export_to: Vec<String>,
        subject_alt_names: Vec<String>,
    }
}

spec_enum! {
    /// `ServiceEntry.Location` of networking.istio.io.
    pub enum Location {
        MeshExternal = 0 "MESH_EXTERNAL",
        MeshInternal = 1 "MESH_INTERNAL",
    }
}

spec_enum! {
    /// `ServiceEntry.Resolution` of networking.istio.io.
    pub enum Resolution {
        None = 0 "NONE",
        Static = 1 "STATIC",
        Dns = 2 "DNS",
        DnsRoundRobin = 3 "DNS_ROUND_ROBIN",
        DynamicDns = 4 "DYNAMIC_DNS",
    }
}

spec! {
    /// `ServicePort` of networking.istio.io.
    pub struct ServicePort {
        number: u32,
        protocol: String,
        name: String,
        target_port: u32,
    }
}

spec! {
    /// `ServiceEntryAddress` of networking.istio.io.
    pub struct ServiceEntryAddress {
        value: String,
        host: String,
    }
}
