//! Every switch of the control plane's environment: name, type, default and meaning, declared once.
//!
//! Nothing here reads the environment: the program hands the pairs in.

mod absent;
mod declare;
mod list;

pub use declare::{Statuses, Switch};
pub use list::Switches;

#[cfg(test)]
mod tests;
