//! pilot-discovery by itself with a thousand scripted proxies, and some that never read.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::programs;
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use testkit::check::node;
use testkit::scripted::Scripted;
use tokio::sync::{mpsc, watch};
use xds::TypeUrl;

use crate::stage::{alone, replace};

const SERVICES: usize = 50;
const PROXIES: usize = 1000;
/// More than pushes may go on at a time (`PILOT_PUSH_THROTTLE`): if they held their turn, nobody else would get one.
const UNREAD: usize = 200;
const EDITS: usize = 8;
const WITHIN: Duration = Duration::from_secs(100);
/// All clusters change with every edit, some 60 KiB; the unread responses would take more than this if each were kept.
const GROWTH_MIB: u64 = 64;

struct Plane {
    child: Child,
    socket: std::path::PathBuf,
}

impl Plane {
    async fn start(directory: &Path, folder: &Path) -> Self {
        let socket = directory.join("xds.sock");
        let child = Command::new(programs().join("pilot-discovery"))
            .arg("discovery")
            .arg(format!("--configDir={}", folder.display()))
            .arg(format!("--grpcAddr=unix://{}", socket.display()))
            .args(["--registries=", "--secureGRPCAddr=", "--httpAddr=", "--httpsAddr=", "--monitoringAddr="])
            .arg(format!("--meshConfig={}", directory.join("no-mesh-config").display()))
            .env("MELTEMI_CA_DIR", directory.join("ca"))
            .env("PILOT_DEBOUNCE_AFTER", "20ms")
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let plane = Self { child, socket };
        testkit::eventually("it listens", Duration::from_secs(90), async || {
            tokio::net::UnixStream::connect(&plane.socket).await.ok()
        })
        .await
        .unwrap();
        plane
    }

    /// Resident memory in MiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service with two endpoints; the address of the second and an annotation may change.
fn service(index: usize, second: usize, note: &str) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{index}, namespace: default, annotations: {{note: '{note}'}}}}\n\
         spec: {{ports: [{{name: http, port: 8080}}], selector: {{app: s{index}}}}}\n"
    );
    for (name, low) in [("a", 1), ("b", second)] {
        let _ = write!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
             metadata: {{name: s{index}-{name}, namespace: default}}\n\
             spec: {{address: 10.1.{index}.{low}, labels: {{app: s{index}}}}}\n"
        );
    }
    text
}

/// Something of every cluster.
fn timeouts(milliseconds: usize) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: all, namespace: default}}\n\
         spec: {{host: '*.default.svc.cluster.local', trafficPolicy: {{connectionPool: {{tcp: {{connectTimeout: {milliseconds}ms}}}}}}}}\n"
    )
}

fn sidecar(index: usize) -> Node {
    let ip = format!("10.9.{}.{}", index / 250, index % 250 + 1);
    node("sidecar", &ip, &format!("client-{index}"), "default", &[("app", "client")])
}

/// What a proxy has been sent: (responses, resources, bytes) of all types.
fn received(proxy: &Scripted) -> (usize, usize, usize) {
    [TypeUrl::Cluster, TypeUrl::Listener, TypeUrl::Endpoint, TypeUrl::Route]
        .iter()
        .map(|of| proxy.count(of))
        .fold((0, 0, 0), |sum, one| (sum.0 + one.messages, sum.1 + one.resources, sum.2 + one.bytes))
}

fn complete(proxy: &Scripted) -> bool {
    let services = |of: &TypeUrl| proxy.held(of).keys().filter(|name| name.contains(".default.svc.")).count();
    services(&TypeUrl::Cluster) == SERVICES
        && services(&TypeUrl::Endpoint) == SERVICES
        && proxy.held(&TypeUrl::Route).contains_key("8080")
}

/// Whether it knows the second endpoint of the first service at this address.
fn knows(proxy: &Scripted, second: usize) -> bool {
    let address = format!("10.1.0.{second}");
    let name = "outbound|8080||s0.default.svc.cluster.local";
    let held = proxy.held(&TypeUrl::Endpoint);
    held.get(name).is_some_and(|held| held.body.windows(address.len()).any(|part| part == address.as_bytes()))
}

/// Works through the steps as they are announced, and says of each when it is done: what has been received so far.
async fn follow(
    socket: std::path::PathBuf,
    index: usize,
    mut steps: watch::Receiver<usize>,
    done: mpsc::Sender<(usize, usize, (usize, usize, usize))>,
) -> Result<(), String> {
    let mut proxy = Scripted::unix(socket, sidecar(index));
    proxy.wait_until(complete, WITHIN).await?;
    let mut step = 0;
    loop {
        let _ = done.send((index, step, received(&proxy))).await;
        if steps.wait_for(|announced| *announced != step).await.is_err() {
            return Ok(());
        }
        step = *steps.borrow();
        proxy.wait_until(|proxy| knows(proxy, step), WITHIN).await?;
    }
}

