//! The Envoy process: how it is started, watched, drained and ended.

mod admin;
mod build;
mod command;
mod launch;
mod supervise;

pub use admin::{Admin, Readiness};
pub use build::{EnvoyBuild, detect_build};
pub use command::{EnvoyCommand, split_log_level};
pub use launch::{LAUNCH_SUBCOMMAND, LaunchArgs, launch};
pub use supervise::{DrainPolicy, Ended, Launcher, Orders, Supervisor};
