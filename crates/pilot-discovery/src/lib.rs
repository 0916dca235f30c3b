//! pilot-discovery - the control plane: one process that knows the mesh and tells every proxy.
//! In: flags, configuration, workloads' requests. Out: xDS, certificates, webhooks, debug pages.
//! Here: the certificate service; the composition of all other rooms.
//! Never here: anything a library crate could do.
//! Start reading at: ca.rs

pub mod ca;
