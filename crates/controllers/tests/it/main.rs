//! What controllers write into a real API server, when, and when not.

#[cfg(test)]
mod ca_bundle;
#[cfg(test)]
mod charge;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod cluster_trust_bundle;
#[cfg(test)]
mod default_revision;
#[cfg(test)]
mod ip_allocate;
#[cfg(test)]
mod leader;
#[cfg(test)]
mod notices;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod service_exports;
#[cfg(test)]
mod status;
#[cfg(test)]
mod untaint;
