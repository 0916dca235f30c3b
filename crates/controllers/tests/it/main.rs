//! What controllers write into a real API server, when, and when not.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod default_revision;
#[cfg(test)]
mod leader;
