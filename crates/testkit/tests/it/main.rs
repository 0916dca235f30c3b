//! Tests of the test kit, and the tests that only it can run.

mod scripted;
mod simulation;
