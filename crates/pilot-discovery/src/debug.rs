//! HTTP: readiness, metrics, version, and the debug pages (as pilot/pkg/xds/debug.go), one file per group of pages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use mesh::World;
use process::metrics::{self, Metrics};
use serde_json::{Value, json};
use sources::kubernetes::Directory;
use tokio::sync::watch;
use xds::server::{Connection, Connections};

use crate::admission::Sight;
use crate::ca::Peer;
use crate::catalog::MeshCatalog;
use crate::events::Events;
use crate::objects::Objects;
use crate::push_status;

mod clients;
mod dump;
mod internals;
mod multicluster;
mod policies;
mod profile;
mod provenance;
mod questions;
mod registry;
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
    /// `UNSAFE_ENABLE_ADMIN_ENDPOINTS`.
    pub admin: bool,
    /// `--profile`.
    pub profile: bool,
    /// `METRICS_LOCALHOST_ACCESS_ONLY`.
    pub metrics_here_only: bool,
}

type Shared = Arc<Debug>;
type Parameters = BTreeMap<String, String>;

/// An answer of a page.
enum Page {
    Json(Value),
    Text(String),
    Refused(StatusCode, String),
}

/// The one page that changes something, which has to be allowed (`UNSAFE_ENABLE_ADMIN_ENDPOINTS`).
const DISCONNECT: &str = "force_disconnect";

/// The pages: name, meaning, whether callers of other namespaces may see it about their own proxies. Sorted. Names with a
/// question mark are for lists only.
const PAGES: &[(&str, &str, bool)] = &[
    ("adsz", "Connected clients and what they watch; takes proxyID", false),
    ("adsz?push=true", "Makes all clients look for changes", false),
    ("ambientz", "Workloads, services and policies of the ambient mode", false),
    ("authorizationz", "Authorization policies", false),
    ("cachez", "The names of the resources that are kept, by type", false),
    ("cachez?clear=true", "Answers as if it cleared what is kept, which is never stale", false),
    ("cachez?sizes=true", "The size of the resources that are kept, by type", false),
    ("clusterz", "The clusters that are read, and how far", false),
    ("config_dump", "What a proxy was given, in the form of Envoy's own dump; needs proxyID", true),
    ("configz", "Every Istio object that is known, without those of Kubernetes", false),
    ("connections", "Connected clients", false),
    ("ecdsz", "The extension configurations of a proxy; needs proxyID", false),
    ("edsz", "The endpoints of a proxy; needs proxyID", true),
    ("endpointShardz", "Endpoints of every service", false),
    ("endpointz", "Obsolete, use endpointShardz", false),
    ("events", "What happened since a number, a JSON object per line; since=N", false),
    (DISCONNECT, "Ends the connection of a proxy; needs proxyID", false),
    ("inject", "The templates of injection", false),
    ("instancesz", "The service ports that each proxy serves", false),
    ("krtz", "The tables of the mesh and the keys in them", false),
    ("list", "The names of these pages", false),
    ("mcsz", "Services of the Multi-Cluster Services API", false),
    ("memoz", "What is remembered of what was built, per kind", false),
    ("mesh", "The mesh configuration in effect", false),
    ("ndsz", "The names a proxy can resolve; needs proxyID", true),
    ("networkz", "The gateways between networks", false),
    (
        "provenance",
        "Where the resources of a proxy come from: object, field, file and line, or which default; needs proxyID, takes type=cds,... and resource=NAME",
        false,
    ),
    ("push_status", "What is odd about the mesh, by metric", false),
    ("pushcontext", "Authorization policies and the gateways between networks", false),
    ("registryz", "Every service that is known", false),
    ("resourcesz", "The kinds of configuration that are read", false),
    ("sidecarz", "What a proxy can see; needs proxyID", false),
    ("sizez", "Size of the mesh and of what is kept for it", false),
    ("syncz", "What each proxy was sent and has accepted", false),
    ("telemetryz", "Telemetry policies, of one proxy with proxyID", false),
];

/// The routes of the monitoring port.
pub fn monitoring(debug: Shared) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/version", get(async || crate::start::build_line()))
        .with_state(debug.clone())
        .merge(http(debug))
}

/// The routes of the HTTP port.
pub fn http(debug: Shared) -> Router {
    let ready = Router::new().route("/ready", get(show_ready)).fallback(clean_path);
    let pages = Router::new()
        .route("/debug", get(show_index))
        .route("/debug/", get(show_index))
        .route("/debug/{*page}", get(show_page));
    let router = if debug.enabled { ready.merge(pages) } else { ready };
    router.with_state(debug)
}

