//! `proxy-config cluster`: which clusters a proxy has, and the table of them.

use serde_json::Value;

use super::dump::{Dump, DumpError, SubsetKey, management, plain};
use super::fields::text;
use crate::print::Columns;

/// Which clusters are shown; empty fields match everything (as istioctl/pkg/writer/envoy/configdump/cluster.go).
#[derive(Debug, Default, Clone)]
pub struct ClusterFilter {
    /// Part of the name.
    pub fqdn: String,
    /// The service port; 0 for any.
    pub port: u16,
    /// Part of the subset.
    pub subset: String,
    /// `inbound`, `outbound`, or part of it.
    pub direction: String,
}

impl ClusterFilter {
    /// Whether the cluster of this name is shown.
    #[must_use]
    pub fn accepts(&self, name: &str) -> bool {
        name.contains(&self.fqdn)
            && name.contains(&self.direction)
            && name.contains(&self.subset)
            && (self.port == 0 || name.contains(&format!("|{}|", self.port)))
    }
}

fn sorted(dump: &Dump) -> Result<Vec<&Value>, DumpError> {
    let section = dump.section("ClustersConfigDump")?;
    let mut found =
        Dump::resources(section, &[("dynamic_active_clusters", "cluster"), ("static_clusters", "cluster")]);
    if found.is_empty() {
        return Err(DumpError::Empty("clusters"));
    }
    found.sort_by(|a, b| SubsetKey::order(text(a, "name")).cmp(&SubsetKey::order(text(b, "name"))));
    Ok(found)
}

/// The table of clusters; `named` adds the NAME column of `proxy-config all`.
///
/// # Errors
/// If the dump has no clusters.
pub fn cluster_summary(dump: &Dump, filter: &ClusterFilter, named: bool) -> Result<String, DumpError> {
    let mut table = Columns::new(5);
    let mut header = vec!["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"];
    if named {
        header.insert(0, "NAME");
    }
    table.row(header);
    for cluster in sorted(dump)?.into_iter().filter(|c| filter.accepts(text(c, "name"))) {
        let name = text(cluster, "name");
        let shown = if named && !name.is_empty() { format!("cluster/{name}") } else { name.to_owned() };
        let kind = match text(cluster, "type") {
            "" => "STATIC",
            kind => kind,
        };
        let mut row = match SubsetKey::parse(name).filter(|_| name.matches('|').count() > 2) {
            Some(key) => {
                let subset = if key.subset.is_empty() { "-" } else { key.subset };
                [key.host, &key.port.to_string(), subset, key.direction].map(str::to_owned)
            }
            None => [shown.as_str(), "-", "-", "-"].map(str::to_owned),
        }
        .to_vec();
        row.extend([kind.to_owned(), management(cluster)]);
        if named {
            row.insert(0, shown);
        }
        table.row(row);
    }
    Ok(table.render())
}

/// The selected clusters in full.
///
/// # Errors
/// If the dump has no clusters.
pub fn cluster_dump(dump: &Dump, filter: &ClusterFilter) -> Result<Value, DumpError> {
    Ok(sorted(dump)?.into_iter().filter(|c| filter.accepts(text(c, "name"))).map(plain).collect())
}