/// A client whose window holds next to nothing, and that never reads.
struct Unread {
    _requests: mpsc::Sender<DeltaDiscoveryRequest>,
    _responses: tonic::Streaming<proto::envoy::service::discovery::v3::DeltaDiscoveryResponse>,
}

impl Unread {
    async fn connect(socket: &Path, index: usize) -> Self {
        let endpoint = tonic::transport::Endpoint::try_from(format!("unix://{}", socket.display())).unwrap();
        let endpoint = endpoint.initial_stream_window_size(1 << 10).initial_connection_window_size(1 << 16);
        let mut client = AggregatedDiscoveryServiceClient::new(endpoint.connect().await.unwrap());
        let (requests, outgoing) = mpsc::channel(4);
        for of in [TypeUrl::Cluster, TypeUrl::Listener] {
            let request = DeltaDiscoveryRequest {
                node: Some(sidecar(PROXIES + index)),
                type_url: of.as_str().to_owned(),
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(request).await.unwrap();
        }
        let stream = tokio_stream::wrappers::ReceiverStream::new(outgoing);
        let responses = client.delta_aggregated_resources(stream).await.unwrap().into_inner();
        Self { _requests: requests, _responses: responses }
    }
}

/// Waits until every proxy has done a step: what each had received by then.
async fn all_done(
    reports: &mut mpsc::Receiver<(usize, usize, (usize, usize, usize))>,
    step: usize,
) -> Vec<(usize, usize, usize)> {
    let deadline = tokio::time::Instant::now() + WITHIN;
    let mut found = vec![None; PROXIES];
    while found.iter().any(Option::is_none) {
        let left = found.iter().filter(|one| one.is_none()).count();
        let report = tokio::time::timeout_at(deadline, reports.recv()).await;
        let Ok(Some((index, of, counts))) = report else {
            panic!("{left} proxies have not done step {step}")
        };
        assert_eq!(of, step, "proxy {index}");
        found[index] = Some(counts);
    }
    found.into_iter().flatten().collect()
}

#[test]
fn a_thousand_proxies_are_served_beside_readers_that_never_read() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(story(directory.path()));
}

async fn story(directory: &Path) {
    let folder = directory.join("objects");
    std::fs::create_dir(&folder).unwrap();
    let write = |index: usize, second: usize, note: &str| {
        replace(&folder.join(format!("s{index}.yaml")), &service(index, second, note));
    };
    (0..SERVICES).for_each(|index| write(index, 2, ""));
    let plane = Plane::start(directory, &folder).await;
    let mut unread = Vec::new();
    for index in 0..UNREAD {
        unread.push(Unread::connect(&plane.socket, index).await);
    }
    let (announce, steps) = watch::channel(0);
    let (done, mut reports) = mpsc::channel(PROXIES);
    let mut following = tokio::task::JoinSet::new();
    for index in 0..PROXIES {
        following.spawn(follow(plane.socket.clone(), index, steps.clone(), done.clone()));
    }
    let at_start = all_done(&mut reports, 0).await;

    // what no proxy sees, and then something that every one sees, so that there is an end to wait for
    (0..SERVICES).for_each(|index| write(index, 2, "nobody who routes reads this"));
    write(0, 100, "nor this");
    let _ = announce.send(100);
    let marked = all_done(&mut reports, 100).await;
    for (index, (before, after)) in at_start.iter().zip(&marked).enumerate() {
        assert_eq!(after.1 - before.1, 1, "proxy {index}: the endpoints of one service are one resource");
        assert_eq!(after.0 - before.0, 1, "proxy {index}: and one response");
    }

    let before = plane.memory();
    let mut latest = marked.clone();
    for step in 101..101 + EDITS {
        replace(&folder.join("all.yaml"), &timeouts(step));
        write(0, step, "");
        let _ = announce.send(step);
        latest = all_done(&mut reports, step).await;
    }
    let after = plane.memory();
    for (index, (before, after)) in marked.iter().zip(&latest).enumerate() {
        assert!(after.1 - before.1 > EDITS * SERVICES / 2, "proxy {index} has not seen the clusters change");
    }
    assert!(after < before + GROWTH_MIB, "memory went from {before} MiB to {after} MiB in {EDITS} edits");
    drop(announce);
    while let Some(ended) = following.join_next().await {
        ended.unwrap().unwrap();
    }
    assert_eq!(unread.len(), UNREAD, "held to the end");
}
