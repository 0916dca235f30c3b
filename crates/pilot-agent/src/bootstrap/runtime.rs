//! Envoy's runtime flags and the limit of downstream connections.

use serde_json::{Map, Value, json};

use super::Config;
use crate::node::Node;

/// The layered runtime, as pkg/bootstrap/config.go: extractRuntimeFlags.
pub(super) fn layers(config: &Config) -> Value {
    json!({
        "layers": [
            { "name": "global config", "static_layer": flags(config) },
            { "name": "admin", "admin_layer": {} },
        ],
    })
}

fn flags(config: &Config) -> Map<String, Value> {
    let mut flags = Map::new();
    let mut put = |name: &str, value: Value| {
        flags.insert(name.to_owned(), value);
    };
    put("re2.max_program_size.error_level", json!("32768"));
    put(
        "envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst",
        json!(true),
    );
    put("envoy.reloadable_features.http_reject_path_with_fragment", json!(false));
    put("envoy.reloadable_features.fixed_heap_use_allocated", json!(true));
    put("envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update", json!(false));
    if config.compliance_policy == "fips-140-2" {
        put("envoy.reloadable_features.google_grpc_disable_tls_13", json!(true));
    }
    if !config.strip_fragment {
        put("envoy.reloadable_features.http_strip_fragment_from_path_unsafe_if_disabled", json!("false"));
    }
    for (name, value) in config.node.proxy_config.entries("runtimeValues") {
        match value {
            // Envoy has no way to say "unset", so an empty text takes a default away.
            "" => {
                flags.remove(name);
            }
            "true" | "false" => {
                flags.insert(name.to_owned(), Value::Bool(value == "true"));
            }
            _ => {
                flags.insert(name.to_owned(), Value::from(value));
            }
        }
    }
    flags
}

/// connectionSettings, then proxy metadata, then the deprecated runtime flag, then no limit.
pub(super) fn max_downstream_connections(node: &Node) -> i64 {
    let config = &node.proxy_config;
    config
        .get("connectionSettings")
        .and_then(|settings| settings.get("globalDownstreamConnectionLimit"))
        .and_then(crate::proxy_config::number_of)
        .filter(|limit| *limit > 0)
        .or_else(|| {
            config.entry("proxyMetadata", "ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS")?.parse().ok()
        })
        .or_else(|| config.entry("runtimeValues", "overload.global_downstream_max_connections")?.parse().ok())
        .unwrap_or(i64::from(i32::MAX))
}
