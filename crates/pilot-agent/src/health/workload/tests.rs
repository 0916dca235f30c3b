//! When a change of health is told.

use serde_json::json;

use super::*;

#[test]
fn only_changes_are_told_and_only_when_their_threshold_is_reached() {
    let mut verdict = Verdict::default();
    let told: Vec<bool> = [true, false, false, false, true, true, false, true, true]
        .iter()
        .map(|healthy| verdict.changed(*healthy, 2, 3))
        .collect();
    assert_eq!(told, [false, false, false, true, false, true, false, false, false]);
}

#[test]
fn probes_without_a_method_or_port_are_refused() {
    for bad in [
        json!({}),
        json!({"httpGet": {}}),
        json!({"exec": {"command": []}}),
        json!({"tcpSocket": {"port": 0}}),
    ] {
        assert!(WorkloadProbe::parse(&bad, "127.0.0.1", false).is_err(), "{bad}");
    }
    let good = json!({"periodSeconds": 3, "exec": {"command": ["true"]}});
    let probe = WorkloadProbe::parse(&good, "127.0.0.1", false).unwrap();
    assert_eq!(
        (probe.period, probe.timeout, probe.failure_threshold),
        (Duration::from_secs(3), Duration::from_secs(1), 1)
    );
}

#[tokio::test]
async fn a_command_decides_by_its_exit_code() {
    let run = |command: &[&str]| Check::Exec(command.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(run(&["true"]).ask().await, Ok(()));
    assert!(run(&["false"]).ask().await.is_err());
}
