//! `proxy-config route`: virtual hosts, their domains, matches and the VirtualService behind them.

use serde_json::Value;

use super::dump::{Dump, DumpError, management, plain};
use super::fields::{get, list, strings, text};
use super::matchers::route_match;
use crate::print::Columns;

/// Which route configurations are shown.
#[derive(Debug, Default, Clone)]
pub struct RouteFilter {
    /// The exact name; empty for all.
    pub name: String,
    /// One row per route instead of one per configuration.
    pub verbose: bool,
}

fn selected<'a>(dump: &'a Dump, filter: &RouteFilter) -> Result<Vec<&'a Value>, DumpError> {
    let section = dump.section("RoutesConfigDump")?;
    let mut found = Dump::resources(
        section,
        &[("dynamic_route_configs", "route_config"), ("static_route_configs", "route_config")],
    );
    if found.is_empty() {
        return Err(DumpError::Empty("routes"));
    }
    // numbers in front in their order, the names behind them as the dump has them
    found.sort_by_key(|route| text(route, "name").parse::<u64>().unwrap_or(u64::MAX));
    Ok(found.into_iter().filter(|r| filter.name.is_empty() || filter.name == text(r, "name")).collect())
}

/// The table of routes; `named` prefixes names with `route/` as `all` does.
///
/// # Errors
/// If the dump has no routes.
pub fn route_summary(dump: &Dump, filter: &RouteFilter, named: bool) -> Result<String, DumpError> {
    let mut table = Columns::new(5);
    if filter.verbose {
        table.row(["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"]);
    } else {
        table.row(["NAME", "VIRTUAL HOSTS"]);
    }
    for config in selected(dump, filter)? {
        let name =
            if named { format!("route/{}", text(config, "name")) } else { text(config, "name").to_owned() };
        let hosts = list(config, "virtual_hosts");
        if !filter.verbose {
            table.row([name, hosts.len().to_string()]);
            continue;
        }
        for host in hosts {
            let domains = describe_domains(&strings(host, "domains"));
            let routes = list(host, "routes");
            if routes.is_empty() {
                table.row([&name, text(host, "name"), &domains, "/*", "404"]);
            }
            for route in routes.iter().filter(|r| text(r, "route.cluster") != "PassthroughCluster") {
                let found = route_match(get(route, "match"));
                table.row([&name, text(host, "name"), &domains, &found, &management(route)]);
            }
        }
    }
    Ok(table.render())
}

/// The selected route configurations in full.
///
/// # Errors
/// If the dump has no routes.
pub fn route_dump(dump: &Dump, filter: &RouteFilter) -> Result<Value, DumpError> {
    Ok(selected(dump, filter)?.into_iter().map(plain).collect())
}

/// Two of the domains without ports, longer spellings of a shown one left out (as route.go: describeRouteDomains).
#[must_use]
pub fn describe_domains(domains: &[&str]) -> String {
    if let [only] = domains {
        return (*only).to_owned();
    }
    let without_port: Vec<&str> = domains
        .iter()
        .copied()
        .filter(|d| !d.contains(':') || (d.matches(':').count() > 2 && d.ends_with(']')))
        .collect();
    let shorter_known = |domain: &str, suffix: &str| {
        domain.strip_suffix(suffix).is_some_and(|short| without_port.contains(&short))
    };
    let shown: Vec<&str> = without_port
        .iter()
        .copied()
        .filter(|d| !shorter_known(d, ".svc.cluster.local") && !shorter_known(d, ".svc"))
        .collect();
    if shown.len() > 2 {
        return format!("{} + {} more...", shown[..2].join(", "), shown.len() - 2);
    }
    shown.join(", ")
}
