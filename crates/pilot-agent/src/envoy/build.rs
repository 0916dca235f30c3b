//! Which Envoy this is: Istio's own proxy, with Istio's extensions compiled in, or a stock one.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What an Envoy binary can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvoyBuild {
    /// Built from istio/proxy.
    Istio,
    /// Built from envoyproxy/envoy.
    Stock,
}

/// The factory name of Istio's statistics filter, which stands in every istio/proxy binary and in no other.
const MARK: &[u8] = b"envoy.filters.http.istio_stats";
const BLOCK: usize = 1 << 20;

/// Looks for Istio's extensions in the binary itself. Reading a binary of 150 MB takes tens of milliseconds, so the
/// finding is kept in `cache` (if given) for as long as the file's size and time of change stay the same.
///
/// # Errors
/// When the binary cannot be read.
pub fn detect_build(binary: &Path, cache: Option<&Path>) -> io::Result<EnvoyBuild> {
    let file = File::open(binary)?;
    let metadata = file.metadata()?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    let fingerprint = format!("{} {} {changed} ", binary.display(), metadata.len());
    let known = cache.and_then(|cache| std::fs::read_to_string(cache).ok());
    match known.as_deref().and_then(|known| known.strip_prefix(&fingerprint)) {
        Some("istio") => return Ok(EnvoyBuild::Istio),
        Some("stock") => return Ok(EnvoyBuild::Stock),
        _ => {}
    }
    let (build, word) =
        if contains(file, MARK)? { (EnvoyBuild::Istio, "istio") } else { (EnvoyBuild::Stock, "stock") };
    if let Some(cache) = cache {
        // Only time is lost when it cannot be kept.
        let _ = std::fs::write(cache, format!("{fingerprint}{word}"));
    }
    Ok(build)
}

fn contains(mut source: impl Read, needle: &[u8]) -> io::Result<bool> {
    let finder = memchr::memmem::Finder::new(needle);
    let overlap = needle.len() - 1;
    let mut buffer = vec![0; BLOCK + overlap];
    let mut kept = 0;
    loop {
        let read = source.read(&mut buffer[kept..])?;
        if read == 0 {
            return Ok(false);
        }
        let filled = kept + read;
        if finder.find(&buffer[..filled]).is_some() {
            return Ok(true);
        }
        kept = filled.min(overlap);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

#[cfg(test)]
mod tests;
