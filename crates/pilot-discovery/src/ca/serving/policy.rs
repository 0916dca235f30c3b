//! Which TLS is spoken: versions, cipher suites, key exchange.

use std::sync::Arc;

use identity::key::Kind;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};

#[cfg(test)]
mod tests;

/// Suites that Go has under these names and that are not spoken here: no forward secrecy, no authenticated encryption.
const WEAK: [&str; 15] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

/// The suites of FIPS 140 below TLS 1.3.
const FIPS: [SupportedCipherSuite; 4] = [
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];
/// Those of TLS 1.3.
const FIPS13: [SupportedCipherSuite; 2] = [suite::TLS13_AES_128_GCM_SHA256, suite::TLS13_AES_256_GCM_SHA384];

/// What the secure port speaks.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
}

impl Default for Policy {
    /// TLS 1.2 and newer, with every suite there is.
    fn default() -> Self {
        Self { provider: Arc::new(default_provider()), versions: vec![&TLS13, &TLS12] }
    }
}

impl Policy {
    /// What `--tls-cipher-suites` (which says nothing of TLS 1.3), `--tls-min-version` and `COMPLIANCE_POLICY`, which has
    /// the last word, ask for, and what is to be told about it. As pilot/pkg/bootstrap/options.go and pkg/model/fips.go:
    /// EnforceGoCompliance.
    ///
    /// # Errors
    /// A version or suite that nobody knows, or no suite that is spoken here.
    pub fn new(suites: &str, min_version: &str, compliance: &str) -> Result<(Self, Vec<String>), String> {
        let mut warnings = Vec::new();
        let mut provider = default_provider();
        let mut versions = match min_version {
            "" | "1.2" => vec![&TLS13, &TLS12],
            "1.3" => vec![&TLS13],
            other => return Err(format!("--tls-min-version {other} is not supported: want 1.2 or 1.3")),
        };
        restrict(&mut provider, suites, &mut warnings)?;
        match compliance {
            "" => {}
            "fips-140-2" => {
                versions = vec![&TLS12];
                provider.cipher_suites = FIPS.to_vec();
                provider.kx_groups = vec![kx_group::SECP256R1];
            }
            "fips-140-3" => {
                versions = vec![&TLS13, &TLS12];
                provider.cipher_suites = [FIPS13.as_slice(), FIPS.as_slice()].concat();
                provider.kx_groups = vec![kx_group::SECP256R1, kx_group::SECP384R1];
            }
            "pqc" => {
                versions = vec![&TLS13];
                provider.cipher_suites = FIPS13.to_vec();
                let hybrid: &'static dyn SupportedKxGroup = kx_group::X25519MLKEM768;
                provider.kx_groups = vec![hybrid];
            }
            other => warnings.push(format!(
                "COMPLIANCE_POLICY={other} is not known and has no effect: want fips-140-2, fips-140-3 or pqc"
            )),
        }
        if compliance.starts_with("fips-140-") {
            warnings.push(format!("COMPLIANCE_POLICY={compliance}: only what it allows is spoken, but the cryptographic library of this build is not a validated module"));
        }
        Ok((Self { provider: Arc::new(provider), versions }, warnings))
    }

    /// The kind of key that a certificate for this needs: suites below TLS 1.3 are for one kind each.
    #[must_use]
    pub fn key(&self) -> Kind {
        let below = self.provider.cipher_suites.iter().filter(|suite| suite.version() == &TLS12);
        let mut names = below.map(|suite| name_of(suite.suite())).peekable();
        let rsa_alone = names.peek().is_some() && names.all(|name| name.contains("_RSA_"));
        if rsa_alone { Kind::Rsa(2048) } else { Kind::P256 }
    }
}

/// As Go writes it.
fn name_of(suite: CipherSuite) -> String {
    format!("{suite:?}").replace("TLS13_", "TLS_")
}

/// Leaves the suites of a comma-separated list, and those of TLS 1.3.
fn restrict(provider: &mut CryptoProvider, list: &str, warnings: &mut Vec<String>) -> Result<(), String> {
    let wanted: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let spoken: Vec<String> = provider.cipher_suites.iter().map(|suite| name_of(suite.suite())).collect();
    for name in &wanted {
        if WEAK.contains(name) {
            warnings
                .push(format!("--tls-cipher-suites: {name} is too weak to be spoken here; it is left out"));
        } else if !spoken.iter().any(|known| known == name) {
            return Err(format!(
                "--tls-cipher-suites: there is no cipher suite {name}; there are {}",
                spoken.join(", ")
            ));
        }
    }
    provider
        .cipher_suites
        .retain(|suite| suite.version() == &TLS13 || wanted.contains(&name_of(suite.suite()).as_str()));
    if wanted.iter().all(|name| WEAK.contains(name)) {
        return Err(format!(
            "--tls-cipher-suites: none of them is spoken here; there are {}",
            spoken.join(", ")
        ));
    }
    Ok(())
}
