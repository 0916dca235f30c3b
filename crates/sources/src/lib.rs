//! sources - where facts come from: folders of objects, API servers, mesh configuration.
//! In: files, watches, and how they change. Out: `Change`s: batches for a mesh, what is wrong with what was written, what was edited.
//! Here: watching, reading again, comparing with what is held.
//! Never here: what an object means, who is told of it.
//! Start reading at: files.rs, kubernetes.rs

mod change;
pub mod files;
pub mod kubernetes;
pub mod mesh_config;
pub mod names;
mod verdict;
pub mod watch;

pub use change::{Change, Edit, What};
pub use verdict::{Regarded, Ruling, Verdict};
