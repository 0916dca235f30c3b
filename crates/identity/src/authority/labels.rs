//! What a certificate may say about its workload in the subject, for TCP peers that see nothing else.

/// Facts about a workload that stock Envoy can read from a peer's certificate (`%DOWNSTREAM_PEER_SUBJECT%`) when there is
/// no HTTP header to carry them. Each becomes one `OU=<letter>:<value>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerLabels {
    /// `w:` the workload's name.
    pub workload: String,
    /// `cs:` its canonical service.
    pub canonical_service: String,
    /// `cr:` its canonical revision.
    pub canonical_revision: String,
    /// `c:` its cluster.
    pub cluster: String,
    /// `a:` its app label.
    pub app: String,
    /// `v:` its version label.
    pub version: String,
}

/// X.520's bound on an organizational unit.
const LONGEST: usize = 64;

impl PeerLabels {
    /// The units, in the fixed order w, cs, cr, c, a, v. Empty values, and values with characters that could be taken for
    /// more than text, are left out; longer ones are cut to 64 characters with their prefix.
    #[must_use]
    pub fn units(&self) -> Vec<String> {
        let pairs = [
            ("w", &self.workload),
            ("cs", &self.canonical_service),
            ("cr", &self.canonical_revision),
            ("c", &self.cluster),
            ("a", &self.app),
            ("v", &self.version),
        ];
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
        pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty() && value.chars().all(plain))
            .map(|(letter, value)| format!("{letter}:{value}").chars().take(LONGEST).collect())
            .collect()
    }
}
