//! YAML as Kubernetes tools print it: sorted keys, lists not indented under their key, YAML 1.1 words quoted.

use serde_json::Value;

/// The value as a YAML document that ends in one newline.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(value, 0, false, &mut out),
        Value::Array(list) if !list.is_empty() => sequence(list, 0, false, &mut out),
        other => {
            out.push_str(&flow(other, 0));
            out.push('\n');
        }
    }
    out
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', depth));
}

fn mapping(value: &Value, depth: usize, mut inline: bool, out: &mut String) {
    let Value::Object(map) = value else { return };
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort();
    for key in keys {
        if !std::mem::take(&mut inline) {
            indent(depth, out);
        }
        out.push_str(&string(key, depth));
        out.push(':');
        match &map[key] {
            child @ Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(child, depth + 2, false, out);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                sequence(list, depth, false, out);
            }
            scalar => {
                out.push(' ');
                out.push_str(&flow(scalar, depth + 2));
                out.push('\n');
            }
        }
    }
}

fn sequence(list: &[Value], depth: usize, mut inline: bool, out: &mut String) {
    for item in list {
        if !std::mem::take(&mut inline) {
            indent(depth, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(item, depth + 2, true, out),
            Value::Array(inner) if !inner.is_empty() => sequence(inner, depth + 2, true, out),
            scalar => {
                out.push_str(&flow(scalar, depth + 2));
                out.push('\n');
            }
        }
    }
}

fn flow(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => string(text, depth),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

fn string(text: &str, depth: usize) -> String {
    if text.contains('\n') && !text.starts_with([' ', '\n']) && printable(text) {
        return literal(text, depth);
    }
    if !printable(text) || text.contains('\n') {
        return serde_json::to_string(text).unwrap_or_default();
    }
    if reads_as_something_else(text) {
        return serde_json::to_string(text).unwrap_or_default();
    }
    if unsafe_plain(text) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    text.to_owned()
}

fn literal(text: &str, depth: usize) -> String {
    let trimmed = text.trim_end_matches('\n');
    let chomp = match text.len() - trimmed.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    let mut out = chomp.to_owned();
    let body = if chomp == "|+" { &text[..text.len() - 1] } else { trimmed };
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(depth, &mut out);
            out.push_str(line);
        }
    }
    out
}

fn printable(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

/// Words and numbers that a YAML 1.1 reader takes for something other than a string.
fn reads_as_something_else(text: &str) -> bool {
    const WORDS: [&str; 12] =
        ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", ".inf", ".nan"];
    if text.is_empty() || WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return true;
    }
    let digits = text.trim_start_matches(['+', '-']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let plain = digits.replace('_', "");
    plain.parse::<f64>().is_ok()
        || plain.starts_with("0x")
        || plain.starts_with("0o")
        || (plain.contains(':') && plain.chars().all(|c| c.is_ascii_digit() || c == ':' || c == '.'))
        || (plain.len() >= 8
            && plain.matches('-').count() == 2
            && plain.chars().all(|c| c.is_ascii_digit() || "-:TZ.+ ".contains(c)))
}

fn unsafe_plain(text: &str) -> bool {
    const FIRST: &str = "-?:,[]{}#&*!|>'\"%@`";
    let mut chars = text.chars();
    let first = chars.next().unwrap_or(' ');
    let second = chars.next();
    let bad_first = match first {
        '-' | '?' | ':' => second.is_none_or(|c| c == ' ') || text.starts_with("---"),
        c => FIRST.contains(c),
    };
    bad_first
        || text.starts_with(' ')
        || text.ends_with(' ')
        || text.contains(": ")
        || text.contains(" #")
        || text.ends_with(':')
}
