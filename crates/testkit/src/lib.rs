//! testkit - what tests of several crates share: fixtures, a scripted proxy, and the simulation of the control plane.
//! In: YAML, seeds, addresses of servers. Out: Worlds, resources, verdicts.
//! Here: fixture, check, scripted, churn, link, name_server, eventually, simulation, api_server, node, get.
//! Never here: anything a program needs; this is a dev-dependency, and never a normal one.
//! Start reading at: simulation.rs

pub mod api_server;
mod ask;
pub mod check;
pub mod churn;
mod eventually;
pub mod fixture;
pub mod link;
pub mod name_server;
pub mod node;
mod program;
pub mod scripted;
pub mod simulation;

pub use ask::{Answer, get, get_over};
pub use eventually::eventually;
pub use program::Program;
