//! Objects as they lie in the store, written past the API server, which finds them there or hears of them by its watches.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use config::Kind;
use serde_json::{Value, json};

use crate::ask::post;

/// Writes of one transaction; etcd takes 128.
const TOGETHER: usize = 100;

/// Writes them through etcd's own HTTP gateway.
pub(super) fn write(etcd: u16, objects: &[Value]) -> Result<()> {
    for chunk in objects.chunks(TOGETHER) {
        let puts = chunk.iter().map(put).collect::<Result<Vec<Value>>>()?;
        let transaction = json!({ "success": puts }).to_string();
        let answer = post(&format!("http://127.0.0.1:{etcd}/v3/kv/txn"), &transaction)?;
        if answer.status != 200 {
            bail!("the store answers {}: {}", answer.status, answer.body);
        }
    }
    Ok(())
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
    Ok(json!({"requestPut": {"key": key, "value": encoded(object.to_string())}}))
}
