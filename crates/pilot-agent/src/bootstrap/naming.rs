//! The node's `cluster`: what the workload calls itself in traces and logs.

use serde_json::Value;

use crate::node::Node;

const DEFAULT: &str = "istio-proxy";

/// The service cluster, as pkg/bootstrap/config.go: getServiceCluster.
#[must_use]
pub fn service_cluster(node: &Node) -> String {
    let config = &node.proxy_config;
    if let Some(naming) = config.get("tracingServiceName").and_then(Value::as_str) {
        let namespace = node.text("NAMESPACE");
        return match naming {
            "CANONICAL_NAME_ONLY" => or_default(&node.canonical_service(), node),
            "CANONICAL_NAME_AND_NAMESPACE" if !namespace.is_empty() => {
                format!("{}.{namespace}", node.canonical_service())
            }
            "CANONICAL_NAME_AND_NAMESPACE" => or_default(&node.canonical_service(), node),
            _ => or_default(DEFAULT, node),
        };
    }
    or_default(config.text("serviceCluster"), node)
}

fn or_default(name: &str, node: &Node) -> String {
    if !name.is_empty() && name != DEFAULT {
        return name.to_owned();
    }
    let namespace = node.text("NAMESPACE");
    let app = ["app", "app.kubernetes.io/name", "service.istio.io/canonical-name"]
        .iter()
        .find_map(|label| node.label(label));
    if let Some(app) = app {
        return format!("{app}.{namespace}");
    }
    let workload = node.text("WORKLOAD_NAME");
    if !workload.is_empty() {
        return format!("{workload}.{namespace}");
    }
    if namespace.is_empty() { DEFAULT.to_owned() } else { format!("{DEFAULT}.{namespace}") }
}
