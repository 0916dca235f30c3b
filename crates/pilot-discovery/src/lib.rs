//! pilot-discovery - the control plane: one process that knows the mesh and tells every proxy.
//! In: flags, environment, configuration, workloads' requests. Out: xDS, certificates, debug pages, ControlZ.
//! Here: the certificate service; the composition of all other rooms.
//! Never here: anything a library crate could do.
//! Start reading at: start.rs

pub mod admission;
pub mod args;
pub mod ca;
pub mod catalog;
pub mod completion;
pub mod ctrlz;
pub mod debug;
pub mod events;
pub mod fetch;
pub mod intake;
pub mod metric_names;
pub mod objects;
pub mod options;
pub mod ports;
pub mod push_status;
pub mod reference;
pub mod reflection;
pub mod registration;
pub mod reports;
pub mod request;
pub mod secret_access;
pub mod start;
pub mod traces;
pub mod writes;
