//! Stories of the real programs.

mod deaths;
mod edits;
mod local_mesh;
mod many_proxies;
mod rotation;
mod stage;
mod traffic;
