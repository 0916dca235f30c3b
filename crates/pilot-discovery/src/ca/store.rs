//! Where a self-signed authority is kept, so that the next start and other replicas go on with it.

use std::collections::BTreeMap;
use std::fmt;

use identity::Authority;
use identity::authority::Parts;
use identity::key::SecretText;

use super::state::Error;

mod folder;
mod secret;

pub use folder::Folder;
pub(super) use secret::GENERATED;
pub use secret::InSecret;

/// A place for one authority. Its methods block: on files, or on an API server.
pub trait Store: Send + Sync + fmt::Debug {
    /// The place, for messages.
    fn place(&self) -> String;

    /// What to do about an authority there that cannot be used, as a sentence without its full stop.
    fn advice(&self) -> &'static str;

    /// What is kept; `None` if nothing is. Incomplete is an error, never nothing.
    ///
    /// # Errors
    /// It cannot be read.
    fn load(&self) -> Result<Option<Texts>, Error>;

    /// What an operator keeps there to be plugged in: contents by names of files. `None` if there is nothing, or no place for
    /// it.
    ///
    /// # Errors
    /// It cannot be read.
    fn plugged(&self) -> Result<Option<BTreeMap<String, Vec<u8>>>, Error> {
        Ok(None)
    }

    /// Keeps `new` where nothing is kept. False if there is something meanwhile, which then stays.
    ///
    /// # Errors
    /// It cannot be written.
    fn create(&self, new: &Texts) -> Result<bool, Error>;

    /// Puts `new` in the place of `old`. False if that is no longer what is kept, which then stays.
    ///
    /// # Errors
    /// It cannot be written; what is kept is as it was.
    fn replace(&self, old: &Texts, new: &Texts) -> Result<bool, Error>;
}

/// The PEM texts of an authority.
#[derive(Clone, PartialEq, Eq)]
pub struct Texts {
    /// `ca-cert.pem`: the signing certificate.
    pub ca_cert: String,
    /// `ca-key.pem`: its key.
    pub ca_key: SecretText,
    /// `root-cert.pem`: the roots to believe.
    pub root_cert: String,
    /// `cert-chain.pem`; empty for a root.
    pub cert_chain: String,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts(secret)")
    }
}

impl Texts {
    /// Those of a self-signed authority.
    #[must_use]
    pub fn of(authority: &Authority) -> Self {
        Self {
            ca_cert: authority.certificate().to_pem(),
            ca_key: authority.key().to_pkcs8_pem(),
            root_cert: authority.bundle().to_pem(),
            cert_chain: String::new(),
        }
    }

    /// As the authority is put together from them.
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            ca_cert: &self.ca_cert,
            ca_key: &self.ca_key,
            root_cert: &self.root_cert,
            cert_chain: &self.cert_chain,
        }
    }
}
