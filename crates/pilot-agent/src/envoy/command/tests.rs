//! The flags Envoy gets.

use super::*;

#[test]
fn the_flags_are_those_of_upstream() {
    let mut command = EnvoyCommand {
        binary: "/usr/local/bin/envoy".into(),
        bootstrap: "etc/istio/proxy/envoy-rev.json".into(),
        drain: Duration::from_secs(45),
        ipv6_only: false,
        file_flush_interval: None,
        file_flush_min_size_kb: 0,
        log_level: "warning,misc:error".to_owned(),
        component_log_level: "misc:trace".to_owned(),
        skip_deprecated_logs: true,
        core_dump: false,
        override_json: None,
        concurrency: 2,
    };
    assert_eq!(
        command.args().join(" "),
        "-c etc/istio/proxy/envoy-rev.json --drain-time-s 45 --drain-strategy immediate --local-address-ip-version v4 --file-flush-interval-msec 1000 --disable-hot-restart --allow-unknown-static-fields -l warning --component-log-level misc:error --skip-deprecated-logs --concurrency 2"
    );
    command.log_level = "debug".to_owned();
    command.override_json = Some("{}".to_owned());
    command.concurrency = 0;
    let args = command.args().join(" ");
    assert!(args.contains("-l debug --component-log-level misc:trace"));
    assert!(args.ends_with("--config-yaml {}"));
}
