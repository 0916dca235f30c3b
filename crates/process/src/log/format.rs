//! The form of a log line: tab-separated text, or one JSON object.

use std::backtrace::Backtrace;
use std::fmt::{self, Write};
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

use super::{DEFAULT, ScopeState};

/// `2026-11-22T10:11:12.123456Z`, always with six places, as pkg/log/config.go: formatDate.
pub(super) fn timestamp(now: SystemTime) -> String {
    let stamp = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{stamp:.6}")
}

/// One line with its line break. The text form is `time \t level \t [scope \t] [file:line \t] message [\t key=value ...]`;
/// control characters in it are escaped, so that a message of a peer cannot forge a line. A stack trace, where the scope
/// wants one, stands on lines of its own below.
pub(super) fn line(time: &str, scope: &ScopeState, event: &tracing::Event<'_>, as_json: bool) -> String {
    let metadata = event.metadata();
    let mut fields = Fields::default();
    event.record(&mut fields);
    fields.caller = metadata.file().zip(metadata.line()).filter(|_| scope.callers).map(caller);
    if scope.stack_trace.lets_through(*metadata.level()) {
        fields.stack = Some(Backtrace::force_capture().to_string());
    }
    let level = level_name(*metadata.level());
    if as_json { json(time, level, scope.name, fields) } else { text(time, level, scope.name, &fields) }
}

/// A place in the source, its path cut to folder and file.
fn caller((file, line): (&str, u32)) -> String {
    let start = file.rmatch_indices('/').nth(1).map_or(0, |(slash, _)| slash + 1);
    format!("{}:{line}", &file[start..])
}

fn level_name(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG | tracing::Level::TRACE => "debug",
    }
}

fn text(time: &str, level: &str, scope: &str, fields: &Fields) -> String {
    let mut line = format!("{time}\t{level}\t");
    if scope != DEFAULT {
        line.push_str(scope);
        line.push('\t');
    }
    if let Some(caller) = &fields.caller {
        line.push_str(caller);
        line.push('\t');
    }
    push_escaped(&mut line, &fields.message);
    for (place, (key, value)) in fields.others.iter().enumerate() {
        let plain = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        line.push(if place == 0 { '\t' } else { ' ' });
        line.push_str(key);
        line.push('=');
        push_escaped(&mut line, &plain);
    }
    line.push('\n');
    line.push_str(fields.stack.as_deref().unwrap_or_default());
    line
}

fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
}

fn json(time: &str, level: &str, scope: &str, fields: Fields) -> String {
    let mut object = Map::new();
    object.insert("level".into(), level.into());
    object.insert("time".into(), time.into());
    if scope != DEFAULT {
        object.insert("scope".into(), scope.into());
    }
    let caller = fields.caller.map(|caller| ("caller".to_owned(), caller.into()));
    object.extend(caller);
    object.insert("msg".into(), fields.message.into());
    for (key, value) in fields.others {
        object.entry(key).or_insert(value);
    }
    if let Some(stack) = fields.stack {
        object.insert("stack".into(), stack.into());
    }
    let mut line = Value::Object(object).to_string();
    line.push('\n');
    line
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
    caller: Option<String>,
    stack: Option<String>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let shown = format!("{value:?}");
        if field.name() == "message" {
            self.message = shown;
        } else {
            self.others.push((field.name(), shown.into()));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_string();
        } else {
            self.others.push((field.name(), value.into()));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), value.into()));
    }
}
