//! Questions that clients ask on discovery streams instead of over HTTP, as upstream's istioctl does:
//! `istio.io/debug` (as pilot/pkg/xds/debuggen.go) and `istio.io/debug/syncz`, `istio.io/debug/config_dump` (as
//! pilot/pkg/xds/statusgen.go).

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::Uri;
use serde_json::{Map, Value, json};
use tonic::Code;
use xds::server::{Connection, TypeStatus};
use xds::{Refusal, Resource, Resources, TypeUrl};

use super::{Debug, PAGES, Page, Parameters, clients, dump};
use crate::admission::{Sight, Verified};
use crate::catalog::Questions;
use crate::events::timestamp;

/// The type of questions for debug pages.
const DEBUG: &str = "istio.io/debug";
const SYNCZ: &str = "istio.io/debug/syncz";
const CONFIG_DUMP: &str = "istio.io/debug/config_dump";

impl Questions for Debug {
    fn answer(&self, who: &Verified, of: &TypeUrl, names: &[&str]) -> Option<Result<Resources, Refusal>> {
        match of.as_str() {
            DEBUG => Some(self.debug_page(who, names)),
            SYNCZ | CONFIG_DUMP => Some(self.status(who, of, names)),
            // as upstream, which has one answer for all that begins like this
            other if other.starts_with("istio.io/debug/") => {
                Some(self.sight_for_status(who).map(|_| Resources::default()))
            }
            _ => None,
        }
    }
}

fn unauthenticated() -> Refusal {
    Refusal::new(
        Code::Unauthenticated,
        "authentication required: ask on the TLS port, with a token or certificate",
    )
}

impl Debug {
    /// A debug page, named with its query.
    fn debug_page(&self, who: &Verified, names: &[&str]) -> Result<Resources, Refusal> {
        let sight = self.catalog.admission().sight_of(who).ok_or_else(unauthenticated)?;
        let [name] = names else {
            return Err(Refusal::new(Code::InvalidArgument, "exactly one debug request is required"));
        };
        let uri: Result<Uri, _> = format!("/debug/{name}").parse();
        let uri =
            uri.map_err(|_| Refusal::new(Code::InvalidArgument, format!("{name:?} is no debug page")))?;
        let page = uri.path().trim_start_matches("/debug/");
        let found = PAGES.iter().find(|(known, ..)| *known == page && self.has(known));
        if sight != Sight::All && !found.is_some_and(|(.., shared)| *shared) {
            let text = "the debug info is not available for the current identity";
            return Err(Refusal::new(Code::PermissionDenied, text));
        }
        let parameters = Query::<Parameters>::try_from_uri(&uri).map(|query| query.0).unwrap_or_default();
        let text = match found {
            Some((page, ..)) => match self.page(page, &parameters, &sight) {
                Page::Json(value) if parameters.contains_key("pretty") => format!("{value:#}"),
                Page::Json(value) => value.to_string(),
                Page::Text(text) | Page::Refused(_, text) => text,
            },
            None => "404 page not found\n".to_owned(),
        };
        Ok(vec![Resource::new(*name, text)].into())
    }

    /// What of the clients' state a caller may see; everything where debug pages are open to all.
    fn sight_for_status(&self, who: &Verified) -> Result<Sight, Refusal> {
        let admission = self.catalog.admission();
        if !admission.debug_by_namespace() {
            return Ok(Sight::All);
        }
        admission.sight_of(who).ok_or_else(unauthenticated)
    }

    fn status(&self, who: &Verified, of: &TypeUrl, names: &[&str]) -> Result<Resources, Refusal> {
        let sight = self.sight_for_status(who)?;
        let mut out = Resources::default();
        if of.as_str() == SYNCZ {
            let proxies = self.connections.list().into_iter().filter(is_proxy);
            let seen = proxies.filter(|c| sees(&sight, clients::namespace(&c.node)));
            let all = seen.map(|connection| client_config(&connection, &self.cluster)).collect();
            out.push_foreign(TypeUrl::parse(CLIENT_CONFIG), all);
            return Ok(out);
        }
        // a malformed question, or one about a proxy of another instance, has an empty answer
        let [id] = names else { return Ok(out) };
        let parameters: Parameters = [("proxyID".to_owned(), (*id).to_owned())].into();
        if let Ok(class) = self.seen(&parameters, &sight) {
            let mut dump = dump::config_dump(&self.catalog, &class, false);
            let configs = dump.get_mut("configs").and_then(Value::as_array_mut).map(std::mem::take);
            for config in configs.unwrap_or_default() {
                let of = config["@type"].as_str().unwrap_or_default().to_owned();
                let body = written(&of, config);
                out.push_foreign(TypeUrl::parse(&of), vec![Resource::new("", body)]);
            }
        }
        Ok(out)
    }
}

const CLIENT_CONFIG: &str = "type.googleapis.com/envoy.service.status.v3.ClientConfig";

fn sees(sight: &Sight, namespace: &str) -> bool {
    match sight {
        Sight::All => true,
        Sight::Namespaces(namespaces) => namespaces.contains(namespace),
    }
}

/// Whether a client is a proxy; those without a proxy's configuration are somebody's questions.
fn is_proxy(connection: &Connection) -> bool {
    let node = &connection.node;
    let configured = node.metadata.as_ref().is_some_and(|m| m.fields.contains_key("PROXY_CONFIG"));
    configured || node.id.starts_with("ztunnel~")
}

/// How a proxy stands, under its name (as `debugSyncz`).
fn client_config(connection: &Connection, cluster: &str) -> Resource {
    let node = &connection.node;
    let name = clients::proxy_name(&node.id);
    let own = clients::metadata(node, "CLUSTER_ID");
    let told = [
        ("CLUSTER_ID", if own.is_empty() { cluster } else { own }),
        ("NAMESPACE", clients::metadata(node, "NAMESPACE")),
        ("ISTIO_VERSION", clients::metadata(node, "ISTIO_VERSION")),
    ];
    let told = told.iter().filter(|(_, value)| !value.is_empty());
    let told: Map<String, Value> = told.map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let types: BTreeMap<&str, &TypeStatus> =
        connection.types.iter().map(|(of, status)| (of.as_str(), status)).collect();
    let configs: Value = types.iter().map(|(of, status)| config(of, status)).collect();
    let config = json!({ "node": { "id": name, "metadata": told }, "generic_xds_configs": configs });
    Resource::new(name, written(CLIENT_CONFIG, config))
}

fn config(of: &str, status: &TypeStatus) -> Value {
    let (sent, acked) = (status.nonce_sent.as_deref().unwrap_or_default(), status.nonce_acked.as_deref());
    let state = match status.last_error {
        Some(_) => "ERROR",
        None if sent.is_empty() => "NOT_SENT",
        None if acked == Some(sent) => "SYNCED",
        None => "STALE",
    };
    let mut out = json!({ "type_url": of, "config_status": state });
    let at = status.last_sent.map(timestamp);
    if let Some(at) = &at {
        out["last_updated"] = at.as_str().into();
    }
    if let Some(details) = &status.last_error {
        out["error_state"] = json!({ "details": details });
        if let Some(at) = at {
            out["error_state"]["last_update_attempt"] = at.into();
        }
    }
    out
}

/// A message of Envoy's, whose JSON was made here; empty if it cannot be written, which is logged.
fn written(of: &str, mut message: Value) -> Vec<u8> {
    message.as_object_mut().map(|fields| fields.remove("@type"));
    proto::reflect::from_json(of, &message).unwrap_or_else(|error| {
        tracing::error!("a debug answer cannot be written: {error}");
        Vec::new()
    })
}
