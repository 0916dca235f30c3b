//! Events of Kubernetes: what is wrong with an object, told where people look at it (`kubectl describe`).
//!
//! What says the same of the same object is one event, whoever says it and how often: its name is made of what it says, and
//! a repetition is counted in it. Upstream writes none; an account without the right to is told so once.

mod board;

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use process::clock::{Clock, Real};
use serde_json::json;

pub use board::Notices;
use board::Standing;

use crate::queue::{Outcome, Queue};

/// Writes a second, and writes at once: events are for people, who read no more.
const RATE: f64 = 5.0;
const BURST: f64 = 50.0;
/// The longest note that the API takes is 1 kB.
const LONGEST: usize = 1000;
/// The longest part of a name that an event's name begins with.
const LONGEST_NAME: usize = 200;
/// Where events about what has no namespace stand.
const NO_NAMESPACE: &str = "default";
/// What is done, in the words of the API: our only action is to read what somebody wrote.
const ACTION: &str = "Read";

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Regarding {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty if it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its unique id; empty if that is not known.
    pub uid: String,
}

/// Which notice: a later one takes the place of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// The object.
    pub regarding: Regarding,
    /// One word for programs, at most 128 bytes.
    pub reason: &'static str,
    /// What of the object it is about; empty for all of it.
    pub part: String,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Regarding { kind, namespace, name, .. } = &self.regarding;
        write!(f, "{} of {kind} {namespace}/{name}", self.reason)
    }
}

/// Writes what is told, all that stands at first and then what is new, until it is dropped. `instance` is who tells it.
/// Trouble with the cluster is logged and tried again, but an event that the cluster does not take is given up.
pub async fn run(client: Client, notices: Notices, instance: String) {
    let writer = Writer { client, instance, clock: Arc::new(Real::new()) };
    let mut queue = Queue::paced("writing the event", RATE, BURST);
    let mut warned = false;
    notices.all().into_iter().for_each(|topic| queue.add(topic));
    loop {
        tokio::select! {
            touched = notices.touched() => touched.into_iter().for_each(|topic| queue.add(topic)),
            topic = queue.next() => {
                let Some(standing) = notices.look(&topic) else { continue };
                let write = writer.write(&topic, &standing, &mut warned);
                queue.work(topic.clone(), write).await;
            }
        }
    }
}

struct Writer {
    client: Client,
    instance: String,
    clock: Arc<dyn Clock>,
}

impl Writer {
    async fn write(&self, topic: &Topic, standing: &Standing, warned: &mut bool) -> Outcome {
        let namespace = Some(topic.regarding.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace.unwrap_or(NO_NAMESPACE));
        let event = self.event(topic, &standing.note)?;
        let name = event.metadata.name.clone().unwrap_or_default();
        let refused = match api.create(&PostParams::default(), &event).await {
            Ok(_) => return Ok(1),
            // told before, perhaps by another process, and again now
            Err(kube::Error::Api(refused)) if refused.code == 409 => {
                let series = json!({"count": standing.told.max(2), "lastObservedTime": self.now()?});
                let again = Patch::Merge(json!({"series": series}));
                match api.patch(&name, &PatchParams::default(), &again).await {
                    Ok(_) => return Ok(2),
                    Err(kube::Error::Api(refused)) if refused.code < 500 => refused,
                    Err(error) => return Err(error.into()),
                }
            }
            Err(kube::Error::Api(refused)) if refused.code < 500 && refused.code != 429 => refused,
            Err(error) => return Err(error.into()),
        };
        // a namespace that is about to go takes nothing either
        if !std::mem::replace(warned, true) {
            let why = &refused.message;
            tracing::warn!(
                "no event for {topic}, nor for others: {why} (the account needs create and patch of events in events.k8s.io)"
            );
        }
        Ok(1)
    }

    fn now(&self) -> Result<MicroTime, jiff::Error> {
        Timestamp::try_from(self.clock.now()).map(MicroTime)
    }

    fn event(&self, topic: &Topic, note: &str) -> Result<Event, jiff::Error> {
        let Regarding { api_version, kind, namespace, name, uid } = &topic.regarding;
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let mut hasher = DefaultHasher::new();
        (topic, note).hash(&mut hasher);
        Ok(Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:016x}", cut(name, LONGEST_NAME), hasher.finish())),
                namespace: Some(given(namespace).unwrap_or_else(|| NO_NAMESPACE.to_owned())),
                ..ObjectMeta::default()
            },
            action: Some(ACTION.to_owned()),
            event_time: Some(self.now()?),
            note: Some(note.to_owned()),
            reason: Some(topic.reason.to_owned()),
            regarding: Some(ObjectReference {
                api_version: given(api_version),
                kind: given(kind),
                namespace: given(namespace),
                name: given(name),
                uid: given(uid),
                ..ObjectReference::default()
            }),
            reporting_controller: Some("pilot-discovery".to_owned()),
            reporting_instance: Some(cut(&self.instance, 128).to_owned()),
            type_: Some("Warning".to_owned()),
            ..Event::default()
        })
    }
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, longest: usize) -> &str {
    if text.len() <= longest {
        return text;
    }
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
