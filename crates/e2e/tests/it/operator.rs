//! istioctl and a control plane whose pod is in a cluster: a real API server, and a stand-in for the pod's kubelet.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use e2e::{Mesh, programs};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use testkit::api_server::ApiServer;
use xds::client::{Stream, dial};
use xds::{TypeUrl, Variant};

use crate::forwarding;
use crate::replica::addresses;
use crate::stage::alone;

/// A control plane as a process of this machine.
struct Plane {
    child: Child,
    monitoring: SocketAddr,
    controlz: SocketAddr,
}

impl Plane {
    /// Ports are free ones; the log says which.
    fn start(directory: &Path) -> Self {
        let folder = directory.join("objects");
        std::fs::create_dir(&folder).unwrap();
        let mut child = Command::new(programs().join("pilot-discovery"))
            .arg("discovery")
            .arg(format!("--configDir={}", folder.display()))
            .arg(format!("--grpcAddr=unix://{}", directory.join("xds.sock").display()))
            .args(["--registries=", "--secureGRPCAddr=", "--httpAddr=", "--httpsAddr="])
            .args(["--monitoringAddr=127.0.0.1:0", "--ctrlz_port=0", "--ctrlz_address=127.0.0.1"])
            .arg(format!("--meshConfig={}", directory.join("no-mesh-config").display()))
            .env("MELTEMI_CA_DIR", directory.join("ca"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let marks = ["ControlZ available at ", "serving monitoring on "];
        let [controlz, monitoring] = addresses(&mut child, "the control plane", marks);
        Self { child, monitoring, controlz }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node whose kubelet is at this port, and the running pods of a control plane on it.
async fn populate(client: &Client, kubelet: u16) {
    let create = PostParams::default();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = json!({ "metadata": { "name": "istio-system" } });
    namespaces.create(&create, &serde_json::from_value(namespace).unwrap()).await.unwrap();
    let nodes: Api<Node> = Api::all(client.clone());
    let node = json!({ "metadata": { "name": "here" } });
    nodes.create(&create, &serde_json::from_value(node).unwrap()).await.unwrap();
    let status = json!({ "status": {
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": kubelet } },
    } });
    nodes.patch_status("here", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "istio-system");
    for (name, revision) in [("istiod-1", "default"), ("istiod-canary-1", "canary")] {
        let pod = json!({
            "metadata": { "name": name, "labels": { "app": "istiod", "istio": "pilot", "istio.io/rev": revision } },
            "spec": { "nodeName": "here", "containers": [{ "name": "discovery", "image": "pilot" }] },
        });
        pods.create(&create, &serde_json::from_value(pod).unwrap()).await.unwrap();
        let status = json!({ "status": { "phase": "Running" } });
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where istioctl looks: at the pods of the cluster, or at addresses.
#[derive(Clone, Copy)]
enum Way<'a> {
    Cluster(&'a str),
    Direct(SocketAddr, SocketAddr),
}

impl Way<'_> {
    /// A command with the flags that say where to look.
    fn run(self, mesh: &Mesh, words: &[&str]) -> Output {
        let (flag, place, more) = match self {
            Self::Cluster(kubeconfig) => ("--kubeconfig", kubeconfig.to_owned(), None),
            Self::Direct(monitoring, controlz) => {
                let port = format!("--ctrlz_port={}", controlz.port());
                ("--xds-address", monitoring.to_string(), Some(port).filter(|_| words[0] == "admin"))
            }
        };
        let flags = [flag, &place].into_iter().chain(more.as_deref());
        mesh.istioctl(&words.iter().copied().chain(flags).collect::<Vec<_>>()).unwrap()
    }
}

/// What every way of asking has to tell.
fn looks(mesh: &Mesh, way: Way<'_>, istiod: &str) {
    let run = |words: &[&str]| way.run(mesh, words);
    let status = said(&run(&["proxy-status"]));
    let row = status
        .lines()
        .find(|line| line.starts_with("client-1.default"))
        .unwrap_or_else(|| panic!("{status}"));
    assert!(row.contains(istiod) && row.contains("CDS"), "{row}");
    let version = said(&run(&["version"]));
    assert!(version.contains("control plane version: ") && version.contains("(1 proxies)"), "{version}");

    let page = said(&run(&["x", "internal-debug", "edsz", "client-1.default"]));
    let page: Value = serde_json::from_str(&page).unwrap();
    assert!(page["configs"].is_array(), "{page}");
    let all: Value = serde_json::from_str(&said(&run(&["x", "internal-debug", "syncz", "--all"]))).unwrap();
    assert_eq!(all[istiod][0]["proxy"], "client-1.default", "{all}");
    assert!(complained(&run(&["x", "internal-debug", "edsz"])).contains("proxyID"));
    let unknown = complained(&run(&["x", "internal-debug", "nothing"]));
    assert!(unknown.contains("\"edsz\""), "what there is instead: {unknown}");
    assert!(said(&run(&["x", "internal-debug", "--list"])).contains("\"syncz\""));

    let clusters = said(&run(&["remote-clusters"]));
    assert!(clusters.starts_with("NAME     ") && clusters.contains("synced"), "{clusters}");
    assert!(clusters.lines().nth(1).unwrap_or_default().contains(istiod), "{clusters}");

    let level = || {
        let scopes: Value = serde_json::from_str(&said(&run(&["admin", "log", "-o", "json"]))).unwrap();
        let ads =
            scopes.as_array().unwrap().iter().find(|scope| scope["scope_name"] == "ads").unwrap().clone();
        ads["log_level"].as_str().unwrap().to_owned()
    };
    assert_eq!(level(), "info");
    assert_eq!(said(&run(&["admin", "log", "--level", "ads:debug"])), "");
    assert_eq!(level(), "debug");
    assert!(complained(&run(&["admin", "log", "--level", "adz:debug"])).contains("unknown scope"));
    said(&run(&["admin", "log", "--reset"]));
    assert_eq!(level(), "info");
}

#[test]
fn istioctl_asks_the_control_plane_of_a_cluster_and_one_at_an_address() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(asked_both_ways());
}

async fn asked_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::start().await.unwrap();
    let plane = Plane::start(directory.path());
    let node = testkit::check::node("sidecar", "10.9.0.1", "client-1", "default", &[]);
    let channel = dial::unix(directory.path().join("xds.sock"))(0).await.unwrap();
    let mut proxy = Stream::new(channel, Variant::Sotw, node, http::HeaderMap::new());
    proxy.subscribe(&TypeUrl::Cluster, &[]);
    tokio::time::timeout(Duration::from_secs(90), proxy.next()).await.unwrap().unwrap().unwrap();

    let kubelet = forwarding::serve([(15014, plane.monitoring), (9876, plane.controlz)].into()).await;
    populate(&server.client().await.unwrap(), kubelet.port()).await;
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig().unwrap()).unwrap();
    let state = directory.path().join("state");
    tokio::task::spawn_blocking(move || {
        let mesh = Mesh::in_directory(&state);
        let kubeconfig = kubeconfig.display().to_string();
        looks(&mesh, Way::Cluster(&kubeconfig), "istiod-1");
        looks(&mesh, Way::Direct(plane.monitoring, plane.controlz), &plane.monitoring.to_string());

        let run = |words: &[&str]| mesh.istioctl(&[words, &["--kubeconfig", &kubeconfig]].concat()).unwrap();
        assert!(said(&run(&["ps", "--revision", "canary"])).contains("istiod-canary-1"));
        assert!(said(&run(&["admin", "log", "istiod-canary-1"])).contains("ACTIVE SCOPE"));
        let nobody = complained(&run(&["ps", "--revision", "old"]));
        assert!(nobody.contains("istio.io/rev=old") && nobody.contains("--revision"), "{nobody}");
        let refused = complained(&run(&["pc", "cluster", "istiod-1.istio-system"]));
        assert!(refused.contains("nobody listens on port 15000"), "{refused}");
        let wrong = complained(&run(&["ps", "--context", "elsewhere"]));
        assert!(wrong.contains("elsewhere"), "{wrong}");
        drop(plane);
    })
    .await
    .unwrap();
}
