//! The peer authentication declarations of security.istio.io: what its fields are and how they are read.

use std::collections::BTreeMap;

use crate::decode::schema::{spec, spec_enum};
use crate::selector::WorkloadSelector;

spec! {
    /// `PeerAuthentication` of security.istio.io.
    pub struct PeerAuthentication {
        selector: Option<WorkloadSelector>,
        mtls: Option<MutualTls>,
        port_level_mtls: BTreeMap<String, MutualTls>,
    }
}

spec! {
    /// `PeerAuthentication.MutualTLS` of security.istio.io.
    pub struct MutualTls {
        mode: Mode,
    }
}

spec_enum! {
    /// `PeerAuthentication.MutualTLS.Mode` of security.istio.io.
    pub enum Mode {
        Unset = 0 "UNSET",
        Disable = 1 "DISABLE",
        Permissive = 2 "PERMISSIVE",
        Strict = 3 "STRICT",
    }
}
