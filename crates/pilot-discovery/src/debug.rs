//! HTTP: readiness, metrics, version, and the debug pages (as pilot/pkg/xds/debug.go), one file per group of pages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use process::metrics::{self, Metrics};
use serde_json::Value;
use sources::kubernetes::Directory;
use tokio::sync::watch;
use xds::server::{Connection, Connections};

use crate::admission::Sight;
use crate::ca::Peer;
use crate::catalog::MeshCatalog;
use crate::events::Events;
use crate::objects::Objects;

mod clients;
mod dump;
mod provenance;
#[cfg(test)]
mod tests;
mod world;

/// What the pages look at.
pub struct Debug {
    /// The catalog.
    pub catalog: Arc<MeshCatalog>,
    /// Who is connected.
    pub connections: Connections,
    /// What happened.
    pub events: Arc<Events>,
    /// What was written.
    pub objects: Arc<Objects>,
    /// Where the mesh configuration was written.
    pub mesh_places: watch::Receiver<Option<Arc<config::Origin>>>,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether proxies are served.
    pub ready: Arc<AtomicBool>,
    /// The id of our cluster.
    pub cluster: String,
    /// The API servers that are read, if any are.
    pub clusters: Option<Directory>,
    /// `ENABLE_DEBUG_ON_HTTP`.
    pub enabled: bool,
}

type Shared = Arc<Debug>;
type Parameters = BTreeMap<String, String>;

/// An answer of a page.
enum Page {
    Json(Value),
    Text(String),
    Refused(StatusCode, String),
}

/// The pages: name, meaning, whether callers of other namespaces may see it about their own proxies.
const PAGES: &[(&str, &str, bool)] = &[
    ("adsz", "Connected clients and what they watch; push=true makes them look for changes", false),
    ("clusterz", "The clusters that are read, and how far", false),
    ("config_dump", "What a proxy was given, in the form of Envoy's own dump; needs proxyID", true),
    ("configz", "Every Istio object that is known, without those of Kubernetes", false),
    ("connections", "Connected clients", false),
    ("edsz", "The endpoints of a proxy; needs proxyID", true),
    ("endpointShardz", "Endpoints of every service", false),
    ("events", "What happened since a number, a JSON object per line; since=N", false),
    ("list", "The names of these pages", false),
    ("memoz", "What is remembered of what was built, per kind", false),
    ("mesh", "The mesh configuration in effect", false),
    ("ndsz", "The names a proxy can resolve; needs proxyID", true),
    (
        "provenance",
        "Where the resources of a proxy come from: object, field, file and line, or which default; needs proxyID, takes type=cds,... and resource=NAME",
        false,
    ),
    ("push_status", "Size of the mesh and of what is kept for it", false),
    ("registryz", "Every service that is known", false),
    ("resourcesz", "The types each client watches", false),
    ("sidecarz", "What a proxy can see; needs proxyID", false),
    ("syncz", "What each proxy was sent and has accepted", false),
];

/// The routes of the monitoring port.
pub fn monitoring(debug: Shared) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/version", get(async || crate::start::version(false, false)))
        .with_state(debug.clone())
        .merge(http(debug))
}

/// The routes of the HTTP port.
pub fn http(debug: Shared) -> Router {
    let ready = Router::new().route("/ready", get(show_ready));
    let pages = Router::new()
        .route("/debug", get(show_index))
        .route("/debug/", get(show_index))
        .route("/debug/{page}", get(show_page));
    let router = if debug.enabled { ready.merge(pages) } else { ready };
    router.with_state(debug)
}

async fn show_ready(State(debug): State<Shared>) -> Response {
    if debug.ready.load(Ordering::SeqCst) {
        return StatusCode::OK.into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
}

async fn show_metrics(State(debug): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], debug.metrics.render()).into_response()
}

