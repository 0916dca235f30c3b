//! Stories of the real programs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a story that cannot be told fails, and says where")]

mod deaths;
mod edits;
mod forwarding;
mod local_mesh;
mod many_objects;
mod many_proxies;
mod operator;
mod pods;
mod reconnects;
mod replica;
mod replicas;
mod rotation;
mod secured;
mod stage;
mod traffic;
