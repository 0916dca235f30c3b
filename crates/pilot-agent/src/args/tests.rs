//! The command line as injected pods write it.

use super::*;

fn parse(args: &[&str]) -> (Cli, Vec<String>) {
    let args = args.iter().map(OsString::from).collect();
    let (kept, dropped) = without_unknown_flags(args);
    (Cli::try_parse_from(kept).unwrap(), dropped)
}

#[test]
fn the_arguments_of_an_injected_pod_are_understood() {
    let (cli, dropped) = parse(&[
        "pilot-agent",
        "proxy",
        "sidecar",
        "--domain",
        "default.svc.cluster.local",
        "--proxyLogLevel=warning",
        "--proxyComponentLogLevel=misc:error",
        "--log_output_level=default:info",
        "--newFlag",
        "value",
        "--other=1",
        "--concurrency",
        "2",
    ]);
    let Command::Proxy(flags) = cli.command else { panic!("not proxy") };
    assert_eq!((flags.node_type.as_str(), flags.concurrency), ("sidecar", 2));
    assert_eq!(flags.domain, "default.svc.cluster.local");
    assert_eq!(cli.log.output_level, "default:info");
    assert_eq!(dropped, ["--newFlag", "--other=1"]);
}

#[test]
fn other_node_types_are_refused() {
    assert!(Cli::try_parse_from(["pilot-agent", "proxy", "ztunnel"]).is_err());
    assert!(Cli::try_parse_from(["pilot-agent", "proxy", "router"]).is_ok());
}

#[test]
fn envoys_own_arguments_reach_the_launcher() {
    let cli = Cli::try_parse_from([
        "pilot-agent",
        "launch-envoy",
        "--parent",
        "1",
        "--binary",
        "/envoy",
        "--",
        "-c",
        "x",
        "--concurrency",
        "2",
    ])
    .unwrap();
    let Command::LaunchEnvoy(args) = cli.command else { panic!("not launch") };
    assert_eq!(args.args, ["-c", "x", "--concurrency", "2"]);
}
