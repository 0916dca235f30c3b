//! What is tested from outside of the crate.

mod fuzz;
