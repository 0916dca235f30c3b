//! Resource names and what they mean.

use super::*;

#[test]
fn names_are_read_as_upstream_reads_them() {
    assert_eq!(SecretName::parse("default"), Some(SecretName::Workload));
    assert_eq!(SecretName::parse("ROOTCA"), Some(SecretName::Roots));
    assert_eq!(SecretName::parse("file-root:system"), Some(SecretName::SystemRoots));
    assert_eq!(SecretName::parse("file-root:/a/b"), Some(SecretName::FileRoots("/a/b".into())));
    assert_eq!(
        SecretName::parse("file-cert:/a~/b"),
        Some(SecretName::FileCertificate { chain: "/a".into(), key: "/b".into() })
    );
    for bad in ["file-cert:/a", "file-cert:/a~/b~/c", "file-root:/a~/b", "kubernetes://x", ""] {
        assert_eq!(SecretName::parse(bad), None, "{bad}");
    }
}
