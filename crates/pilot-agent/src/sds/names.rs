//! The names under which Envoy asks for secrets.

use std::path::PathBuf;

/// What a resource name of SDS stands for, as pkg/security/security.go: SdsCertificateConfigFromResourceName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretName {
    /// `default`: the workload's certificate and key.
    Workload,
    /// `ROOTCA`: the roots of the mesh.
    Roots,
    /// `file-cert:CHAIN~KEY`
    FileCertificate {
        /// The chain.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// `file-root:PATH`
    FileRoots(PathBuf),
    /// `file-root:system`: the roots of the operating system.
    SystemRoots,
}

impl SecretName {
    /// Reads a resource name; `None` for names nobody here can serve.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "default" => return Some(Self::Workload),
            "ROOTCA" => return Some(Self::Roots),
            "file-root:system" => return Some(Self::SystemRoots),
            _ => {}
        }
        if let Some(files) = name.strip_prefix("file-cert:") {
            let (chain, key) = files.split_once('~')?;
            return (!key.contains('~'))
                .then(|| Self::FileCertificate { chain: chain.into(), key: key.into() });
        }
        let path = name.strip_prefix("file-root:")?;
        (!path.contains('~')).then(|| Self::FileRoots(path.into()))
    }
}

#[cfg(test)]
mod tests;
