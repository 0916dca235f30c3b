//! Pods of a cluster that really run: tokens of a real API server, which judges them, agents, Envoys, and their capture.

use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{envoy, get, programs};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::Kubeconfig;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;
use testkit::api_server::objects::{self, Written};
use testkit::node::{Machine, Network, Nodes, RUN, RunningPod, Sidecar, apart};
use testkit::{Program, eventually};

use crate::stage::alone;

const WITHIN: Duration = Duration::from_secs(180);
/// The control plane's port with TLS, at the address of the machine in the pods' network.
const DISCOVERY: u16 = 15012;

/// A cluster whose pods run.
struct Cluster {
    id: &'static str,
    nodes: Nodes,
    client: Client,
    network: Network,
    // last: who asks ends before who answers
    server: ApiServer,
}

/// A mesh: the clusters, and the control plane of the first one.
struct Stage {
    plane: Program,
    clusters: Vec<Cluster>,
    _directory: tempfile::TempDir,
}

impl Stage {
    async fn start(clusters: &[&'static str]) -> Self {
        let network = Network::claim().unwrap();
        let mut started = Vec::new();
        for (node, id) in (1..).step_by(2).zip(clusters) {
            started.push(Cluster::start(id, &network, [node, node + 1]).await);
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("kubeconfig"), started[0].server.kubeconfig().unwrap()).unwrap();
        let plane = control_plane(directory.path(), network.host());
        let stage = Self { plane, clusters: started, _directory: directory };
        stage.await_plane(&network).await;
        stage
    }

    async fn await_plane(&self, network: &Network) {
        let ready = format!("http://{}:8080/ready", network.host());
        let look = async || {
            assert!(self.plane.ended().is_none(), "{}", self.plane.tail());
            get(&ready, &[]).ok().filter(|answer| answer.status == 200)
        };
        eventually("the control plane is ready", WITHIN, look).await.unwrap();
    }

    /// What is known when something did not come about.
    fn explain(&self, late: &str, pod: &RunningPod) -> ! {
        panic!("{late}\n{}\n{}", pod.log(), self.plane.tail())
    }
}

impl Cluster {
    /// Two nodes, and two namespaces.
    async fn start(id: &'static str, network: &Network, nodes: [u8; 2]) -> Self {
        let server = ApiServer::start().await.unwrap();
        let client = server.client().await.unwrap();
        let machines =
            nodes.map(|node| Machine::new(&format!("{id}-{node}").to_lowercase(), network.pods(node)));
        let nodes = Nodes::start(client.clone(), machines.to_vec()).await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for name in ["istio-system", "shop"] {
            let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        }
        Self { id, nodes, client, network: network.clone(), server }
    }

    /// Tells this cluster's control plane of another cluster, as its users do:
    /// `istioctl create-remote-secret ... | kubectl apply -f -`.
    async fn read_also(&self, other: &Self) -> Written {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, other.server.kubeconfig().unwrap()).unwrap();
        let mut istioctl = tokio::process::Command::new(programs().join("istioctl"));
        istioctl.arg("create-remote-secret").arg("--kubeconfig").arg(&kubeconfig).args(["--name", other.id]);
        let (said, ()) = tokio::join!(istioctl.output(), other.give_token());
        let said = said.unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        objects::apply(&self.client, &String::from_utf8(said.stdout).unwrap()).await.unwrap()
    }

