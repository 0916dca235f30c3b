//! Envoy's configuration dump, read and printed as `istioctl proxy-config` of Istio prints it.

mod bootstrap;
mod clusters;
mod compare;
mod dump;
mod endpoints;
mod extensions;
mod fields;
mod listeners;
mod matchers;
mod routes;
mod secrets;

pub use bootstrap::{bootstrap_dump, bootstrap_summary};
pub use clusters::{ClusterFilter, cluster_dump, cluster_summary};
pub use compare::compare;
pub use dump::{Dump, DumpError};
pub use endpoints::{EndpointFilter, eds_dump, eds_summary, endpoint_dump, endpoint_summary};
pub use extensions::{extension_dump, extension_summary};
pub use fields::camel;
pub use listeners::{ListenerFilter, listener_dump, listener_summary};
pub use routes::{RouteFilter, describe_domains, route_dump, route_summary};
pub use secrets::{SecretItem, secret_dump, secret_items, secret_summary};

use serde_json::Value;

/// How a selection of resources is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Every field, as JSON.
    Json,
    /// Every field, as YAML.
    Yaml,
    /// A table.
    #[default]
    Short,
}

/// The value as `-o json` or `-o yaml` prints it, ending in a newline (YAML: in an empty line, as Istio does).
#[must_use]
pub fn render(value: &Value, format: Format) -> String {
    match format {
        Format::Yaml => crate::print::to_yaml(value) + "\n",
        Format::Json | Format::Short => crate::print::to_json(value) + "\n",
    }
}

/// What `proxy-config all` prints: every section's table, with `--with-headers` under a heading each.
///
/// # Errors
/// When a section that every dump has is absent.
pub fn full_summary(
    dump: &Dump,
    clusters: &ClusterFilter,
    listeners: &ListenerFilter,
    routes: &RouteFilter,
    headers: bool,
) -> Result<String, DumpError> {
    let sections = [
        ("BOOTSTRAP INFO", bootstrap_summary(dump)?),
        ("CLUSTER INFO", cluster_summary(dump, clusters, true)?),
        ("LISTENER INFO", listener_summary(dump, listeners, true)?),
        ("ROUTE INFO", route_summary(dump, routes, true)?),
        ("SECRET INFO", secret_summary(dump, true)?),
        ("ENDPOINTS INFO", eds_summary(dump, &EndpointFilter::default(), true)),
    ];
    let parts: Vec<String> = sections
        .into_iter()
        .map(|(title, text)| if headers { format!("------ {title} ------\n\n{text}") } else { text })
        .collect();
    Ok(parts.join("\n"))
}

#[cfg(test)]
mod tests;
