//! Metrics: Envoy's, the application's and the agent's own, merged into one answer that is never held whole.

pub mod expand;
pub mod merge;
pub mod own;
pub mod targets;
