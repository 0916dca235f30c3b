//! Telling binaries apart.

use super::*;

#[test]
fn the_mark_is_found_across_blocks_and_the_finding_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (binary, cache) = (dir.path().join("envoy"), dir.path().join("cache"));
    let mut bytes = vec![0_u8; BLOCK - 5];
    bytes.extend_from_slice(MARK);
    bytes.extend_from_slice(&[0; 100]);
    std::fs::write(&binary, &bytes).unwrap();
    assert_eq!(detect_build(&binary, Some(&cache)).unwrap(), EnvoyBuild::Istio);
    assert!(std::fs::read_to_string(&cache).unwrap().ends_with(" istio"));

    let kept = std::fs::read_to_string(&cache).unwrap().replace("istio", "stock");
    std::fs::write(&cache, kept).unwrap();
    assert_eq!(detect_build(&binary, Some(&cache)).unwrap(), EnvoyBuild::Stock, "the cache was not asked");

    std::fs::write(&binary, b"something else").unwrap();
    assert_eq!(detect_build(&binary, Some(&cache)).unwrap(), EnvoyBuild::Stock);
    assert!(detect_build(&dir.path().join("none"), None).is_err());
}

/// A file with one section of constants and one of code.
fn elf(constants: &[u8], code: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 64];
    out[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let starts = [out.len(), out.len() + constants.len()];
    out.extend_from_slice(constants);
    out.extend_from_slice(code);
    let table = out.len() as u64;
    out[0x28..0x30].copy_from_slice(&table.to_le_bytes());
    out[0x3a] = 64;
    out[0x3c] = 2;
    for (start, length, flags) in [(starts[0], constants.len(), 2_u8), (starts[1], code.len(), 6)] {
        let mut section = [0; 64];
        section[4] = 1;
        section[8] = flags;
        section[24..32].copy_from_slice(&(start as u64).to_le_bytes());
        section[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        out.extend_from_slice(&section);
    }
    out
}

#[test]
fn only_the_constants_of_a_binary_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let build = |constants: &[u8], code: &[u8]| {
        let path = dir.path().join("envoy");
        std::fs::write(&path, elf(constants, code)).unwrap();
        detect_build(&path, None).unwrap()
    };
    assert_eq!(build(MARK, b"code"), EnvoyBuild::Istio);
    assert_eq!(build(b"constants", MARK), EnvoyBuild::Stock);
}
