//! The program itself, with a shell script in the place of Envoy.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::control_plane::{ControlPlane, PATIENCE};

/// The agent with its folder; killed when the test ends.
struct Agent {
    child: Child,
    dir: tempfile::TempDir,
    /// What the fake Envoy says: its process id, and by the end of it all that it and the agent are gone.
    told: Receiver<Pid>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    /// Starts the agent with a script that says what Envoy does. Its arguments are written into the file `args`.
    fn start(script: &str, env: &[(&str, &str)], control_plane: Option<&ControlPlane>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let envoy = dir.path().join("fake-envoy");
        let text = format!("#!/bin/sh\necho \"$@\" > args\necho {HERE}$$\n{script}\n");
        std::fs::write(&envoy, text).unwrap();
        std::fs::set_permissions(&envoy, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(dir.path().join("var/run/secrets/tokens")).unwrap();
        std::fs::write(dir.path().join("var/run/secrets/tokens/istio-token"), "the-token").unwrap();
        let discovery = control_plane.map_or_else(|| "unix:nowhere".to_owned(), ControlPlane::address);
        let config = serde_json::json!({
            "discoveryAddress": discovery,
            "statusPort": 0,
            "terminationDrainDuration": "0.2s",
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_pilot-agent"))
            .arg("proxy")
            .arg("sidecar")
            .arg("--baseDir")
            .arg(dir.path())
            .arg("--binaryPath")
            .arg(&envoy)
            .args(["--bindAddress", &Ipv4Addr::LOCALHOST.to_string()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PROXY_CONFIG", config.to_string())
            .env("ECC_SIGNATURE_ALGORITHM", "ECDSA")
            .env("POD_NAME", "web")
            .env("POD_NAMESPACE", "ns")
            .env("SERVICE_ACCOUNT", "web")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                println!("{line}");
                if let Some(pid) = line.strip_prefix(HERE) {
                    let _ = tell.send(Pid::from_raw(pid.parse().unwrap()));
                }
            }
        });
        Self { child, dir, told }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn envoy_pid(&mut self) -> Pid {
        self.told.recv_timeout(PATIENCE).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits until nobody has the agent's output any more: it has ended, and its Envoy with it.
    fn end(&mut self) -> ExitStatus {
        let last = std::iter::from_fn(|| Some(self.told.recv_timeout(PATIENCE))).find_map(Result::err);
        assert_eq!(
            last,
            Some(RecvTimeoutError::Disconnected),
            "the agent and its Envoy have not ended in time"
        );
        self.child.wait().unwrap()
    }
}

/// What the fake Envoy begins its first line with.
const HERE: &str = "fake Envoy is process ";

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_gone(pid: Pid) -> bool {
    // A zombie that its new parent has not collected yet is gone, too.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[test]
fn envoys_exit_code_is_the_agents() {
    assert_eq!(Agent::start("exit 7", &[], None).end().code(), Some(7));
    assert_eq!(Agent::start("exit 0", &[], None).end().code(), Some(0));
}

#[test]
fn a_killed_envoy_ends_the_agent_with_its_signal() {
    let mut agent = Agent::start("exec sleep 1000", &[], None);
    kill(agent.envoy_pid(), Signal::SIGKILL).unwrap();
    assert_eq!(agent.end().code(), Some(128 + 9));
}

#[test]
fn a_killed_agent_takes_envoy_with_it() {
    let mut agent = Agent::start("exec sleep 1000", &[], None);
    let envoy = agent.envoy_pid();
    agent.signal(Signal::SIGKILL);
    agent.end();
    until("Envoy is gone", || is_gone(envoy));
}

#[test]
fn a_polite_stop_waits_for_the_drain_and_ends_with_zero() {
    let mut agent = Agent::start("exec sleep 1000", &[], None);
    let envoy = agent.envoy_pid();
    let asked = Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(200), "the drain was cut short");
    assert!(is_gone(envoy));
}

#[test]
fn envoy_is_started_with_upstreams_flags_and_a_bootstrap_for_its_build() {
    let mut agent = Agent::start("exec sleep 1000", &[], None);
    agent.envoy_pid();
    let args = std::fs::read_to_string(agent.path("args")).unwrap();
    assert!(
        args.starts_with("-c ./etc/istio/proxy/envoy-rev.json --drain-time-s 45 --drain-strategy immediate"),
        "{args}"
    );
    let bootstrap = std::fs::read_to_string(agent.path("etc/istio/proxy/envoy-rev.json")).unwrap();
    let bootstrap: serde_json::Value = serde_json::from_str(&bootstrap).unwrap();
    assert_eq!(bootstrap["node"]["id"], "sidecar~127.0.0.1~web.ns~ns.svc.cluster.local");
    // The script has none of Istio's extensions in it.
    assert_eq!(bootstrap["stats_config"]["histogram_bucket_settings"][0]["match"]["prefix"], "istiocustom");
    for socket in ["etc/istio/proxy/XDS", "var/run/secrets/workload-spiffe-uds/socket"] {
        assert!(agent.path(socket).exists(), "{socket}");
    }
}

#[test]
fn a_missing_envoy_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_pilot-agent"))
        .args(["proxy", "--bindAddress", "127.0.0.1", "--binaryPath", "/nonexistent/envoy", "--baseDir"])
        .arg(tempfile::tempdir().unwrap().path())
        .env("PROXY_CONFIG", "{\"statusPort\":0}")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/nonexistent/envoy") && said.contains("--binaryPath"), "{said}");
}

#[tokio::test]
async fn the_certificate_comes_from_the_ca_with_the_token_and_is_rotated_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(dir.path(), Duration::from_secs(2));
    let asked = control_plane.ca.asked.clone();
    tokio::task::spawn_blocking(move || {
        let mut agent = Agent::start("exec sleep 1000", &[("OUTPUT_CERTS", "certs")], Some(&control_plane));
        agent.envoy_pid();
        let chain = agent.path("certs/cert-chain.pem");
        until("the first certificate", || chain.exists());
        let first = std::fs::read_to_string(&chain).unwrap();
        let leaf = identity::cert::parse_chain(&first).unwrap();
        assert_eq!(leaf[0].uris(), ["spiffe://cluster.local/ns/ns/sa/web"]);
        until("the second certificate", || {
            let now = std::fs::read_to_string(&chain).unwrap();
            assert!(!now.is_empty(), "a gap");
            now != first
        });
        assert_mode(&agent.path("certs/key.pem"), 0o600);
        drop(agent);
        drop(control_plane);
    })
    .await
    .unwrap();
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) >= 2);
}

fn assert_mode(path: &Path, mode: u32) {
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
}
