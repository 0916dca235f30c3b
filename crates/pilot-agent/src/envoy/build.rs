//! Which Envoy this is: Istio's own proxy, with Istio's extensions compiled in, or a stock one.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
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
const BLOCK: usize = 64 << 10;

/// Looks for Istio's extensions in the constants of the binary itself: some 10 of its 100 MB. The finding is kept in
/// `cache` (if given) for as long as the file's size and time of change stay the same.
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
    let whole = || std::iter::once(0..metadata.len()).collect();
    let places = constants(&file).filter(|places| !places.is_empty()).unwrap_or_else(whole);
    let mut marked = false;
    for place in places {
        marked = marked || contains(&file, place, MARK)?;
    }
    let (build, word) = if marked { (EnvoyBuild::Istio, "istio") } else { (EnvoyBuild::Stock, "stock") };
    if let Some(cache) = cache {
        // Only time is lost when it cannot be kept.
        let _ = std::fs::write(cache, format!("{fingerprint}{word}"));
    }
    Ok(build)
}

/// The parts of an ELF file of 64 bits that are loaded to be read only, neither written nor executed. `None` for every
/// other file, e.g. a script.
fn constants(file: &File) -> Option<Vec<Range<u64>>> {
    const PROGBITS: u32 = 1;
    const WRITE_ALLOC_EXECUTE: u64 = 7;
    const ALLOC: u64 = 2;
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).ok()?;
    if head[..6] != *b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (number(&head, 0x28, 8)?, number(&head, 0x3a, 2)?, number(&head, 0x3c, 2)?);
    let mut out = Vec::new();
    for index in 0..count {
        let mut section = [0; 64];
        file.read_exact_at(&mut section, table.checked_add(index * size)?).ok()?;
        let (kind, flags) = (number(&section, 4, 4)?, number(&section, 8, 8)?);
        if kind == u64::from(PROGBITS) && flags & WRITE_ALLOC_EXECUTE == ALLOC {
            let start = number(&section, 24, 8)?;
            out.push(start..start.checked_add(number(&section, 32, 8)?)?);
        }
    }
    Some(out)
}

/// A little-endian number of `length` bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn contains(file: &File, place: Range<u64>, needle: &[u8]) -> io::Result<bool> {
    let finder = memchr::memmem::Finder::new(needle);
    let overlap = needle.len() - 1;
    let mut buffer = vec![0; BLOCK + overlap];
    let (mut kept, mut at) = (0, place.start);
    while at < place.end {
        let room = usize::try_from(place.end - at).unwrap_or(BLOCK).min(buffer.len() - kept);
        let read = file.read_at(&mut buffer[kept..kept + room], at)?;
        if read == 0 {
            return Ok(false);
        }
        at += read as u64;
        let filled = kept + read;
        if finder.find(&buffer[..filled]).is_some() {
            return Ok(true);
        }
        kept = filled.min(overlap);
        buffer.copy_within(filled - kept..filled, 0);
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
