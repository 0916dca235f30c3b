//! `proxy-config endpoint`: the hosts of every cluster, from Envoy's `/clusters` or from the dump's EDS section.

use serde_json::Value;

use super::dump::{Dump, SubsetKey, plain};
use super::fields::{get, list, number, text};
use crate::print::Columns;

/// Which endpoints are shown; empty fields match everything.
#[derive(Debug, Default, Clone)]
pub struct EndpointFilter {
    /// The address, case ignored (`eds`: with its port).
    pub address: String,
    /// The port; 0 for any.
    pub port: u16,
    /// The cluster's whole name, case ignored.
    pub cluster: String,
    /// The health status, case ignored.
    pub status: String,
}

impl EndpointFilter {
    fn accepts(&self, addresses: &[String], port: u64, cluster: &str, status: &str) -> bool {
        (self.address.is_empty() || addresses.iter().any(|a| a.eq_ignore_ascii_case(&self.address)))
            && (self.port == 0 || u64::from(self.port) == port)
            && (self.cluster.is_empty() || cluster.eq_ignore_ascii_case(&self.cluster))
            && (self.status.is_empty() || status.eq_ignore_ascii_case(&self.status))
    }
}

fn internal(address: &Value) -> Option<String> {
    let name = text(address, "envoy_internal_address.server_listener_name");
    (!name.is_empty())
        .then(|| format!("envoy://{name}/{}", text(address, "envoy_internal_address.endpoint_id")))
}

fn health(value: &Value, dotted: &str) -> String {
    match text(value, dotted) {
        "" => "UNKNOWN".to_owned(),
        status => status.to_owned(),
    }
}

/// One host of `/clusters?format=json`.
fn host_address(host: &Value) -> (String, u64) {
    let address = get(host, "address");
    let plain = text(address, "socket_address.address");
    if !plain.is_empty() {
        return (plain.to_owned(), number(address, "socket_address.port_value"));
    }
    let pipe = text(address, "pipe.path");
    if !pipe.is_empty() {
        return (format!("unix://{pipe}"), 0);
    }
    (internal(address).unwrap_or_else(|| "unknown".to_owned()), 0)
}

fn accepts_host(filter: &EndpointFilter, host: &Value, cluster: &str) -> bool {
    let (address, port) = host_address(host);
    filter.accepts(&[address], port, cluster, &health(host, "health_status.eds_health_status"))
}

/// The table of Envoy's `/clusters?format=json`, sorted by address, port and cluster.
#[must_use]
pub fn endpoint_summary(clusters: &Value, filter: &EndpointFilter) -> String {
    let mut rows = Vec::new();
    for cluster in list(clusters, "cluster_statuses") {
        let name = text(cluster, "name");
        for host in list(cluster, "host_statuses").iter().filter(|h| accepts_host(filter, h, name)) {
            let failed = get(get(host, "health_status"), "failed_outlier_check").as_bool() == Some(true);
            let (address, port) = host_address(host);
            rows.push((address, port, name, health(host, "health_status.eds_health_status"), failed));
        }
    }
    rows.sort();
    let mut table = Columns::new(5);
    table.row(["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]);
    for (address, port, cluster, status, failed) in rows {
        let endpoint = if port == 0 { address } else { format!("{address}:{port}") };
        table.row([endpoint.as_str(), &status, if failed { "FAILED" } else { "OK" }, cluster]);
    }
    table.render()
}

/// The clusters of `/clusters?format=json` that have a selected host, in full.
#[must_use]
pub fn endpoint_dump(clusters: &Value, filter: &EndpointFilter) -> Value {
    list(clusters, "cluster_statuses")
        .iter()
        .filter(|c| list(c, "host_statuses").iter().any(|h| accepts_host(filter, h, text(c, "name"))))
        .map(plain)
        .collect()
}

fn addresses(endpoint: &Value) -> Vec<String> {
    let inner = get(endpoint, "endpoint");
    std::iter::once(get(inner, "address"))
        .chain(list(inner, "additional_addresses").iter().map(|a| get(a, "address")))
        .map(|address| {
            let plain = text(address, "socket_address.address");
            let pipe = text(address, "pipe.path");
            if !plain.is_empty() {
                format!("{plain}:{}", number(address, "socket_address.port_value"))
            } else if !pipe.is_empty() {
                pipe.to_owned()
            } else {
                internal(address).unwrap_or_else(|| "unknown".to_owned())
            }
        })
        .collect()
}

/// Load assignments with only the selected endpoints left, sorted as clusters are; none if the dump has no EDS.
fn assignments(dump: &Dump, filter: &EndpointFilter) -> Vec<Value> {
    let Ok(section) = dump.section("EndpointsConfigDump") else { return Vec::new() };
    let places =
        [("dynamic_endpoint_configs", "endpoint_config"), ("static_endpoint_configs", "endpoint_config")];
    let mut found: Vec<Value> = Dump::resources(section, &places)
        .into_iter()
        .filter_map(|resource| {
            let mut assignment = plain(resource);
            let name = text(&assignment, "cluster_name").to_owned();
            let mut left = 0;
            for locality in assignment.get_mut("endpoints")?.as_array_mut()? {
                if let Some(endpoints) = locality.get_mut("lbEndpoints").and_then(Value::as_array_mut) {
                    endpoints.retain(|e| {
                        let port = number(e, "endpoint.address.socket_address.port_value");
                        filter.accepts(&addresses(e), port, &name, &health(e, "health_status"))
                    });
                    left += endpoints.len();
                }
            }
            (left > 0).then_some(assignment)
        })
        .collect();
    found.sort_by(|a, b| {
        SubsetKey::order(text(a, "cluster_name")).cmp(&SubsetKey::order(text(b, "cluster_name")))
    });
    found
}

/// The table of the dump's EDS section; `named` prefixes addresses with `endpoint/` as `all` does.
#[must_use]
pub fn eds_summary(dump: &Dump, filter: &EndpointFilter, named: bool) -> String {
    let mut table = Columns::new(5);
    table.row(["NAME", "STATUS", "LOCALITY", "CLUSTER"]);
    for assignment in assignments(dump, filter) {
        for locality in list(&assignment, "endpoints") {
            for endpoint in list(locality, "lb_endpoints") {
                let address = addresses(endpoint).join(",");
                let address = if named { format!("endpoint/{address}") } else { address };
                table.row([
                    &address,
                    &health(endpoint, "health_status"),
                    &locality_name(get(locality, "locality")),
                    text(&assignment, "cluster_name"),
                ]);
            }
        }
    }
    table.render()
}

/// The selected load assignments in full.
#[must_use]
pub fn eds_dump(dump: &Dump, filter: &EndpointFilter) -> Value {
    Value::Array(assignments(dump, filter))
}

fn locality_name(locality: &Value) -> String {
    let parts = [text(locality, "region"), text(locality, "zone"), text(locality, "sub_zone")];
    let used = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
    parts[..used].join("/")
}
