//! The agent from outside: its relay between a scripted Envoy and a scripted control plane, and the program itself.

mod control_plane;
mod program;
mod relay;
mod scrape;
