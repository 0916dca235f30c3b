//! `proxy-config ecds`: extensions a proxy discovers one by one.

use serde_json::{Value, json};

use super::dump::{Dump, DumpError};
use super::fields::{camel, get, list, text};
use crate::print::Columns;

/// Every entry of every ECDS section; there may be several.
fn entries(dump: &Dump) -> Result<Vec<&Value>, DumpError> {
    let sections: Vec<&Value> = list(dump.root(), "configs")
        .iter()
        .filter(|config| text(config, "@type").ends_with("envoy.admin.v3.EcdsConfigDump"))
        .collect();
    if sections.is_empty() {
        return Err(DumpError::NoSection("EcdsConfigDump"));
    }
    Ok(sections.into_iter().flat_map(|section| list(section, "ecds_filters")).collect())
}

/// The table of extensions, by type and name.
///
/// # Errors
/// If the dump has no such section.
pub fn extension_summary(dump: &Dump) -> Result<String, DumpError> {
    let mut rows: Vec<(&str, &str)> = entries(dump)?
        .into_iter()
        .map(|entry| get(entry, "ecds_filter"))
        .map(|filter| (text(get(filter, "typed_config"), "@type"), text(filter, "name")))
        .collect();
    rows.sort_unstable();
    let mut table = Columns::new(5);
    table.row(["ECDS NAME", "TYPE"]);
    for (kind, name) in rows {
        table.row([name, kind.trim_start_matches("type.googleapis.com/")]);
    }
    Ok(table.render())
}

/// The extensions in full.
///
/// # Errors
/// If the dump has no such section.
pub fn extension_dump(dump: &Dump) -> Result<Value, DumpError> {
    let found: Vec<Value> = entries(dump)?.into_iter().map(camel).collect();
    Ok(json!({ "ecdsFilters": found }))
}
