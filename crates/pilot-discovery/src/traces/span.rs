//! Spans in the form of OpenTelemetry's protocol.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::opentelemetry::proto::common::v1::any_value::Value;
use proto::opentelemetry::proto::common::v1::{AnyValue, ArrayValue, KeyValue};
use proto::opentelemetry::proto::trace::v1::span::{Event, SpanKind};
use proto::opentelemetry::proto::trace::v1::status::StatusCode;
use proto::opentelemetry::proto::trace::v1::{Span, Status};

/// Where in a trace a span stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    trace: [u8; 16],
    span: [u8; 8],
    parent: Option<[u8; 8]>,
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // without randomness ids are those that mean nothing, and a collector leaves the span out
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}

impl Context {
    /// Of the first span of a new trace.
    pub(super) fn root() -> Self {
        Self { trace: random(), span: random(), parent: None }
    }

    /// Of a span below this one.
    pub(super) fn child(&self) -> Self {
        Self { trace: self.trace, span: random(), parent: Some(self.span) }
    }

    /// The span that stands there.
    pub(super) fn span(
        &self,
        name: &str,
        start: SystemTime,
        end: SystemTime,
        attributes: Vec<KeyValue>,
    ) -> Span {
        Span {
            trace_id: self.trace.to_vec(),
            span_id: self.span.to_vec(),
            parent_span_id: self.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: nanoseconds(start),
            end_time_unix_nano: nanoseconds(end),
            attributes,
            ..Span::default()
        }
    }
}

/// Something happened at the end of a span.
pub(super) fn add_event(span: &mut Span, name: &str) {
    let time_unix_nano = span.end_time_unix_nano;
    span.events.push(Event { time_unix_nano, name: name.to_owned(), ..Event::default() });
}

/// What the span tells of went wrong.
pub(super) fn fail(span: &mut Span, why: &str) {
    span.status = Some(Status { message: why.to_owned(), code: StatusCode::Error.into() });
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub(super) fn number(key: &str, value: usize) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

pub(super) fn texts(key: &str, values: impl Iterator<Item = String>) -> KeyValue {
    let values = values.map(|value| AnyValue { value: Some(Value::StringValue(value)) }).collect();
    attribute(key, Value::ArrayValue(ArrayValue { values }))
}
