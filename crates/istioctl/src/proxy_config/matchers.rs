//! One line for a filter chain's match, a chain's destination, a route's match.

use serde_json::Value;

use super::fields::{get, list, number, strings, text};

/// Whether a tcp_proxy filter leads to `BlackHoleCluster`.
pub(super) fn is_black_hole(filter: &Value) -> bool {
    get(filter, "typed_config").to_string().contains("BlackHoleCluster")
}

/// `SNI: ..; Trans: ..; App: ..; Addr: ..`, or `ALL`.
pub(super) fn chain_match(found: &Value) -> String {
    let mut parts = Vec::new();
    let names = strings(found, "server_names");
    if !names.is_empty() {
        parts.push(format!("SNI: {}", names.join(",")));
    }
    let transport = text(found, "transport_protocol");
    if !transport.is_empty() {
        parts.push(format!("Trans: {transport}"));
    }
    parts.extend(super::listeners::describe_protocols(found));
    let port = match get(found, "destination_port") {
        Value::Null => String::new(),
        _ => format!(":{}", number(found, "destination_port")),
    };
    let ranges: Vec<String> = list(found, "prefix_ranges")
        .iter()
        .map(|range| format!("{}/{}", text(range, "address_prefix"), number(range, "prefix_len")))
        .collect();
    if !ranges.is_empty() {
        parts.push(format!("Addr: {}{port}", ranges.join(",")));
    } else if !port.is_empty() {
        parts.push(format!("Addr: *{port}"));
    }
    if parts.is_empty() { "ALL".to_owned() } else { parts.join("; ") }
}

/// Where the first HTTP or TCP filter of a chain leads.
pub(super) fn chain_destination(filters: &[Value]) -> String {
    for filter in filters {
        let config = get(filter, "typed_config");
        match text(filter, "name") {
            "envoy.filters.network.http_connection_manager" => {
                let inline = get(config, "route_config");
                if !inline.is_null() {
                    return inline_routes(inline);
                }
                let name = text(config, "rds.route_config_name");
                return if name.is_empty() { "HTTP".to_owned() } else { format!("Route: {name}") };
            }
            "envoy.filters.network.tcp_proxy" if !is_black_hole(filter) => {
                return cluster_name(text(config, "cluster"));
            }
            _ => {}
        }
    }
    "Non-HTTP/Non-TCP".to_owned()
}

fn cluster_name(name: &str) -> String {
    if name.contains("Cluster") { name.to_owned() } else { format!("Cluster: {name}") }
}

fn inline_routes(config: &Value) -> String {
    if let Some(cluster) = match_all_cluster(config) {
        return cluster;
    }
    let hosts: Vec<String> = list(config, "virtual_hosts")
        .iter()
        .map(|host| {
            let domains = strings(host, "domains");
            let routes: Vec<String> =
                list(host, "routes").iter().map(|route| route_match(get(route, "match"))).collect();
            if domains == ["*"] || domains.is_empty() {
                routes.join(", ")
            } else {
                format!("{} {}", domains.join("/"), routes.join(", "))
            }
        })
        .collect();
    format!("Inline Route: {}", hosts.join("; "))
}

/// The one cluster that everything goes to, if the routes are no more than that.
fn match_all_cluster(config: &Value) -> Option<String> {
    let [host] = list(config, "virtual_hosts") else { return None };
    let [route] = list(host, "routes") else { return None };
    if strings(host, "domains") != ["*"] || text(route, "match.prefix") != "/" {
        return None;
    }
    let cluster = get(get(route, "route"), "cluster").as_str()?;
    Some(cluster_name(cluster))
}

/// `/prefix*`, `PathPrefix:/x`, `/exact`, `regex ..`; headers are not shown, as in Istio.
pub(super) fn route_match(found: &Value) -> String {
    let mut parts = Vec::new();
    for (field, before, after) in
        [("prefix", "", "*"), ("path_separated_prefix", "PathPrefix:", ""), ("path", "", "")]
    {
        let value = text(found, field);
        if !value.is_empty() {
            parts.push(format!("{before}{value}{after}"));
        }
    }
    if !get(found, "safe_regex").is_null() {
        parts.push(format!("regex {}", text(found, "safe_regex.regex")));
    }
    parts.join(" ")
}
