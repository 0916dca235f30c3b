//! A workload outside of Kubernetes, as its agent presents it.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// What is known of a workload when its agent connects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// The id of its proxy, for messages.
    pub proxy: String,
    /// Its namespace, from its node's metadata.
    pub namespace: String,
    /// Its first address.
    pub address: String,
    /// Its network; empty for the default one.
    pub network: String,
    /// Its locality, as `region/zone/subzone`; empty if the node names none.
    pub locality: String,
    /// The labels of its node's metadata.
    pub labels: BTreeMap<String, String>,
    /// Whether its agent probes it (`readinessProbe` of its ProxyConfig).
    pub is_probed: bool,
    /// Whether it listens for HBONE.
    pub takes_hbone: bool,
    /// Whom it proved to be; `None` if it did not.
    pub identity: Option<Identity>,
}

/// Whom a workload proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The namespace of its service account.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
}

/// What makes a WorkloadEntry of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It is a member of this WorkloadGroup, and gets an entry: `AUTO_REGISTER_GROUP`.
    Member(String),
    /// It stands behind this entry, which is there: `WORKLOAD_ENTRY`.
    Behind(String),
}

/// What an agent found when it probed its workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it was well.
    pub is_healthy: bool,
    /// If not, why.
    pub message: String,
    /// When the report came.
    pub at: SystemTime,
}

/// Why a workload is not taken. The text is for whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Something it needs is not there, and may come.
    #[error("{0}")]
    Precondition(String),
    /// It is not who it would have to be.
    #[error("{0}")]
    Denied(String),
    /// The cluster did not answer, or not as it should: it may try again.
    #[error("{0}")]
    Unavailable(String),
}