async fn show_index() -> Response {
    let rows: String = PAGES
        .iter()
        .map(|(name, what, _)| {
            format!("<tr><td><a href=\"/debug/{name}\">{name}</a></td><td>{what}</td></tr>\n")
        })
        .collect();
    let html = format!(
        "<!doctype html><html><head><title>pilot-discovery</title></head><body><table>\n{rows}</table></body></html>\n"
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

async fn show_page(
    State(debug): State<Shared>,
    Path(page): Path<String>,
    Query(parameters): Query<Parameters>,
    from: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Response {
    let Some((name, _, shared)) = PAGES.iter().find(|(name, ..)| *name == page) else {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    };
    let from = from.map(|axum::Extension(ConnectInfo(address))| address);
    let proofs = Peer { address: from, ..Peer::of(&headers, &Extensions::new()) };
    let sight = match debug.catalog.admission().sight(from.map(|a| a.ip()), &proofs).await {
        Ok(sight) => sight,
        Err(why) if why.is_undecided() => {
            tracing::warn!("debug page {name}: {from:?} could not be authenticated: {why}");
            return (StatusCode::SERVICE_UNAVAILABLE, "not authenticated yet, try again later\n")
                .into_response();
        }
        Err(why) => {
            tracing::warn!("debug page {name}: {from:?} is not authenticated: {why}");
            return (StatusCode::UNAUTHORIZED, "not authenticated\n").into_response();
        }
    };
    if sight != Sight::All && !shared {
        let text = "callers of other namespaces than the control plane's may not see this\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let pretty = parameters.contains_key("pretty");
    // pages may build what nobody has asked for yet, and render much
    let name = *name;
    let made = tokio::task::spawn_blocking(move || debug.page(name, &parameters, &sight)).await;
    match made {
        Ok(page) => page.into_response(pretty),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n").into_response(),
    }
}

impl Page {
    fn into_response(self, pretty: bool) -> Response {
        match self {
            Self::Json(value) => {
                let text = if pretty { format!("{value:#}\n") } else { format!("{value}\n") };
                ([(header::CONTENT_TYPE, "application/json")], text).into_response()
            }
            Self::Text(text) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
            Self::Refused(status, text) => (status, text).into_response(),
        }
    }
}

impl Debug {
    fn page(&self, name: &str, parameters: &Parameters, sight: &Sight) -> Page {
        let world = || self.catalog.world();
        let text = |name: &str| parameters.get(name).map_or("", String::as_str);
        match name {
            "syncz" => Page::Json(clients::syncz(&self.connections.list(), text("namespace"), &self.cluster)),
            "adsz" if text("push") == "true" => {
                Page::Text(format!("Pushed to {} clients\n", self.connections.push("")))
            }
            "adsz" => Page::Json(clients::adsz(&self.connections.list(), true)),
            "connections" => Page::Json(clients::adsz(&self.connections.list(), false)),
            "resourcesz" => Page::Json(clients::resources(&self.connections.list())),
            "events" => {
                let since = text("since").parse().unwrap_or(0);
                let lines = self.events.since(since);
                let lines = lines.iter().filter_map(|event| serde_json::to_string(event).ok());
                Page::Text(lines.map(|line| line + "\n").collect())
            }
            "config_dump" => self.about_proxy(parameters, sight, |class| {
                dump::config_dump(&self.catalog, class, text("types"), parameters.contains_key("include_eds"))
            }),
            "edsz" => self.about_proxy(parameters, sight, |class| dump::endpoints(&self.catalog, class)),
            "ndsz" => self.about_proxy(parameters, sight, |class| dump::names(&self.catalog, class)),
            "sidecarz" => self.about_proxy(parameters, sight, |class| world::scope(&self.catalog, class)),
            "provenance" => self.provenance(parameters, sight),
            "registryz" => Page::Json(world::services(&world())),
            "endpointShardz" => Page::Json(world::endpoints(&world())),
            "configz" => Page::Json(world::objects(&self.objects.list())),
            "clusterz" => Page::Json(world::clusters(&self.cluster, self.clusters.as_ref())),
            "mesh" => Page::Json(world::mesh(&world())),
            "push_status" => Page::Json(world::sizes(&self.catalog, self.connections.len())),
            "memoz" => Page::Json(world::memos(&self.catalog)),
            _ => Page::Json(PAGES.iter().map(|(name, ..)| Value::from(format!("/debug/{name}"))).collect()),
        }
    }

    /// A page about one proxy, which `proxyID` names by a part of its id.
    fn about_proxy(
        &self,
        parameters: &Parameters,
        sight: &Sight,
        page: impl FnOnce(&generate::Class) -> Value,
    ) -> Page {
        self.seen(parameters, sight).map_or_else(|refused| refused, |class| Page::Json(page(&class)))
    }

    fn provenance(&self, parameters: &Parameters, sight: &Sight) -> Page {
        let text = |name: &str| parameters.get(name).map_or("", String::as_str);
        let types = match provenance::types(text("type")) {
            Ok(types) => types,
            Err(name) => {
                let text = format!(
                    "There is no type {name:?}; types are cds, eds, lds, rds, vhds, sds, ecds, nds\n"
                );
                return Page::Refused(StatusCode::BAD_REQUEST, text);
            }
        };
        let class = match self.seen(parameters, sight) {
            Ok(class) => class,
            Err(refused) => return refused,
        };
        let texts = provenance::Texts { objects: &self.objects, mesh: &self.mesh_places };
        match provenance::page(&self.catalog, &texts, &class, &types, text("resource")) {
            Some(value) => Page::Json(value),
            None => {
                Page::Refused(StatusCode::NOT_FOUND, "The proxy has no resource of this name\n".to_owned())
            }
        }
    }

    /// The proxy that a page is about, if the caller may see it.
    fn seen(&self, parameters: &Parameters, sight: &Sight) -> Result<generate::Class, Page> {
        let Some(id) = parameters.get("proxyID").filter(|id| !id.is_empty()) else {
            let text = "You must provide a proxyID in the query string\n";
            return Err(Page::Refused(StatusCode::BAD_REQUEST, text.to_owned()));
        };
        let found = self.connections.list().into_iter().find(|c| c.id.contains(id.as_str()));
        let class = found.and_then(|connection| self.class_of(&connection));
        let seen = class.filter(|class| match sight {
            Sight::All => true,
            Sight::Namespaces(namespaces) => namespaces.contains(&*class.namespace),
        });
        seen.ok_or_else(|| {
            let text =
                "Proxy not connected to this Pilot instance. It may be connected to another instance.\n";
            Page::Refused(StatusCode::NOT_FOUND, text.to_owned())
        })
    }

    fn class_of(&self, connection: &Connection) -> Option<generate::Class> {
        self.catalog.class(&connection.node, connection.variant).ok()
    }
}
