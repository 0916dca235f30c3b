//! `proxy-config listener`: addresses, filter chains and where each leads.

use serde_json::Value;

use super::dump::{Dump, DumpError, plain};
use super::fields::{get, list, number, strings, text};
use super::matchers::{chain_destination, chain_match};
use crate::print::Columns;

/// Which listeners are shown; empty fields match everything.
#[derive(Debug, Default, Clone)]
pub struct ListenerFilter {
    /// One of the addresses, case ignored.
    pub address: String,
    /// The port; 0 for any.
    pub port: u16,
    /// `HTTP`, `TCP`, `HTTP+TCP` or `UNKNOWN`, case ignored.
    pub kind: String,
    /// One row per filter chain instead of one per listener.
    pub verbose: bool,
}

impl ListenerFilter {
    /// Whether this listener is shown (as configdump/listener.go: ListenerFilter.Verify).
    #[must_use]
    pub fn accepts(&self, listener: &Value) -> bool {
        let address_fits = self.address.is_empty()
            || addresses(listener).iter().any(|a| a.eq_ignore_ascii_case(&self.address));
        address_fits
            && (self.port == 0 || port(listener) == u64::from(self.port))
            && (self.kind.is_empty() || kind(listener).eq_ignore_ascii_case(&self.kind))
    }
}

fn addresses(listener: &Value) -> Vec<&str> {
    let main = match text(listener, "address.socket_address.address") {
        "" => text(listener, "address.pipe.path"),
        address => address,
    };
    let more =
        list(listener, "additional_addresses").iter().map(|a| text(a, "address.socket_address.address"));
    std::iter::once(main).chain(more).collect()
}

fn port(listener: &Value) -> u64 {
    number(listener, "address.socket_address.port_value")
}

fn chains(listener: &Value) -> Vec<&Value> {
    let default = get(listener, "default_filter_chain");
    list(listener, "filter_chains").iter().chain(Some(default).filter(|d| !d.is_null())).collect()
}

fn kind(listener: &Value) -> &'static str {
    let (mut http, mut tcp) = (false, false);
    for filter in chains(listener).into_iter().flat_map(|chain| list(chain, "filters")) {
        match text(filter, "name") {
            "envoy.filters.network.http_connection_manager" => http = true,
            "envoy.filters.network.tcp_proxy" => tcp |= !super::matchers::is_black_hole(filter),
            _ => {}
        }
    }
    match (http, tcp) {
        (true, true) => "HTTP+TCP",
        (true, false) => "HTTP",
        (false, true) => "TCP",
        (false, false) => "UNKNOWN",
    }
}

fn selected<'a>(dump: &'a Dump, filter: &ListenerFilter) -> Result<Vec<&'a Value>, DumpError> {
    let section = dump.section("ListenersConfigDump")?;
    let found = Dump::resources(
        section,
        &[("dynamic_listeners", "active_state.listener"), ("static_listeners", "listener")],
    );
    if found.is_empty() {
        return Err(DumpError::Empty("listeners"));
    }
    Ok(found.into_iter().filter(|listener| filter.accepts(listener)).collect())
}

/// The table of listeners, sorted by port, address and type; `named` adds the NAME column of `all`.
///
/// # Errors
/// If the dump has no listeners.
pub fn listener_summary(dump: &Dump, filter: &ListenerFilter, named: bool) -> Result<String, DumpError> {
    let mut found = selected(dump, filter)?;
    found.sort_by_key(|l| (port(l), addresses(l)[0].to_owned(), kind(l)));
    let mut table = Columns::new(1);
    let mut header = if named { vec!["NAME"] } else { vec![] };
    header.extend(["ADDRESSES", "PORT"]);
    header.extend(if filter.verbose { &["MATCH", "DESTINATION"][..] } else { &["TYPE"] });
    table.row(header);
    for listener in found {
        let mut first = if named { vec![format!("listener/{}", text(listener, "name"))] } else { vec![] };
        first.extend([addresses(listener).join(","), port(listener).to_string()]);
        if !filter.verbose {
            first.push(kind(listener).to_owned());
            table.row(first);
            continue;
        }
        let mut rows: Vec<(String, String)> = chains(listener)
            .into_iter()
            .map(|chain| {
                (chain_match(get(chain, "filter_chain_match")), chain_destination(list(chain, "filters")))
            })
            .collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1));
        for (matched, destination) in rows {
            table.row(first.iter().cloned().chain([matched, destination]));
        }
    }
    Ok(table.render())
}

/// The selected listeners in full, in the order of the dump.
///
/// # Errors
/// If the dump has no listeners.
pub fn listener_dump(dump: &Dump, filter: &ListenerFilter) -> Result<Value, DumpError> {
    Ok(selected(dump, filter)?.into_iter().map(plain).collect())
}

/// The protocols a filter chain waits for, by the names Istio's users know.
pub(super) fn describe_protocols(chain_match: &Value) -> Option<String> {
    const KNOWN: [(&str, &[&str]); 4] = [
        ("App: HTTP TLS", &["http/1.0", "http/1.1", "h2c", "istio-http/1.0", "istio-http/1.1", "istio-h2"]),
        ("App: Istio HTTP Plain", &["istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"]),
        ("App: TCP TLS", &["istio-peer-exchange", "istio"]),
        ("App: HTTP", &["http/1.0", "http/1.1", "h2c"]),
    ];
    let protocols = strings(chain_match, "application_protocols");
    if protocols.is_empty() {
        return None;
    }
    let known = KNOWN.iter().find(|(_, list)| *list == protocols.as_slice());
    Some(known.map_or_else(|| format!("App: {}", protocols.join(",")), |(name, _)| (*name).to_owned()))
}
