//! process - what any long-running program needs from its operating system, said once.
//! In: flags, environment variables, signals. Out: log lines, metrics text, listeners, clocks, delays.
//! Here: logging scopes, metrics registry, signals, listening, name servers, retry delays, clocks, env, file writing, huge pages.
//! Never here: any domain word; nothing in this crate knows what the programs are for.
//! Start reading at: log.rs

pub mod clock;
pub mod env;
pub mod files;
pub mod listen;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod name_servers;
pub mod retry;
pub mod roots;
pub mod signals;
