//! What a word without quotes means, by YAML 1.1 as `sigs.k8s.io/yaml` reads it for `kubectl`.

use super::node::{Content, Node};

/// The meaning of a plain scalar; an infinite number is refused because JSON has none.
pub(crate) fn plain(text: &str) -> Result<Content, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Content::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Content::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => return Err(format!("the number {text} is not finite")),
        _ => match number(text) {
            Some(number) => number,
            None => Content::String(text.to_owned()),
        },
    })
}

/// The number a plain scalar is, if it is one.
fn number(text: &str) -> Option<Content> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let bare: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(whole) = whole(&bare) {
        return Some(Content::Integer(whole));
    }
    let looks_like_float = bare.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && bare.bytes().any(|b| b.is_ascii_digit())
        && !bare.trim_start_matches(['+', '-', '.']).starts_with(['e', 'E']);
    let float: f64 = looks_like_float.then(|| bare.parse().ok()).flatten()?;
    float.is_finite().then_some(Content::Float(float))
}

/// A whole number as Go's `strconv.ParseInt(text, 0, 64)` reads it, up to 64 bits.
fn whole(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude: i128 = u64::from_str_radix(digits, radix).ok()?.into();
    let number = if negative { -magnitude } else { magnitude };
    (number >= i64::MIN.into()).then_some(number)
}

/// A scalar as the key of an object, as JSON would have it.
pub(crate) fn key(node: &Node) -> Option<String> {
    match &node.content {
        Content::String(text) => Some(text.clone()),
        Content::Bool(b) => Some(b.to_string()),
        Content::Integer(n) => Some(n.to_string()),
        Content::Float(n) => Some(n.to_string()),
        Content::Null => Some("null".to_owned()),
        Content::List(_) | Content::Object(_) => None,
    }
}
