//! What of a cluster is found.

use super::*;

fn pod(yaml: &str) -> Pod {
    serde_saphyr::from_str(yaml).unwrap()
}

#[test]
fn the_monitoring_port_is_the_one_of_the_command_line() {
    let of = |args: &str| {
        pod(&format!("{{metadata: {{name: a}}, spec: {{containers: [{{name: discovery, args: {args}}}]}}}}"))
    };
    assert_eq!(istiod(&of("[discovery, --monitoringAddr=:16014]")).monitoring, 16014);
    assert_eq!(istiod(&of("[--monitoringAddr, '0.0.0.0:17014']")).monitoring, 17014);
    assert_eq!(istiod(&of("[discovery]")).monitoring, 15014);
    assert_eq!(istiod(&of("[--monitoringAddr]")).monitoring, 15014);
}

#[test]
fn a_selector_becomes_a_query() {
    let read = |yaml: &str| labels(&serde_saphyr::from_str(yaml).unwrap());
    assert_eq!(read("{matchLabels: {app: a, version: v1}}"), "app=a,version=v1");
    assert_eq!(read("{}"), "");
    assert!(read("{matchExpressions: [{key: app, operator: In, values: [a, b]}]}").contains("app in (a,b)"));
}
