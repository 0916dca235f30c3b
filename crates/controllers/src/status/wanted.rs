//! What a status should say, and how that is worked into the one that stands there.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value, json};

/// What one reporter wants of the status of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// These conditions by their type, `None` for one that must not be there. Conditions of other types stay.
    Conditions(BTreeMap<String, Option<Condition>>),
    /// The same of who has looked at all that the object says: its generation counts as observed.
    Observed(BTreeMap<String, Option<Condition>>),
    /// What analysis found, each a message in Istio's JSON; the object counts as looked at. Conditions stay.
    Messages(Vec<Value>),
    /// All of it, as for kinds whose status one controller alone makes.
    Whole(Value),
}

/// One condition. When it was written counts for nothing: equal ones are not written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds: `True` or `False`.
    pub holds: bool,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Wanted {
    /// Works it into `status`, of an object in its `generation`.
    pub(super) fn apply(&self, status: &mut Value, generation: i64, now: SystemTime) {
        match self {
            Self::Conditions(conditions) => set_conditions(status, conditions, generation, now),
            Self::Observed(conditions) => {
                set_conditions(status, conditions, generation, now);
                // who never was told anything of it gets no status for that
                if !status.is_null() {
                    set_observed(status, generation);
                }
            }
            Self::Messages(messages) => set_messages(status, messages, generation),
            Self::Whole(whole) => status.clone_from(whole),
        }
    }
}

/// Istio's kinds have numbers of 64 bits as texts; either is understood.
fn is_generation(value: &Value, generation: i64) -> bool {
    value.as_i64() == Some(generation) || value.as_str() == Some(generation.to_string().as_str())
}

fn insert(status: &mut Value, name: &str, value: Value) {
    if !status.is_object() {
        *status = json!({});
    }
    status[name] = value;
}

fn set_observed(status: &mut Value, generation: i64) {
    if !is_generation(&status["observedGeneration"], generation) {
        insert(status, "observedGeneration", json!(generation.to_string()));
    }
}

fn set_conditions(
    status: &mut Value,
    conditions: &BTreeMap<String, Option<Condition>>,
    generation: i64,
    now: SystemTime,
) {
    for (name, wanted) in conditions {
        set_condition(status, name, wanted.as_ref(), generation, now);
    }
}

fn set_condition(
    status: &mut Value,
    name: &str,
    wanted: Option<&Condition>,
    generation: i64,
    now: SystemTime,
) {
    let standing = status["conditions"].as_array().cloned().unwrap_or_default();
    let position = standing.iter().position(|condition| condition["type"] == name);
    let before = position.map(|at| &standing[at]);
    let mut conditions = standing.clone();
    match (wanted, position) {
        (None, None) => return,
        (None, Some(at)) => drop(conditions.remove(at)),
        (Some(wanted), _) if before.is_some_and(|before| says(before, wanted, generation)) => return,
        (Some(wanted), at) => {
            let condition = condition(name, wanted, before, generation, now);
            match at {
                Some(at) => conditions[at] = condition,
                None => conditions.push(condition),
            }
        }
    }
    insert(status, "conditions", Value::Array(conditions));
}

/// Whether a condition says this of this generation, whenever it was written.
fn says(condition: &Value, wanted: &Condition, generation: i64) -> bool {
    let text = |name: &str| condition[name].as_str().unwrap_or_default();
    text("status") == word(wanted.holds)
        && text("reason") == wanted.reason
        && text("message") == wanted.message
        && is_generation(&condition["observedGeneration"], generation)
}

fn word(holds: bool) -> &'static str {
    if holds { "True" } else { "False" }
}

fn condition(
    name: &str,
    wanted: &Condition,
    before: Option<&Value>,
    generation: i64,
    now: SystemTime,
) -> Value {
    let status = word(wanted.holds);
    // a transition is from one status to another, not from one sentence to another
    let since =
        before.filter(|before| before["status"] == status).map(|before| before["lastTransitionTime"].clone());
    let since = since.filter(Value::is_string).unwrap_or_else(|| json!(time(now)));
    json!({
        "type": name,
        "status": status,
        "lastTransitionTime": since,
        "reason": wanted.reason,
        "message": wanted.message,
        "observedGeneration": generation.to_string(),
    })
}

fn time(now: SystemTime) -> Option<String> {
    Timestamp::try_from(now).ok().map(|now| now.to_string())
}

/// As pilot/pkg/status/resourcelock.go: `SetObservedGeneration`, `SetValidationMessages`; but who never had a message gets no
/// status for having none.
fn set_messages(status: &mut Value, messages: &[Value], generation: i64) {
    let standing = status["validationMessages"].as_array().cloned().unwrap_or_default();
    if standing.is_empty() && messages.is_empty() {
        return;
    }
    if standing != messages {
        insert(status, "validationMessages", Value::Array(messages.to_vec()));
    }
    set_observed(status, generation);
}

#[cfg(test)]
mod tests;
