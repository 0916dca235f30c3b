//! Objects as they lie in the store, written past the API server, which finds them there or hears of them by its watches.

use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use config::Kind;
use serde_json::{Value, json};

use crate::ask::post;

/// Writers at a time.
const AT_ONCE: usize = 4;

/// Writes them through etcd's own HTTP gateway, each by itself: API servers take it that no two objects have one revision,
/// and what a watch has to say of a revision is lost when it is resumed in the middle.
pub(super) fn write(etcd: u16, objects: &[Value]) -> Result<()> {
    let url = format!("http://127.0.0.1:{etcd}/v3/kv/put");
    let write = |objects: &[Value]| -> Result<()> {
        for object in objects {
            let answer = post(&url, &put(object)?.to_string())?;
            if answer.status != 200 {
                bail!("the store answers {}: {}", answer.status, answer.body);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let chunks = objects.chunks(objects.len().div_ceil(AT_ONCE).max(1));
        let writers: Vec<_> = chunks.map(|chunk| scope.spawn(|| write(chunk))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow!("a writer panicked"))?)
    })
}

fn put(object: &Value) -> Result<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let kind = Kind::find(&api_version, &kind).with_context(|| format!("{api_version} {kind} is no kind"))?;
    let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
    // as registry/core/service/storage: services share their place with addresses and ports
    let place = if kind == Kind::Service { "services/specs" } else { kind.plural() };
    let mut object = object.clone();
    object["metadata"]["uid"] = json!(format!("{place}-{namespace}-{name}"));
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let encoded = |text: String| BASE64_STANDARD.encode(text);
    let key = encoded(format!("/registry/{place}/{namespace}/{name}"));
    Ok(json!({"key": key, "value": encoded(object.to_string())}))
}
