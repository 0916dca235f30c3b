//! controllers - what the control plane writes into clusters, and who of several replicas does it.
//! In: a cluster client, what is to be written, watches of what stands there. Out: writes, only where something differs.
//! Here: leader election.
//! Never here: what a mesh means, facts for it (`sources`), anything Envoy reads.
//! Start reading at: leader.rs

pub mod default_revision;
pub mod leader;

use tokio::sync::watch;

/// Told when the process stops: `true`, or the sender gone.
pub type Stop = watch::Receiver<bool>;

/// Waits until the process stops.
async fn stopped(stop: &mut Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}
