//! A snapshot of the process environment with getters that fall back to a default and say so.

use std::time::Duration;

use process::env::{FromVar, Vars, go_duration};

/// The environment variables the agent was started with.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vars);

impl Environment {
    /// Takes the variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(Vars::of_process())
    }

    /// Makes an environment of the given pairs; used where the values are not those of the process.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The variable as it is; `None` when it is not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// The variable, or `default` when it is unset or empty.
    #[must_use]
    pub fn text(&self, name: &str, default: &str) -> String {
        self.read(name, default.to_owned())
    }

    /// A boolean as Go's `strconv.ParseBool` reads it.
    #[must_use]
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.read(name, default)
    }

    /// A port number.
    #[must_use]
    pub fn port(&self, name: &str, default: u16) -> u16 {
        let number = self.read(name, u64::from(default));
        u16::try_from(number).unwrap_or_else(|_| {
            tracing::warn!("environment variable {name}={number}: not a port; using {default}");
            default
        })
    }

    /// A whole number that is not negative.
    #[must_use]
    pub fn count(&self, name: &str, default: u32) -> u32 {
        u32::try_from(self.read(name, u64::from(default))).unwrap_or(default)
    }

    /// A share such as 0.5.
    #[must_use]
    pub fn ratio(&self, name: &str, default: f64) -> f64 {
        self.read(name, default)
    }

    /// A Go duration such as `1h30m`.
    #[must_use]
    pub fn duration(&self, name: &str, default: Duration) -> Duration {
        self.read(name, default)
    }

    /// A value of any readable type; an unreadable one is `default`, with a warning.
    pub fn read<T: FromVar>(&self, name: &str, default: T) -> T {
        match self.0.read(name) {
            Ok(value) => value.unwrap_or(default),
            Err(invalid) => {
                tracing::warn!("{invalid}");
                default
            }
        }
    }

    /// Every variable whose name starts with `prefix`, in the order of names, with the prefix taken off.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.with_prefix(prefix)
    }
}

/// Reads a boolean with the spellings of Go's `strconv.ParseBool`.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    bool::from_var(text).ok()
}

/// Reads a Go duration that is not negative, e.g. `1h15m30.5s`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    go_duration(text.trim())
}

#[cfg(test)]
mod tests;
