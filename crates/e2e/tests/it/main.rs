//! Stories of the real programs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a story that cannot be told fails, and says where")]

mod deaths;
mod edits;
mod forwarding;
mod local_mesh;
mod many_proxies;
mod operator;
mod pods;
mod rotation;
mod stage;
mod traffic;
