//! What happened lately: a bounded ring of events, for `/debug/events`.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use config::{Problem, Severity};
use parking_lot::Mutex;
use serde::Serialize;
use sources::Edit;

#[cfg(test)]
mod tests;

/// How many are remembered.
const REMEMBERED: usize = 4096;

/// What kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An object was added, changed or removed.
    Change,
    /// Something that was written is refused.
    Refused,
    /// A response went out.
    Push,
    /// A proxy accepted one.
    Ack,
    /// A proxy refused one.
    Nack,
}

/// One event; what does not apply is left empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its number, growing by one.
    pub seq: u64,
    /// When, in RFC 3339.
    pub time: String,
    /// What kind.
    pub kind: Kind,
    /// `Kind/namespace/name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// Where the object stands.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The line in it.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u32,
    /// What to tell a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The node id of the proxy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proxy: String,
    /// The type URL.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_url: String,
    /// Milliseconds since the change that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(line: &u32) -> bool {
    *line == 0
}

impl Event {
    fn new(kind: Kind) -> Self {
        Self {
            seq: 0,
            time: String::new(),
            kind,
            object: String::new(),
            file: String::new(),
            line: 0,
            message: String::new(),
            proxy: String::new(),
            type_url: String::new(),
            ms: None,
        }
    }

    /// Something with a proxy.
    #[must_use]
    pub fn of_proxy(kind: Kind, proxy: &str, type_url: &str, message: String, ms: Option<f64>) -> Self {
        Self { message, proxy: proxy.to_owned(), type_url: type_url.to_owned(), ms, ..Self::new(kind) }
    }
}

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    /// With when they were told; most are forgotten before anybody wants to read the time.
    events: VecDeque<(SystemTime, Event)>,
}

/// The ring, shared by all who tell.
#[derive(Debug, Default)]
pub struct Events(Mutex<Ring>);

impl Events {
    /// Appends an event, giving it its number and time.
    pub fn tell(&self, mut event: Event) {
        let now = SystemTime::now();
        let mut ring = self.0.lock();
        ring.last += 1;
        event.seq = ring.last;
        if ring.events.len() == REMEMBERED {
            ring.events.pop_front();
        }
        ring.events.push_back((now, event));
    }

    /// Tells of an edit.
    pub fn edited(&self, edit: &Edit) {
        let (meta, origin) = (&edit.object, &edit.object.origin);
        self.tell(Event {
            object: format!("{}/{}/{}", meta.kind.name(), meta.namespace, meta.name),
            file: origin.file.to_string(),
            line: origin.at.line,
            message: edit.what.word().to_owned(),
            ..Event::new(Kind::Change)
        });
    }

    /// Tells of a problem, if it is worth a person's attention.
    pub fn problem(&self, problem: &Problem) {
        if problem.severity == Severity::Info {
            return;
        }
        let mut message = String::new();
        if !problem.field.is_empty() {
            message = format!("{}: ", problem.field);
        }
        message.push_str(&problem.message);
        if !problem.hint.is_empty() {
            message.push_str(&format!(" ({})", problem.hint));
        }
        let refused = problem.severity == Severity::Error;
        self.tell(Event {
            object: problem.object.replacen(' ', "/", 1),
            file: problem.file.to_string(),
            line: problem.line,
            message: if refused { message } else { format!("warning: {message}") },
            ..Event::new(if refused { Kind::Refused } else { Kind::Change })
        });
    }

    /// The events after number `since`, oldest first.
    #[must_use]
    pub fn since(&self, since: u64) -> Vec<Event> {
        let ring = self.0.lock();
        let after = ring.events.iter().filter(|(_, event)| event.seq > since);
        after.map(|(at, event)| Event { time: timestamp(*at), ..event.clone() }).collect()
    }
}

/// RFC 3339 with milliseconds, UTC.
#[must_use]
pub fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = config::decode::rfc3339(i64::try_from(since.as_secs()).unwrap_or_default());
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), since.subsec_millis())
}
