//! What a round of the controllers came to.

use anyhow::{Error, Result};

/// Whether anything was written, and what was refused.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    wrote: bool,
    failed: Option<Error>,
}

impl Outcome {
    /// Takes note of one write. What failed does not keep the round from going on.
    pub(super) fn note<T>(&mut self, what: &str, name: &str, written: kube::Result<T>) {
        match written {
            Ok(_) => self.wrote = true,
            // somebody was faster: the next round sees what they made of it
            Err(kube::Error::Api(why)) if matches!(why.code, 404 | 409) => self.wrote = true,
            Err(error) => self.refuse(Error::new(error).context(format!("{what} {name}"))),
        }
    }

    /// Takes note of what cannot be done; the first is told.
    pub(super) fn refuse(&mut self, why: Error) {
        self.failed.get_or_insert(why);
    }

    /// Whether there was something to do.
    pub(super) fn into_result(self) -> Result<bool> {
        self.failed.map_or(Ok(self.wrote), Err)
    }
}
