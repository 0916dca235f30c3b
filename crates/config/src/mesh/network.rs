//! The network declarations of the mesh configuration: what its fields are and how they are read.

use std::collections::BTreeMap;

use crate::decode::schema::{spec, spec_oneof};

spec! {
    /// `Network` of the mesh configuration.
    pub struct Network {
        endpoints: Vec<NetworkEndpoints>,
        gateways: Vec<IstioNetworkGateway>,
    }
}

spec! {
    /// `Network.NetworkEndpoints` of the mesh configuration.
    pub struct NetworkEndpoints {
    } oneof {
        ne: Ne,
    }
}

spec_oneof! {
    /// The one choice of `ne` in `Network.NetworkEndpoints` of the mesh configuration.
    pub enum Ne {
        FromCidr(String): from_cidr,
        FromRegistry(String): from_registry,
    }
}

spec! {
    /// `Network.IstioNetworkGateway` of the mesh configuration.
    pub struct IstioNetworkGateway {
        port: u32,
        locality: String,
    } oneof {
        gw: Gw,
    }
}

spec_oneof! {
    /// The one choice of `gw` in `Network.IstioNetworkGateway` of the mesh configuration.
    pub enum Gw {
        RegistryServiceName(String): registry_service_name,
        Address(String): address,
    }
}

spec! {
    /// `MeshNetworks` of the mesh configuration.
    pub struct MeshNetworks {
        networks: BTreeMap<String, Network>,
    }
}
