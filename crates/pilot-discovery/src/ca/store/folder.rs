//! An authority in a folder of our own, for one control plane alone.

use std::path::PathBuf;

use process::files::{PRIVATE, PUBLIC, write_atomic};

use super::{Store, Texts};
use crate::ca::state::{Error, read, required};

/// The folder; its `ca-key.pem` is readable by the owner only.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// Stores the authority: the key first, the signing certificate last, each file in one step.
    fn store(&self, new: &Texts) -> Result<(), Error> {
        let put = |name: &str, text: &str, mode: u32| {
            let path = self.0.join(name);
            write_atomic(&path, text.as_bytes(), mode).map_err(|source| Error::File { path, source })
        };
        put("ca-key.pem", &new.ca_key, PRIVATE)?;
        put("root-cert.pem", &new.root_cert, PUBLIC)?;
        put("ca-cert.pem", &new.ca_cert, PUBLIC)
    }
}

impl Store for Folder {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn advice(&self) -> &'static str {
        "Restore the files from a backup, or remove the directory to start with a new root (workloads must then be restarted)"
    }

    fn load(&self) -> Result<Option<Texts>, Error> {
        // `ca-cert.pem` is written last: without it the others are what a process that died while making them left.
        let Some(ca_cert) = read(&self.0.join("ca-cert.pem"))? else { return Ok(None) };
        Ok(Some(Texts {
            ca_cert,
            ca_key: required(&self.0.join("ca-key.pem"))?.into(),
            root_cert: required(&self.0.join("root-cert.pem"))?,
            cert_chain: String::new(),
        }))
    }

    fn create(&self, new: &Texts) -> Result<bool, Error> {
        self.store(new).map(|()| true)
    }

    fn replace(&self, _: &Texts, new: &Texts) -> Result<bool, Error> {
        self.store(new).map(|()| true)
    }
}
