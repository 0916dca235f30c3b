//! loadgen - measures a control plane from the outside: many sidecar streams, a script of edits, and what each cost.
//! In: a `pilot-discovery` to start, the size of a mesh. Out: a Markdown table beside Istio's own figures.
//! Here: the mesh as files, sidecars over delta xDS, events, /proc, the table; what other benches share of it.
//! Never here: a verdict on time; anything the product needs; what a resource means beyond the names in it.
//! Start reading at: run.rs

pub mod istiod;
pub mod process;
pub mod sample;