    /// Lets its reader write ConfigMaps, as the charts do in a cluster without a control plane of its own
    /// (`istiodRemote.enabled`): that one's namespaces get the mesh's roots from elsewhere.
    async fn is_remote(&self) {
        let role = json!({
            "metadata": {"name": "istio-reader-remote"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "list", "watch", "update"]}],
        });
        let binding = json!({
            "metadata": {"name": "istio-reader-remote"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "istio-reader-remote"},
            "subjects": [{"kind": "ServiceAccount", "name": "istio-reader-service-account", "namespace": "istio-system"}],
        });
        let (role, binding): (ClusterRole, ClusterRoleBinding) =
            (serde_json::from_value(role).unwrap(), serde_json::from_value(binding).unwrap());
        Api::all(self.client.clone()).create(&PostParams::default(), &role).await.unwrap();
        Api::all(self.client.clone()).create(&PostParams::default(), &binding).await.unwrap();
    }

    /// Does what the token controller does: fills the Secret of the account that reads the cluster.
    async fn give_token(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), "istio-system");
        let look = async || {
            let all = secrets.list(&ListParams::default()).await.ok()?.items;
            all.into_iter()
                .find(|secret| secret.type_.as_deref() == Some("kubernetes.io/service-account-token"))
        };
        let secret = eventually("the Secret for a token", WITHIN, look).await.unwrap().metadata;
        let account = &secret.annotations.unwrap()["kubernetes.io/service-account.name"];
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "istio-system");
        let made =
            accounts.create_token_request(account, &PostParams::default(), &TokenRequest::default()).await;
        let kubeconfig = Kubeconfig::from_yaml(&self.server.kubeconfig().unwrap()).unwrap();
        let authority = kubeconfig.clusters[0].cluster.as_ref().unwrap().certificate_authority_data.clone();
        let token = made.unwrap().status.unwrap().token.unwrap();
        let filled = json!({"data": {"ca.crt": authority}, "stringData": {"token": token}});
        let name = secret.name.unwrap();
        secrets.patch(&name, &PatchParams::default(), &Patch::Merge(&filled)).await.unwrap();
    }

    /// Refuses plain text in the whole mesh.
    async fn be_strict(&self) {
        let kind = GroupVersionKind::gvk("security.istio.io", "v1", "PeerAuthentication");
        let kind = ApiResource::from_gvk(&kind);
        let policies: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "istio-system", &kind);
        let mut strict = DynamicObject::new("default", &kind);
        strict.data = json!({"spec": {"mtls": {"mode": "STRICT"}}});
        policies.create(&PostParams::default(), &strict).await.unwrap();
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        let api: Api<K> = Api::namespaced(self.client.clone(), "shop");
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    /// A Deployment of one pod with an account of its name, which answers at port 8080.
    async fn deploy(&self, name: &str) {
        self.create::<ServiceAccount>(json!({"metadata": {"name": name}})).await;
        let labels = json!({"app": name, "security.istio.io/tlsMode": "istio"});
        let deployment = json!({"metadata": {"name": name}, "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels, "annotations": {RUN: "true"}},
                "spec": {"serviceAccountName": name, "containers": [
                    {"name": "app", "image": "app:1", "ports": [{"name": "web", "containerPort": 8080}]},
                ]},
            },
        }});
        self.create::<Deployment>(deployment).await;
    }

    /// A Service for the pods of a Deployment; where it is called.
    async fn serve(&self, name: &str) -> SocketAddrV4 {
        let ports = json!([{"name": "http", "port": 80, "targetPort": "web"}]);
        let service =
            json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}});
        let service: Service = self.create(service).await;
        SocketAddrV4::new(service.spec.unwrap().cluster_ip.unwrap().parse().unwrap(), 80)
    }

    /// How many pods a Deployment has from now on.
    async fn scale(&self, name: &str, replicas: u32) {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), "shop");
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The names of all pods of a Deployment.
    async fn pods(&self, app: &str, count: usize) -> Vec<String> {
        let pods = self.nodes.pods("shop", &format!("app={app}"), count).await.unwrap();
        pods.into_iter().map(|pod| pod.metadata.name.unwrap()).collect()
    }

    /// Runs a pod with its sidecar.
    async fn run(&self, pod: &str) -> RunningPod {
        let discovery = SocketAddrV4::new(self.network.host(), DISCOVERY);
        let mut sidecar = Sidecar::new(&programs().join("pilot-agent"), &envoy(), discovery);
        sidecar.cluster = self.id.to_owned();
        self.nodes.run(&self.network, "shop", pod, &sidecar).await.unwrap()
    }
}

fn control_plane(directory: &Path, host: Ipv4Addr) -> Program {
    let mut command = Command::new(programs().join("pilot-discovery"));
    command
        .arg("discovery")
        .arg(format!("--kubeconfig={}", directory.join("kubeconfig").display()))
        .arg(format!("--meshConfig={}", directory.join("no-mesh-config").display()))
        .arg(format!("--secureGRPCAddr={host}:{DISCOVERY}"))
        .arg(format!("--httpAddr={host}:8080"))
        .args(["--grpcAddr=", "--httpsAddr=", "--monitoringAddr="])
        .env("MELTEMI_CA_DIR", directory.join("ca"))
        .env("POD_NAMESPACE", "istio-system")
        .env("CLUSTER_ID", "Kubernetes")
        .env("PILOT_DEBOUNCE_AFTER", "20ms")
        .current_dir(directory);
    Program::start(&mut command, &directory.join("pilot-discovery.log")).unwrap()
}

/// What an application says it was asked; `None` unless the answer is 200.
async fn asked(pod: &RunningPod, to: SocketAddrV4) -> Option<Value> {
    let answer = pod.get(to, "cart.shop", "/").await.ok().filter(|answer| answer.status == 200)?;
    serde_json::from_str(&answer.body).ok()
}

/// Whether a pod's Envoy would send requests to another pod; `None` if it does not answer now.
async fn knows(pod: &RunningPod, other: &RunningPod) -> Option<bool> {
    let clusters = pod.admin("/clusters").await.ok().filter(|answer| answer.status == 200)?;
    Some(clusters.body.contains(&format!("{}:8080::", other.address())))
}

#[test]
fn pods_of_new_deployments_get_certificates_by_token_review_and_talk_mutual_tls() {
    tell(one_cluster);
}

