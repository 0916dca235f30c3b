//! The selectors of the shared selectors: what its fields are and how they are read.

use crate::decode::schema::{spec, spec_enum};
use crate::labels::Labels;

spec! {
    /// `WorkloadSelector` of the shared selectors.
    pub struct WorkloadSelector {
        match_labels: Labels,
    }
}

spec! {
    /// `PortSelector` of the shared selectors.
    pub struct PortSelector {
        number: u32,
    }
}

spec! {
    /// `PolicyTargetReference` of the shared selectors.
    pub struct PolicyTargetReference {
        group: String,
        kind: String,
        name: String,
        namespace: String,
    }
}

spec_enum! {
    /// `WorkloadMode` of the shared selectors.
    pub enum WorkloadMode {
        Undefined = 0 "UNDEFINED",
        Client = 1 "CLIENT",
        Server = 2 "SERVER",
        ClientAndServer = 3 "CLIENT_AND_SERVER",
    }
}
