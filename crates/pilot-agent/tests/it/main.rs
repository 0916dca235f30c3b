//! The agent from outside: its relay between a scripted Envoy and a scripted control plane, and the program itself.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and shows the log of the program it ran"
)]

mod control_plane;
mod program;
mod relay;
mod scrape;
mod tls;
