//! Tables of which host covers, touches or precedes which.

use super::*;

#[test]
fn matching_asks_for_a_common_name() {
    let cases = [
        ("foo.example.com", "foo.example.com", true),
        ("foo.example.com", "bar.example.com", false),
        ("*.example.com", "foo.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*example.com", "example.com", true),
        ("*.com", "*.example.com", true),
        ("*.foo.com", "*.bar.com", false),
        ("*", "anything", true),
        ("*", "*.foo.com", true),
        ("*", "", true),
        ("", "foo", false),
    ];
    for (a, b, want) in cases {
        assert_eq!(matches(a, b), want, "{a} {b}");
        assert_eq!(matches(b, a), want, "{b} {a}");
    }
}

#[test]
fn subsets_are_one_way() {
    let cases = [
        ("foo.com", "foo.com", true),
        ("foo.com", "*.com", true),
        ("*.com", "foo.com", false),
        ("*.foo.com", "*.com", true),
        ("*.com", "*.foo.com", false),
        ("*.foo.com", "*", true),
        ("*", "*", true),
        ("foo.com", "*foo.com", true),
        ("foo.com", "*.foo.com", false),
    ];
    for (a, b, want) in cases {
        assert_eq!(subset_of(a, b), want, "{a} in {b}");
    }
}

#[test]
fn names_come_before_wildcards_and_long_before_short() {
    let mut hosts = ["*", "*.com", "a.com", "*.foo.com", "long.foo.com", "b.com", "*.bar.com"];
    hosts.sort_by(|a, b| by_specificity(a, b));
    assert_eq!(hosts, ["long.foo.com", "a.com", "b.com", "*.bar.com", "*.foo.com", "*.com", "*"]);
    assert!(more_specific("a.com", "*.foo.com"));
    assert!(!more_specific("*.foo.com", "*.foo.com"));
}

#[test]
fn short_names_belong_to_their_namespace() {
    let cases = [
        ("reviews", "default", "cluster.local", "reviews.default.svc.cluster.local"),
        ("reviews.prod", "default", "cluster.local", "reviews.prod"),
        ("*", "default", "cluster.local", "*"),
        ("*.com", "default", "cluster.local", "*.com"),
        ("1.2.3.4", "default", "cluster.local", "1.2.3.4"),
        ("fd00::1", "default", "cluster.local", "fd00::1"),
        ("reviews", "", "cluster.local", "reviews.svc.cluster.local"),
        ("reviews", "default", "", "reviews.default"),
        ("", "default", "cluster.local", ""),
    ];
    for (host, namespace, domain, want) in cases {
        assert_eq!(resolve(host, namespace, domain), want, "{host} in {namespace}");
    }
}

#[test]
fn entries_with_a_namespace_hold_only_there() {
    let entries = ["a/one", "*/two", "three", "b/four"].map(str::to_owned);
    assert_eq!(in_namespace(&entries, "a"), ["one", "two", "three"]);
    assert_eq!(in_namespace(&entries, "c"), ["two", "three"]);
}

#[test]
fn an_intersection_keeps_the_narrower_host() {
    assert_eq!(intersection(&["*.com", "a.org"], &["foo.com", "*.org", "x.net"]), ["foo.com", "a.org"]);
    assert_eq!(intersection(&["foo,com"], &["bar.com"]), Vec::<&str>::new());
    assert_eq!(intersection(&["*"], &["*"]), ["*"]);
}

#[test]
fn lookup_finds_what_a_walk_over_all_hosts_finds() {
    let hosts = [
        "*",
        "*.com",
        "*.foo.com",
        "a.foo.com",
        "*foo.com",
        "*.a.foo.com",
        "foo.com",
        "*-x.foo.com",
        "é.com",
    ];
    let mut map = HostMap::default();
    for host in hosts {
        map.insert(host, host);
    }
    let needles = [
        "a.foo.com",
        "b.foo.com",
        "foo.com",
        "xfoo.com",
        "org",
        "*.foo.com",
        "*.b.foo.com",
        "*",
        "*.net",
        "q-x.foo.com",
        "",
        "é.com",
        "xé.com",
        "*foo.com",
    ];
    for needle in needles {
        let mut walk: Vec<&str> = hosts.into_iter().filter(|host| subset_of(needle, host)).collect();
        walk.sort_by(|a, b| by_specificity(a, b));
        let found: Vec<&str> = map.covering(needle).map(|(host, _)| host).collect();
        assert_eq!(found, walk, "{needle}");
        assert_eq!(map.most_specific(needle).map(|(h, _)| h), walk.first().copied(), "{needle}");
    }
    assert_eq!(map.get("*.foo.com"), Some(&"*.foo.com"));
    assert_eq!(map.len(), hosts.len());
}

#[test]
fn names_are_labels_between_dots() {
    let cases = [
        ("a", true, true),
        ("a.b", true, true),
        ("a.b.", true, true),
        ("*", false, true),
        ("*.b", false, true),
        ("*b.c", false, true),
        ("*-b.c", false, true),
        ("", false, false),
        (".", false, false),
        ("a..b", false, false),
        ("-a.b", false, false),
        ("a.*", false, false),
        ("*.", false, false),
        ("*-", false, false),
        ("*-.b", false, false),
        ("**.b", false, false),
        ("a_b", false, false),
    ];
    for (host, name, wildcard) in cases {
        assert_eq!((is_name(host), is_name_or_wildcard(host)), (name, wildcard), "{host:?}");
    }
    assert!(!is_name(&"a.".repeat(128)));
}