#[test]
fn a_call_reaches_pods_of_another_cluster_with_mutual_tls() {
    tell(two_clusters);
}

/// In a network of its own: the control plane listens at an address that is not loopback.
fn tell<F: Future<Output = ()>>(story: impl FnOnce() -> F + Send + 'static) {
    let _alone = alone();
    let told = apart(|| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(story());
    });
    told.unwrap();
}

async fn two_clusters() {
    let stage = Stage::start(&["Kubernetes", "second"]).await;
    let [first, second] = stage.clusters.as_slice() else { panic!("two were started") };
    first.be_strict().await;
    first.deploy("web").await;
    second.deploy("cart").await;
    let service = first.serve("cart").await;
    second.serve("cart").await;
    let (web, cart) = (first.pods("web", 1).await.remove(0), second.pods("cart", 1).await.remove(0));
    let web = first.run(&web).await;
    second.is_remote().await;
    let joined = first.read_also(second).await;
    let answering = second.run(&cart).await;
    let said = eventually("web reaches cart", WITHIN, async || asked(&web, service).await).await;
    let said = said.unwrap_or_else(|late| stage.explain(&late, &web));
    assert_eq!(said["pod"], json!(cart));
    let certificate = said["headers"]["x-forwarded-client-cert"].as_str().unwrap_or_default();
    assert!(certificate.contains("URI=spiffe://cluster.local/ns/shop/sa/web"), "{said}");
    assert_eq!(knows(&web, &answering).await, Some(true));

    joined.remove(&first.client).await.unwrap();
    let look = async || (!knows(&web, &answering).await?).then_some(());
    let left = eventually("web forgets the pods of a cluster that left", WITHIN, look).await;
    left.unwrap_or_else(|late| stage.explain(&late, &web));
    assert!(asked(&web, service).await.is_none(), "nobody is left to answer");
}

async fn one_cluster() {
    let stage = Stage::start(&["Kubernetes"]).await;
    let cluster = &stage.clusters[0];
    cluster.be_strict().await;
    cluster.deploy("web").await;
    cluster.deploy("cart").await;
    let service = cluster.serve("cart").await;
    let (web, first) = (cluster.pods("web", 1).await.remove(0), cluster.pods("cart", 1).await.remove(0));
    let (web, cart) = (cluster.run(&web).await, cluster.run(&first).await);

    let said = eventually("web reaches cart", WITHIN, async || asked(&web, service).await).await;
    let said = said.unwrap_or_else(|late| stage.explain(&late, &web));
    assert_eq!(said["pod"], json!(first));
    let certificate = said["headers"]["x-forwarded-client-cert"].as_str().unwrap_or_default();
    assert!(certificate.contains("URI=spiffe://cluster.local/ns/shop/sa/web"), "{said}");
    assert!(certificate.contains("By=spiffe://cluster.local/ns/shop/sa/cart"), "{said}");
    assert_eq!(knows(&web, &cart).await, Some(true));
    let shown = cart.admin("/certs").await.unwrap();
    assert!(shown.body.contains("spiffe://cluster.local/ns/shop/sa/cart"), "{}", shown.body);

    let stranger = json!({"metadata": {"name": "stranger", "labels": {"app": "stranger"}}, "spec": {
        "containers": [{"name": "app", "image": "app:1"}],
    }});
    cluster.create::<Pod>(stranger).await;
    let stranger = cluster.nodes.pods("shop", "app=stranger", 1).await.unwrap().remove(0);
    let stranger = RunningPod::start(&cluster.network, &stranger).await.unwrap();
    let plain = stranger.get(SocketAddrV4::new(cart.address(), 8080), "cart.shop", "/").await;
    assert!(plain.is_err(), "plain text is refused: {plain:?}");

    // another pod of it takes over, and nobody is sent to the one that is gone
    cluster.scale("cart", 2).await;
    let mut both = cluster.pods("cart", 2).await;
    both.retain(|pod| *pod != first);
    let second = both.remove(0);
    let _taking_over = cluster.run(&second).await;
    cluster.nodes.set_ready("shop", &first, false);
    let look = async || asked(&web, service).await.filter(|said| said["pod"] == json!(second));
    eventually("the other pod answers", WITHIN, look).await.unwrap_or_else(|late| stage.explain(&late, &web));
    cluster.nodes.settled().await.unwrap();
    cluster.scale("cart", 1).await;
    assert_eq!(cluster.pods("cart", 1).await.remove(0), second);
    let look = async || (!knows(&web, &cart).await?).then_some(());
    eventually("web forgets the pod that is gone", WITHIN, look).await.unwrap();
    drop(cart);
    let said = eventually("a pod is left to answer", WITHIN, async || asked(&web, service).await).await;
    let said = said.unwrap_or_else(|late| stage.explain(&late, &web));
    assert_eq!(said["pod"], json!(second));
}
