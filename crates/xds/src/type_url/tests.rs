//! Tests of the type table.

use super::*;

#[test]
fn every_known_type_is_found_again_by_url_and_short_form() {
    for (known, url, short, _) in KNOWN {
        assert_eq!(&TypeUrl::parse(url), known);
        assert_eq!(known.as_str(), *url);
        assert_eq!(known.short(), *short);
    }
    assert_eq!(TypeUrl::from_short("cds"), TypeUrl::Cluster);
    assert_eq!(TypeUrl::from_short("wds"), TypeUrl::Address);
    assert_eq!(TypeUrl::from_short("istio.workload.Workload"), TypeUrl::Workload);
    assert_eq!(TypeUrl::from_short("istio.io/debug/syncz").as_str(), "istio.io/debug/syncz");
}

#[test]
fn types_sort_in_the_order_they_are_sent() {
    let mut types = [
        TypeUrl::parse("zzz"),
        TypeUrl::Secret,
        TypeUrl::VirtualHost,
        TypeUrl::Route,
        TypeUrl::Listener,
        TypeUrl::Endpoint,
        TypeUrl::Cluster,
    ];
    types.sort();
    let shorts: Vec<_> = types.iter().map(TypeUrl::short).collect();
    assert_eq!(shorts, ["CDS", "EDS", "LDS", "RDS", "VHDS", "SDS", "zzz"]);
}
