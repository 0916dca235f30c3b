//! Which questions the table answers, and how.

use super::*;

fn info(ips: &[&str], registry: &str, short: &str, namespace: &str) -> NameInfo {
    NameInfo {
        ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
        registry: registry.to_owned(),
        shortname: short.to_owned(),
        namespace: namespace.to_owned(),
        ..NameInfo::default()
    }
}

fn table() -> LookupTable {
    let mut names = NameTable::default();
    for (host, info) in [
        ("reviews.ns1.svc.cluster.local", info(&["10.0.0.1", "10.0.0.2"], "Kubernetes", "reviews", "ns1")),
        ("ratings.ns2.svc.cluster.local", info(&["10.0.0.3", "fd00::3"], "Kubernetes", "ratings", "ns2")),
        ("far.ns1.svc.other.test", info(&["10.0.0.9"], "Kubernetes", "far", "ns1")),
        ("www.Google.com", info(&["1.1.1.1"], "External", "", "")),
        ("*.wild.test", info(&["2.2.2.2"], "External", "", "")),
        ("nothing.test", info(&["not an address"], "External", "", "")),
    ] {
        names.table.insert(host.to_owned(), info);
    }
    let search = ["ns1.svc.cluster.local".to_owned(), "svc.cluster.local".to_owned()];
    LookupTable::new(&names, &Naming::new("ns1", "ns1.svc.cluster.local", &search))
}

fn found(name: &str, family: Family) -> Option<(Option<String>, Vec<String>)> {
    let lookup = table().lookup(name, family)?;
    Some((lookup.alias_of, lookup.addresses.iter().map(ToString::to_string).collect()))
}

#[test]
fn a_service_of_ones_own_namespace_has_its_short_names() {
    let addresses = vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()];
    for name in ["reviews.", "reviews.ns1.", "reviews.ns1.svc.", "reviews.ns1.svc.cluster.local."] {
        let (alias, got) = found(name, Family::V4).unwrap();
        assert_eq!(got, addresses, "{name}");
        assert_eq!(alias, None, "{name}");
    }
    assert_eq!(found("ratings.", Family::V4), None);
    assert_eq!(found("ratings.ns2.", Family::V4).unwrap().1, ["10.0.0.3"]);
    assert_eq!(found("far.ns1.svc.other.test.", Family::V4).unwrap().1, ["10.0.0.9"]);
    assert_eq!(found("far.", Family::V4), None);
}

#[test]
fn a_name_with_the_search_domain_is_an_alias() {
    let (alias, addresses) = found("www.google.com.ns1.svc.cluster.local.", Family::V4).unwrap();
    assert_eq!(alias.as_deref(), Some("www.google.com."));
    assert_eq!(addresses, ["1.1.1.1"]);
    assert_eq!(found("www.google.com.svc.cluster.local.", Family::V4), None);
}

#[test]
fn a_known_name_without_the_family_is_known_and_empty() {
    assert_eq!(found("www.google.com.", Family::V6), Some((None, vec![])));
    assert_eq!(found("ratings.ns2.", Family::V6).unwrap().1, ["fd00::3"]);
}

#[test]
fn wildcards_cover_deeper_names_and_their_search_forms() {
    assert_eq!(found("a.wild.test.", Family::V4).unwrap().1, ["2.2.2.2"]);
    assert_eq!(found("a.b.wild.test.", Family::V4).unwrap().1, ["2.2.2.2"]);
    assert_eq!(found("wild.test.", Family::V4), None);
    let (alias, _) = found("a.wild.test.ns1.svc.cluster.local.", Family::V4).unwrap();
    assert_eq!(alias.as_deref(), Some("*.wild.test."));
}

#[test]
fn hosts_without_a_readable_address_are_not_ours() {
    assert_eq!(found("nothing.test.", Family::V4), None);
}
