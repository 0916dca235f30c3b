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
fn switches_of_ambient_mode_need_it() {
    let (off, problems) = Switches::from_pairs(pairs(&[("PILOT_ENABLE_SENDING_HBONE", "true")]));
    assert!(!off.pilot_enable_sending_hbone);
    assert_eq!(problems[0].hint, "set PILOT_ENABLE_AMBIENT=true");
    let (on, problems) =
        Switches::from_pairs(pairs(&[("AMBIENT_ENABLE_STATUS", "false"), ("PILOT_ENABLE_AMBIENT", "true")]));
    assert_eq!(problems, []);
    assert!(on.pilot_enable_sending_hbone && !on.ambient_enable_status && !on.ambient_enable_multi_network);
}

#[test]
fn the_list_is_complete_sorted_and_readable_again() {
    let list: Vec<Switch> = Switches::list();
    assert!(list.windows(2).all(|pair| pair[0].name < pair[1].name));
    assert!(list.len() > 150, "{}", list.len());
    let on = [("PILOT_ENABLE_AMBIENT", "true")];
    let all = list.iter().map(|s| (s.name, s.default.as_str())).filter(|(name, _)| *name != on[0].0);
    let (switches, problems) = Switches::from_pairs(pairs(&all.chain(on).collect::<Vec<_>>()));
    assert_eq!(problems, []);
    let shown = switches.shown();
    for switch in list.iter().filter(|s| s.name != on[0].0) {
        assert_eq!(shown[switch.name], switch.default, "{}", switch.name);
        assert!(switch.doc.ends_with('.'), "{}", switch.name);
    }
}
