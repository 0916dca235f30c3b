//! Levels of log messages, and how lists of them are written in flags.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::LevelFilter;

use super::DEFAULT;

/// How much a scope says; the order is from silent to talkative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    None,
    /// Only what ends the process. No message has this level of its own, so it is as silent as `none`.
    Fatal,
    /// Errors.
    Error,
    /// Warnings and errors.
    Warn,
    /// What an operator wants to know.
    Info,
    /// Everything that is not tracing detail.
    Debug,
}

/// Why a level list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// Not `scope:level` or `level`.
    #[error("`{0}` is not of the form scope:level")]
    Format(String),
    /// No such level.
    #[error("unknown level `{0}`: want one of debug, info, warn, error, fatal, none")]
    Level(String),
    /// No such scope.
    #[error("unknown scope `{name}`: want one of {known}, all")]
    Scope {
        /// What was written.
        name: String,
        /// What there is.
        known: String,
    },
}

impl Level {
    /// Whether a message of `level` is said at this setting.
    pub(super) fn lets_through(self, level: tracing::Level) -> bool {
        level <= self.filter()
    }

    pub(super) fn filter(self) -> LevelFilter {
        match self {
            Self::None | Self::Fatal => LevelFilter::OFF,
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        match text {
            "none" => Ok(Self::None),
            "fatal" => Ok(Self::Fatal),
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err(LevelError::Level(text.to_string())),
        }
    }
}

/// Reads `scope:level,scope:level,level`; a bare level is that of `default`; an empty list is empty.
/// As pkg/log/options.go: convertScopedLevel.
pub fn parse_levels(list: &str) -> Result<Vec<(String, Level)>, LevelError> {
    let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (scope, level) = item.split_once(':').unwrap_or((DEFAULT, item));
            if scope.is_empty() || level.contains(':') {
                return Err(LevelError::Format(item.to_string()));
            }
            Ok((scope.to_string(), level.parse()?))
        })
        .collect()
}
