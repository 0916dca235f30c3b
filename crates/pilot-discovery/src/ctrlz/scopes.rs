//! `/scopej`: the log scopes, read and set while running (as pkg/ctrlz/topics/scopes.go).

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use process::log::{Level, Levels, ScopeState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Named;

/// What a client wants of a scope. Levels that are absent, or none of ours, stay as they are; `log_callers` does not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    output_level: String,
    stack_trace_level: String,
    log_callers: bool,
}

fn shown(scope: &ScopeState) -> Value {
    json!({
        "name": scope.name,
        "description": scope.description,
        "output_level": scope.output.to_string(),
        "stack_trace_level": scope.stack_trace.to_string(),
        "log_callers": scope.callers,
    })
}

pub(super) async fn all(State(levels): State<Levels>) -> Response {
    super::json(&levels.list().iter().map(shown).collect())
}

pub(super) async fn one(State(levels): State<Levels>, Path(name): Named) -> Response {
    levels.find(&name).map_or_else(|| unknown(&name), |scope| super::json(&shown(&scope)))
}

pub(super) async fn change(State(levels): State<Levels>, Path(name): Named, body: Bytes) -> Response {
    let wanted: Wanted = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("unable to decode request: {error}")).into_response();
        }
    };
    // upstream knows no `fatal` here
    let level = |text: &str| text.parse().ok().filter(|level| *level != Level::Fatal);
    let known = levels.change(&name, |scope| {
        scope.output = level(&wanted.output_level).unwrap_or(scope.output);
        scope.stack_trace = level(&wanted.stack_trace_level).unwrap_or(scope.stack_trace);
        scope.callers = wanted.log_callers;
    });
    if !known {
        return unknown(&name);
    }
    tracing::info!("ControlZ: scope {name} is set to {wanted:?}");
    StatusCode::ACCEPTED.into_response()
}

fn unknown(name: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("unknown scope name: {name}")).into_response()
}
