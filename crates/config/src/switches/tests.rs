//! What the environment sets, and what it is told when it cannot.

use super::{Switch, Switches};
use crate::duration::Duration;

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn pairs_set_their_switch_and_leave_the_others() {
    let (switches, problems) = Switches::from_pairs(pairs(&[
        ("PILOT_HTTP10", "T"),
        ("PILOT_DEBOUNCE_AFTER", "1m30s"),
        ("PILOT_PUSH_THROTTLE", "7"),
        ("PILOT_TRACE_SAMPLING", "0.5"),
        ("CLUSTER_ID", "c1"),
        ("HOME", "/root"),
        ("PILOT_SERVICE_PORT_HTTP", "8080"),
    ]));
    assert_eq!(problems, []);
    let want = Switches {
        pilot_http10: true,
        pilot_debounce_after: Duration::from_secs(90),
        pilot_push_throttle: 7,
        pilot_trace_sampling: 0.5,
        cluster_id: "c1".to_owned(),
        ..Switches::default()
    };
    assert_eq!(switches, want);
}

#[test]
fn a_text_a_switch_does_not_take_leaves_the_default() {
    let (switches, problems) =
        Switches::from_pairs(pairs(&[("XDS_AUTH", "yes"), ("PILOT_DEBOUNCE_MAX", "10")]));
    assert_eq!(switches, Switches::default());
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "environment: XDS_AUTH: \"yes\" is not a bool (the default is used)",
            "environment: PILOT_DEBOUNCE_MAX: \"10\" is not a duration (the default is used)",
        ]
    );
}

#[test]
fn a_misspelled_switch_is_told() {
    let (_, problems) = Switches::from_pairs(pairs(&[("PILOT_ENABLE_GATEWAY_APY", "false")]));
    assert_eq!(problems[0].hint, "did you mean PILOT_ENABLE_GATEWAY_API?");
}

#[test]
fn who_sets_what_is_not_there_is_told_unless_it_is_switched_off() {
    let hints = |list: &[(&str, &str)]| -> Vec<String> {
        let (switches, problems) = Switches::from_pairs(pairs(list));
        assert_eq!(switches, Switches::default());
        problems.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        hints(&[("PILOT_ENABLE_AMBIENT", "true"), ("K_REVISION", "canary"), ("ENABLE_VTPROTOBUF", "true"),]),
        [
            "environment: PILOT_ENABLE_AMBIENT: it has no effect (this version does not have what it switches on)",
            "environment: K_REVISION: it has no effect (this version does not have what it is for)",
            "environment: ENABLE_VTPROTOBUF: it has no effect (encoding is always the fast one)",
        ]
    );
    let off = [("PILOT_ENABLE_AMBIENT", "false"), ("PILOT_ENABLE_ANALYSIS", "0"), ("EXTERNAL_CA", "")];
    assert_eq!(hints(&off), Vec::<String>::new());
}

#[test]
fn no_switch_is_both_there_and_absent() {
    let here: std::collections::BTreeSet<&str> = Switches::list().iter().map(|switch| switch.name).collect();
    let mut absent = std::collections::BTreeSet::new();
    for name in super::absent::names() {
        assert!(!here.contains(name), "{name}");
        assert!(absent.insert(name), "{name} stands there twice");
    }
}

#[test]
fn the_list_is_complete_sorted_and_readable_again() {
    let list: Vec<Switch> = Switches::list();
    assert!(list.windows(2).all(|pair| pair[0].name < pair[1].name));
    assert!(list.len() > 70, "{}", list.len());
    let all: Vec<(&str, &str)> = list.iter().map(|s| (s.name, s.default.as_str())).collect();
    let (switches, problems) = Switches::from_pairs(pairs(&all));
    assert_eq!(problems, []);
    let shown = switches.shown();
    for switch in &list {
        assert_eq!(shown[switch.name], switch.default, "{}", switch.name);
        assert!(switch.doc.ends_with('.'), "{}", switch.name);
    }
}
