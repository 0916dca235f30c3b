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
