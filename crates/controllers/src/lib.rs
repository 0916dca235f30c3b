//! controllers - what the control plane writes into clusters, and who of several replicas does it.
//! In: a cluster client, what is to be written, watches of what stands there. Out: writes, only where something differs.
//! Here: leader election, CA bundle, addresses of ServiceEntries, exports, taints of nodes, statuses, events, registration.
//! Never here: what a mesh means, facts for it (`sources`), anything Envoy reads.
//! Start reading at: leader.rs

pub mod ca_bundle;
pub mod charge;
pub mod cluster_trust_bundle;
pub mod default_revision;
pub mod ip_allocate;
pub mod leader;
mod mirror;
pub mod namespaces;
pub mod notices;
mod objects;
mod queue;
pub mod registration;
pub mod service_exports;
pub mod status;
pub mod untaint;

use tokio::sync::watch;

/// Told when the process stops: `true`, or the sender gone.
pub type Stop = watch::Receiver<bool>;

/// Waits until the process stops.
async fn stopped(stop: &mut Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether the process stops.
fn is_stopped(stop: &Stop) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Waits for another value; for ever if there will be none.
async fn news<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
