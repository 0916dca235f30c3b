//! A span of time as users write it: `1.5s` of protobuf JSON or `1h30m` of Go.

use std::fmt;
use std::str::FromStr;

/// A signed span of time with nanosecond precision, up to about 292 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration {
    nanos: i64,
}

const SECOND: i64 = 1_000_000_000;

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self { nanos: 0 };

    /// `seconds` seconds, saturating at the range.
    pub const fn from_secs(seconds: i64) -> Self {
        Self { nanos: seconds.saturating_mul(SECOND) }
    }

    /// `millis` milliseconds, saturating at the range.
    pub const fn from_millis(millis: i64) -> Self {
        Self { nanos: millis.saturating_mul(1_000_000) }
    }

    /// `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// Whole seconds, rounded towards zero (the `seconds` of a protobuf duration).
    pub const fn seconds(self) -> i64 {
        self.nanos / SECOND
    }

    /// What `seconds` leaves, with the same sign (the `nanos` of a protobuf duration).
    pub const fn subsec_nanos(self) -> i32 {
        (self.nanos % SECOND) as i32
    }

    /// Everything in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.nanos
    }

    /// Everything in whole milliseconds, rounded towards zero.
    pub const fn as_millis(self) -> i64 {
        self.nanos / 1_000_000
    }

    /// Everything in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.nanos as f64 / SECOND as f64
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// The std type, for spans that are not negative.
    pub fn to_std(self) -> Option<std::time::Duration> {
        u64::try_from(self.nanos).ok().map(std::time::Duration::from_nanos)
    }

    /// As protobuf JSON writes it: seconds with 0, 3, 6 or 9 decimals and an `s`.
    pub fn to_proto_string(self) -> String {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let (seconds, nanos) = (self.seconds().unsigned_abs(), self.subsec_nanos().unsigned_abs());
        match nanos {
            0 => format!("{sign}{seconds}s"),
            n if n % 1_000_000 == 0 => format!("{sign}{seconds}.{:03}s", n / 1_000_000),
            n if n % 1_000 == 0 => format!("{sign}{seconds}.{:06}s", n / 1_000),
            n => format!("{sign}{seconds}.{n:09}s"),
        }
    }
}

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationError(&'static str);

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for DurationError {}

/// Reads what Go's `time.ParseDuration` reads; protobuf's `1.5s` is a part of that.
impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(DurationError("it is empty"));
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let (nanos, after) = term(rest)?;
            total = total.saturating_add(nanos);
            rest = after;
        }
        let nanos = i64::try_from(if negative { -total } else { total })
            .map_err(|_| DurationError("it is longer than 292 years"))?;
        Ok(Self { nanos })
    }
}

/// One `number unit` of a duration in nanoseconds, and what follows it.
fn term(text: &str) -> Result<(i128, &str), DurationError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(DurationError("a number was expected"));
    }
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let scale: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "" => return Err(DurationError("the unit is missing")),
        _ => return Err(DurationError("the unit is unknown")),
    };
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().map_err(|_| DurationError("the number is too large"))?.into()
    };
    let mut nanos = whole.saturating_mul(scale);
    let mut place = scale;
    for digit in fraction.bytes() {
        if place < 10 {
            break;
        }
        // exact for every digit that is worth a nanosecond: the scales are multiples of powers of ten
        nanos += i128::from(digit - b'0') * place / 10;
        place /= 10;
    }
    Ok((nanos, rest))
}

/// As Go prints a duration: `1h0m0s`, `1.5s`, `250ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.nanos.unsigned_abs();
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        match n {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{n}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(n, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(n, 1_000_000)),
            _ => {
                let minutes = n / 60_000_000_000;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(n % 60_000_000_000, 1_000_000_000))
            }
        }
    }
}

/// `n / unit` without trailing zeros.
fn decimal(n: u64, unit: u64) -> String {
    let (whole, rest) = (n / unit, n % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{rest:0width$}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests;