/// Sends who asks for `//version` to `/version`, as Go's servers do: upstream's istioctl asks like that.
async fn clean_path(uri: Uri) -> Response {
    let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let path = format!("/{}", parts.join("/"));
    if path.len() == uri.path().len() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::temporary(&format!("{path}{query}")).into_response()
}

async fn show_ready(State(debug): State<Shared>) -> Response {
    if debug.ready.load(Ordering::SeqCst) {
        return StatusCode::OK.into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
}

async fn show_metrics(
    State(debug): State<Shared>,
    from: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
) -> Response {
    let from = from.map(|axum::Extension(ConnectInfo(address))| address);
    // as pilot/pkg/bootstrap/monitoring.go: metricsMiddleware
    if debug.metrics_here_only && !is_here(from) {
        return (StatusCode::FORBIDDEN, "Only requests from localhost are allowed\n").into_response();
    }
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], debug.metrics.render()).into_response()
}

/// Whether a caller is on this machine.
fn is_here(from: Option<SocketAddr>) -> bool {
    from.is_some_and(|from| from.ip().to_canonical().is_loopback())
}

async fn show_index(State(debug): State<Shared>) -> Response {
    let rows: String = debug
        .pages()
        .map(|(name, what)| {
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
    uri: Uri,
    Query(parameters): Query<Parameters>,
    from: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Response {
    let profile =
        page.strip_prefix("pprof").filter(|_| debug.profile).and_then(|rest| rest.strip_prefix('/'));
    let found = PAGES.iter().find(|(name, ..)| *name == page && debug.has(name));
    let (name, shared) = match (found, profile) {
        (Some((name, _, shared)), _) => (*name, *shared),
        (None, Some(_)) => ("pprof", false),
        (None, None) if page.starts_with('/') => return clean_path(uri).await,
        (None, None) => return (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
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
    if let Some(profile) = profile {
        return profile::page(profile).into_response(false);
    }
    let pretty = parameters.contains_key("pretty");
    // pages may build what nobody has asked for yet, and render much
    let made = tokio::task::spawn_blocking(move || debug.page(name, &parameters, &sight)).await;
    match made {
        Ok(page) => page.into_response(pretty),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n").into_response(),
    }
}

impl Page {
    fn not_connected() -> Self {
        let text = "Proxy not connected to this Pilot instance. It may be connected to another instance.\n";
        Self::Refused(StatusCode::NOT_FOUND, text.to_owned())
    }

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
    /// Whether a page is served here.
    fn has(&self, name: &str) -> bool {
        self.admin || name != DISCONNECT
    }

    /// The pages that are served here, with their meaning.
    fn pages(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let own = PAGES.iter().map(|(name, what, _)| (*name, *what)).filter(|(name, _)| self.has(name));
        own.chain(profile::PAGES.iter().copied().filter(|_| self.profile))
    }

    fn page(&self, name: &str, parameters: &Parameters, sight: &Sight) -> Page {
        let text = |name: &str| parameters.get(name).map_or("", String::as_str);
        match name {
            "syncz" => Page::Json(clients::syncz(&self.connections.list(), text("namespace"), &self.cluster)),
            "adsz" if !text("push").is_empty() => {
                Page::Text(format!("Pushed to {} servers\n", self.connections.push("")))
            }
            "adsz" => self.clients(parameters),
            "connections" => Page::Json(clients::adsz(&self.connections.list(), false)),
            "resourcesz" => Page::Json(world::kinds()),
            "events" => {
                let since = text("since").parse().unwrap_or(0);
                let lines = self.events.since(since);
                let lines = lines.iter().filter_map(|event| serde_json::to_string(event).ok());
                Page::Text(lines.map(|line| line + "\n").collect())
            }
            "config_dump" if text("types").is_empty() => self.about_proxy(parameters, sight, |class| {
                dump::config_dump(&self.catalog, class, parameters.contains_key("include_eds"))
            }),
            "config_dump" => self.about_types(parameters, sight, text("types")),
            "edsz" => self.about_types(parameters, sight, "eds"),
            "ndsz" => self.about_types(parameters, sight, "nds"),
            "ecdsz" => self.about_types(parameters, sight, "ecds"),
            DISCONNECT => self.disconnect(parameters, sight),
            "push_status" => Page::Json(push_status::page(&self.catalog)),
            "sidecarz" => self.about_proxy(parameters, sight, |class| registry::scope(&self.catalog, class)),
            "provenance" => self.provenance(parameters, sight),
            "telemetryz" if parameters.contains_key("proxyID") => {
                self.about_proxy(parameters, sight, |class| {
                    policies::telemetry_of(&self.catalog.world(), class)
                })
            }
            _ => Self::about_mesh(name, &self.catalog.world(), parameters)
                .unwrap_or_else(|| self.about_us(name, parameters)),
        }
    }

    /// A page about the mesh, for all proxies.
    fn about_mesh(name: &str, world: &World, parameters: &Parameters) -> Option<Page> {
        Some(Page::Json(match name {
            "registryz" => registry::services(world),
            "endpointShardz" | "endpointz" => registry::endpoints(world),
            "mesh" => world::mesh(world),
            "authorizationz" => policies::authorization(world),
            "telemetryz" if !parameters.contains_key("proxyID") => policies::telemetry(world),
            "networkz" => policies::networks(world),
            "pushcontext" => policies::push_context(world),
            "krtz" => internals::tables(world),
            "mcsz" => multicluster::services(world),
            // what there is nothing of is said in the form of what there is
            "ambientz" => json!({ "workloads": [], "services": [], "policies": [] }),
            _ => return None,
        }))
    }

    /// A page about the control plane itself.
    fn about_us(&self, name: &str, parameters: &Parameters) -> Page {
        let given = |name: &str| parameters.get(name).is_some_and(|value| !value.is_empty());
        match name {
            "configz" => Page::Json(world::objects(&self.objects.list(), &self.catalog.world())),
            "clusterz" => Page::Json(world::clusters(&self.cluster, self.clusters.as_ref())),
            "sizez" => Page::Json(world::sizes(&self.catalog, self.connections.len())),
            "memoz" => Page::Json(world::memos(&self.catalog)),
            "instancesz" => Page::Json(internals::instances(&self.catalog, &self.connections.list())),
            // what is kept follows the mesh and is never stale: there is nothing to clear
            "cachez" if given("clear") => Page::Text("Cache cleared\n".to_owned()),
            "cachez" => Page::Json(internals::cache(&self.catalog, given("sizes"))),
            // as upstream where there is no webhook
            "inject" => Page::Refused(StatusCode::NOT_FOUND, String::new()),
            _ => Page::Json(self.list()),
        }
    }

    /// The names of the pages, without this one and those of profiling, which only HTTP has.
    fn list(&self) -> Value {
        let names = PAGES.iter().map(|(name, ..)| *name);
        names.filter(|name| *name != "list" && self.has(name)).map(Value::from).collect()
    }

    fn clients(&self, parameters: &Parameters) -> Page {
        let mut clients = self.connections.list();
        if let Some(id) = parameters.get("proxyID").filter(|id| !id.is_empty()) {
            let found = clients.into_iter().find(|client| client.id.contains(id.as_str()));
            let Some(found) = found else { return Page::not_connected() };
            clients = vec![found];
        }
        Page::Json(clients::adsz(&clients, true))
    }

    fn disconnect(&self, parameters: &Parameters, sight: &Sight) -> Page {
        match self.connected(parameters, sight) {
            Ok((connection, _)) => {
                self.connections.disconnect(&connection.id);
                Page::Text("OK".to_owned())
            }
            Err(refused) => refused,
        }
    }

    fn about_types(&self, parameters: &Parameters, sight: &Sight, types: &str) -> Page {
        self.about_proxy(parameters, sight, |class| dump::of_types(&self.catalog, class, types))
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
        self.connected(parameters, sight).map(|(_, class)| class)
    }

    /// The same, with its connection.
    fn connected(
        &self,
        parameters: &Parameters,
        sight: &Sight,
    ) -> Result<(Connection, generate::Class), Page> {
        let Some(id) = parameters.get("proxyID").filter(|id| !id.is_empty()) else {
            let text = "You must provide a proxyID in the query string\n";
            return Err(Page::Refused(StatusCode::BAD_REQUEST, text.to_owned()));
        };
        let found = self.connections.list().into_iter().find(|c| c.id.contains(id.as_str()));
        let seen = found.and_then(|connection| {
            let class = self.class_of(&connection)?;
            let sees = match sight {
                Sight::All => true,
                Sight::Namespaces(namespaces) => namespaces.contains(&*class.namespace),
            };
            sees.then_some((connection, class))
        });
        seen.ok_or_else(Page::not_connected)
    }

    fn class_of(&self, connection: &Connection) -> Option<generate::Class> {
        self.catalog.class(&connection.node, connection.variant).ok()
    }
}
