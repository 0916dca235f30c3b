//! Envoy's bootstrap: the static configuration that lets it find the agent, and everything else through the agent.

mod addresses;
mod clusters;
mod file;
mod listeners;
mod naming;
mod runtime;
mod stats;
mod stock;
mod tls;

use serde_json::{Map, Value, json};

pub use addresses::{Addresses, all_v6};
pub use file::{FileError, bootstrap_path, envoy_override, write};
pub use listeners::EXPANDED_ENVOY_STATS_PATH;
pub use naming::service_cluster;
pub use stock::{STATS_SCOPE, StockEnvoy};

use crate::node::Node;

/// Everything the bootstrap depends on; nothing else is read.
#[derive(Clone, Debug)]
pub struct Config {
    /// The proxy.
    pub node: Node,
    /// Where it listens and how it finds itself; see [`Addresses::of_proxy`].
    pub addresses: Addresses,
    /// `COMPLIANCE_POLICY`; empty is none.
    pub compliance_policy: String,
    /// Envoy logs JSON.
    pub log_as_json: bool,
    /// Ask for incremental xDS (`ISTIO_DELTA_XDS`); waypoints always do.
    pub delta_xds: bool,
    /// The health listener accepts the PROXY protocol (`ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL`).
    pub status_port_proxy_protocol: bool,
    /// `HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED`.
    pub strip_fragment: bool,
    /// Stands for `$(HOST_IP)` in tracer and metrics addresses.
    pub host_ip: Option<String>,
    /// What an Envoy without Istio's extensions needs besides; `None` for Istio's own proxy.
    pub stock: Option<StockEnvoy>,
}

/// Why no bootstrap could be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An address in ProxyConfig is not `host:port`.
    #[error("ProxyConfig {field}: {address:?} is not host:port")]
    Address {
        /// The field of ProxyConfig.
        field: &'static str,
        /// What it says.
        address: String,
    },
    /// `LOAD_STATS_CONFIG_JSON` is not JSON.
    #[error("ISTIO_META_LOAD_STATS_CONFIG_JSON: {0}")]
    LoadStats(#[source] serde_json::Error),
}

/// Renders the bootstrap as Envoy's JSON, as tools/packaging/common/envoy_bootstrap.json with
/// pkg/bootstrap/config.go: toTemplateParams.
///
/// # Errors
/// When an address in ProxyConfig cannot be read.
pub fn render(config: &Config) -> Result<Value, BootstrapError> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    put("application_log_config", application_log(config.log_as_json));
    put("node", node(config));
    put("layered_runtime", runtime::layers(config));
    put("bootstrap_extensions", extensions(config));
    stats::put_intervals(config, &mut put);
    put("stats_config", stats::config(config));
    put("admin", admin(config));
    put("dynamic_resources", dynamic_resources(config));
    put(
        "static_resources",
        json!({ "clusters": clusters::all(config)?, "listeners": listeners::all(config) }),
    );
    put("overload_manager", overload_manager(config));
    if let Some(tracing) = clusters::tracing(config) {
        put("tracing", tracing);
    }
    if let Some(sinks) = clusters::stats_sinks(config)? {
        put("stats_sinks", sinks);
    }
    if let Some(manager) = cluster_manager(config)? {
        put("cluster_manager", manager);
    }
    put("deferred_stat_options", json!({ "enable_deferred_creation_stats": true }));
    Ok(Value::Object(out))
}

fn application_log(as_json: bool) -> Value {
    let format = if as_json {
        json!({ "json_format": {
            "time": "%Y-%m-%dT%T.%fZ",
            "level": "%l",
            "scope": "envoy %n",
            "msg": "%j",
            "caller": "%g:%#",
            "thread": "%t",
        }})
    } else {
        json!({ "text_format": "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t" })
    };
    json!({ "log_format": format })
}

fn node(config: &Config) -> Value {
    let node = &config.node;
    let mut locality = Map::new();
    for (name, value) in [
        ("region", &node.locality.region),
        ("zone", &node.locality.zone),
        ("sub_zone", &node.locality.sub_zone),
    ] {
        if !value.is_empty() {
            locality.insert(name.to_owned(), Value::from(value.as_str()));
        }
    }
    let mut metadata = node.metadata.clone();
    if config.stock.is_some() {
        // the relay keeps such requests back from control planes that do not know them
        metadata.insert("VIRTUAL_HOST_DISCOVERY".to_owned(), Value::from("true"));
    }
    json!({
        "id": node.id,
        "cluster": service_cluster(node),
        "locality": locality,
        "metadata": metadata,
    })
}

/// Peer metadata discovery: asked for by the metadata, or by being a waypoint; only over incremental xDS.
fn metadata_discovery(config: &Config) -> bool {
    let waypoint = config.node.id.starts_with("waypoint~");
    (waypoint || config.node.flag("METADATA_DISCOVERY")) && delta(config)
}

fn delta(config: &Config) -> bool {
    config.delta_xds || config.node.id.starts_with("waypoint~")
}

fn extensions(config: &Config) -> Value {
    let mut all = Vec::new();
    if metadata_discovery(config) && config.stock.is_none() {
        all.push(json!({
            "name": "metadata_discovery",
            "typed_config": {
                "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                "type_url": "type.googleapis.com/istio.workload.BootstrapExtension",
                "value": { "config_source": { "ads": {} } },
            },
        }));
    }
    all.push(json!({
        "name": "envoy.bootstrap.internal_listener",
        "typed_config": {
            "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
            "type_url": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
            "value": { "buffer_size_kb": 64 },
        },
    }));
    Value::Array(all)
}

fn admin(config: &Config) -> Value {
    json!({
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": "/dev/null",
            },
        }],
        "profile_path": "/var/lib/istio/data/envoy.prof",
        "address": {
            "socket_address": {
                "address": config.addresses.localhost,
                "port_value": config.node.proxy_config.port("proxyAdminPort"),
            },
        },
    })
}

fn dynamic_resources(config: &Config) -> Value {
    let over_ads = json!({ "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3" });
    json!({
        "lds_config": over_ads,
        "cds_config": over_ads,
        "ads_config": {
            "api_type": if delta(config) { "DELTA_GRPC" } else { "GRPC" },
            "set_node_on_first_message_only": true,
            "transport_api_version": "V3",
            "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc" } }],
        },
    })
}

fn overload_manager(config: &Config) -> Value {
    json!({
        "resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": runtime::max_downstream_connections(&config.node),
            },
        }],
    })
}

fn cluster_manager(config: &Config) -> Result<Option<Value>, BootstrapError> {
    let node = &config.node;
    let outliers = node.text("OUTLIER_LOG_PATH");
    let load_stats = node.text("LOAD_STATS_CONFIG_JSON");
    let discovers_itself = node.flag("ENABLE_SELF_DISCOVERY");
    if outliers.is_empty() && load_stats.is_empty() && !discovers_itself {
        return Ok(None);
    }
    let mut out = Map::new();
    if discovers_itself {
        out.insert("local_cluster_name".to_owned(), json!("local_cluster"));
    }
    if !outliers.is_empty() {
        out.insert("outlier_detection".to_owned(), json!({ "event_log_path": outliers }));
    }
    if !load_stats.is_empty() {
        let parsed = serde_json::from_str(load_stats).map_err(BootstrapError::LoadStats)?;
        out.insert("load_stats_config".to_owned(), parsed);
    }
    out.insert("enable_deferred_cluster_creation".to_owned(), json!(true));
    Ok(Some(Value::Object(out)))
}

#[cfg(test)]
mod tests;
