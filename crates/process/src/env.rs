//! Environment variables, read once into plain pairs and then asked by type.

use std::collections::BTreeMap;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// A snapshot of variables. Whoever needs one gets this, never the live environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vars(BTreeMap<String, String>);

/// A variable whose value is not of its type. The caller goes on with the default and shows this to the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}={value}: {reason}; using the default")]
pub struct Invalid {
    /// The variable.
    pub name: String,
    /// What it was set to.
    pub value: String,
    /// What was wanted instead.
    pub reason: String,
}

/// A type that a variable can have.
pub trait FromVar: Sized {
    /// Reads the value, or says what was wanted.
    fn from_var(text: &str) -> Result<Self, String>;
}

impl Vars {
    /// The variables of this process as they are now; those that are not UTF-8 are read with replacement characters.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
            .collect()
    }

    /// The raw value; `None` if unset.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value as a `T`; `None` if unset or empty (as upstream: an empty variable is an unset one).
    pub fn read<T: FromVar>(&self, name: &str) -> Result<Option<T>, Invalid> {
        let Some(value) = self.get(name).filter(|v| !v.is_empty()) else {
            return Ok(None);
        };
        T::from_var(value).map(Some).map_err(|reason| Invalid {
            name: name.to_string(),
            value: value.to_string(),
            reason,
        })
    }

    /// The value as a `T`, or `default`; an invalid value is the default too, and is told in `invalid`.
    pub fn read_or<T: FromVar>(&self, name: &str, default: T, invalid: &mut Vec<Invalid>) -> T {
        match self.read(name) {
            Ok(value) => value.unwrap_or(default),
            Err(error) => {
                invalid.push(error);
                default
            }
        }
    }

    /// All pairs, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The pairs whose name starts with `prefix`, the prefix cut off.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(move |(k, v)| k.strip_prefix(prefix).map(|rest| (rest, v)))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Vars {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl FromVar for String {
    fn from_var(text: &str) -> Result<Self, String> {
        Ok(text.to_string())
    }
}

impl FromVar for bool {
    /// The spellings of Go's `strconv.ParseBool`.
    fn from_var(text: &str) -> Result<Self, String> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err("want true or false".to_string()),
        }
    }
}

impl FromVar for i64 {
    fn from_var(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "want a whole number".to_string())
    }
}

impl FromVar for u64 {
    fn from_var(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "want a whole number, not negative".to_string())
    }
}

impl FromVar for f64 {
    fn from_var(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "want a number".to_string())
    }
}

impl FromVar for Duration {
    /// A Go duration such as `1h30m`, `250ms`, `1.5s`, `0`.
    fn from_var(text: &str) -> Result<Self, String> {
        go_duration(text).ok_or_else(|| "want a duration such as 90s, 1h30m or 250ms".to_string())
    }
}

impl FromVar for Vec<String> {
    /// A comma-separated list; spaces around items and empty items are dropped.
    fn from_var(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_string).collect())
    }
}

/// Reads a Go duration that is not negative; `None` if it is not one or does not fit.
#[must_use]
pub fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let nanos_per_unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(scaled(number, nanos_per_unit)?)?;
        rest = tail;
    }
    Some(total)
}

/// `number` (digits with at most one point) times `nanos_per_unit`, exact to the nanosecond.
fn scaled(number: &str, nanos_per_unit: u128) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(nanos_per_unit)?;
    let mut scale = nanos_per_unit;
    for digit in fraction.chars().take(15) {
        // Each place is a tenth of the one before; below a nanosecond there is nothing to add.
        let place = u128::from(digit.to_digit(10)?) * scale / 10;
        nanos = nanos.checked_add(place)?;
        scale /= 10;
    }
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}
