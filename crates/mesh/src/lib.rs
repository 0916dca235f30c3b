//! mesh - what is true of the mesh, whichever proxy asks.
//! In: Batch (facts). Out: Story, World (rows of typed tables).
//! Here: stages, each a pure function of a row and of what it reads.
//! Never here: waiting, Envoy words, the clock, a lock.
//! Start reading at: world.rs

pub mod endpoints;
pub mod exports;
pub mod gateways;
pub mod inputs;
pub mod key;
pub mod networks;
pub mod policies;
pub mod routes;
pub mod rules;
pub mod services;
pub mod settings;
pub mod sidecars;
pub mod workloads;
pub mod world;

pub use inputs::{Batch, Fact};
pub use key::{MaterialKey, ObjectKey, ServiceKey, WorkloadKey, WorkloadKind};
pub use world::{Mesh, World};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
