//! Tests of the test kit, and the tests that only it can run.

#[cfg(test)]
mod api_server;
#[cfg(test)]
mod node;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod simulation;
