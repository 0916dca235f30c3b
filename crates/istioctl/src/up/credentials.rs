//! What proves who is who in a local mesh: its own root certificate, and tokens for the workloads' service accounts.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use identity::authority::{Limits, SelfSigned};
use identity::key::Kind;
use identity::token::Issuer;
use identity::{Authority, PrivateKey};

/// The `iss` of tokens that `up` mints.
const ISSUER: &str = "https://meltemi.local";
/// For whom they are, as upstream.
const AUDIENCE: &str = "istio-ca";
/// A local mesh is not left running for a year; the token outlives it either way.
const TOKEN_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The issuer and the root of one mesh; made anew by every `up`.
pub struct Credentials {
    issuer: Issuer,
    root: String,
}

impl Credentials {
    /// Makes a root and an issuer; writes the CA's files (`ca-cert.pem`, `ca-key.pem`, `cert-chain.pem`,
    /// `root-cert.pem`) into `directory`, where the control plane finds its plugged-in CA.
    ///
    /// # Errors
    /// If a key cannot be made or a file cannot be written.
    pub fn make(directory: &Path, trust_domain: &str) -> anyhow::Result<Self> {
        let options = SelfSigned { key: Kind::P256, ..SelfSigned::of(trust_domain) };
        let authority = Authority::self_signed(&options, Limits::default(), SystemTime::now())?;
        let root = authority.certificate().to_pem();
        super::paths::private_directory(directory)?;
        for name in ["ca-cert.pem", "cert-chain.pem", "root-cert.pem"] {
            secret_file(&directory.join(name), root.as_bytes())?;
        }
        secret_file(&directory.join("ca-key.pem"), authority.key().to_pkcs8_pem().as_bytes())?;
        let issuer = Issuer::new(ISSUER, &PrivateKey::generate(Kind::P256)?)?;
        Ok(Self { issuer, root })
    }

    /// The control plane's `JWT_RULE`: these tokens, for this audience, by these keys.
    #[must_use]
    pub fn jwt_rule(&self) -> String {
        serde_json::json!({"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": self.issuer.jwks()}).to_string()
    }

    /// Writes what an agent looks for below its working directory: the root, and a token of its service account.
    ///
    /// # Errors
    /// If the names are not fit for an identity, or a file cannot be written.
    pub fn equip(&self, agent: &Path, namespace: &str, service_account: &str) -> anyhow::Result<()> {
        let token = self
            .issuer
            .mint(namespace, service_account, AUDIENCE, TOKEN_LIFE, SystemTime::now())
            .with_context(|| format!("service account {service_account} of namespace {namespace}"))?;
        let secrets = agent.join("var/run/secrets");
        super::paths::private_directory(&secrets.join("tokens"))?;
        super::paths::private_directory(&secrets.join("istio"))?;
        secret_file(&secrets.join("tokens/istio-token"), token.as_bytes())?;
        secret_file(&secrets.join("istio/root-cert.pem"), self.root.as_bytes())?;
        Ok(())
    }
}

/// Writes a file that only this user may read.
fn secret_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)
}

#[cfg(test)]
mod tests;
