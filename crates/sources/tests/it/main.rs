//! Sources against the real thing: an API server with etcd.

#[cfg(test)]
mod binary;
#[cfg(test)]
mod kubernetes;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod multicluster;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod pace;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod same;
