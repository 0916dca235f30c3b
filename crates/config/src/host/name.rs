//! A host name as rows and keys hold it.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A host name, fully qualified or a wildcard (`*.example.com`): shared text, ordered and hashed as such.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Host(Arc<str>);

impl Host {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it begins with `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        super::is_wildcard(&self.0)
    }

    /// The shared text.
    #[must_use]
    pub const fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl Deref for Host {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Host {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Host {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Arc<str>> for Host {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
