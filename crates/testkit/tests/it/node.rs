//! The nodes and controllers that tests run on, against a real API server: what becomes of what a test writes.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;
use testkit::node::{Machine, Nodes, RUN};

/// A cluster of two nodes in two zones, with the namespace `shop`.
struct Cluster {
    nodes: Nodes,
    client: Client,
    // last: the nodes watch it
    server: ApiServer,
}

impl Cluster {
    async fn start() -> Self {
        let server = ApiServer::start().await.unwrap();
        let client = server.client().await.unwrap();
        let machines = vec![
            Machine::new("node-a", "10.244.0.0/24".parse().unwrap()),
            Machine::new("node-b", "10.244.1.0/24".parse().unwrap()).at("region-1", "zone-2"),
        ];
        let nodes = Nodes::start(client.clone(), machines).await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let shop = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
        namespaces.create(&PostParams::default(), &shop).await.unwrap();
        Self { nodes, client, server }
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), "shop")
    }

    async fn create<K>(&self, object: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + serde::Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap();
    }

    async fn list<K>(&self, labels: &str) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        self.api::<K>().list(&ListParams::default().labels(labels)).await.unwrap().items
    }

    async fn scale(&self, replicas: u32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.api::<Deployment>().patch("cart", &PatchParams::default(), &patch).await.unwrap();
    }

    /// The endpoints of the service `cart`, from all its slices.
    async fn endpoints(&self) -> Vec<Endpoint> {
        let slices: Vec<EndpointSlice> = self.list("kubernetes.io/service-name=cart").await;
        slices.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default()).collect()
    }
}

fn deployment(replicas: u32) -> Value {
    json!({
        "metadata": {"name": "cart"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "cart"}},
            "template": {
                "metadata": {"labels": {"app": "cart"}, "annotations": {"note": "kept"}},
                "spec": {"containers": [
                    {"name": "cart", "image": "cart:1", "ports": [{"name": "web", "containerPort": 8080}]},
                ]},
            },
        },
    })
}

fn service(more: &Value) -> Value {
    let mut service = json!({
        "metadata": {"name": "cart", "labels": {"team": "checkout"}},
        "spec": {"selector": {"app": "cart"}, "ports": [
            {"name": "http", "port": 80, "targetPort": "web", "appProtocol": "http"},
            {"name": "admin", "port": 9000},
        ]},
    });
    let spec = service["spec"].as_object_mut().unwrap();
    spec.extend(more.as_object().unwrap().clone());
    service
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap()
}

fn conditions(endpoint: &Endpoint) -> [bool; 3] {
    let conditions = endpoint.conditions.as_ref().unwrap();
    [conditions.ready, conditions.serving, conditions.terminating].map(Option::unwrap)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_has_as_many_running_pods_as_it_says_and_they_go_with_it() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(deployment(3)).await;
    let pods = cluster.nodes.pods("shop", "app=cart", 3).await.unwrap();
    cluster.nodes.settled().await.unwrap();

    assert!(cluster.api::<ServiceAccount>().get("default").await.is_ok());
    let nodes: Vec<_> = pods.iter().map(|pod| pod.spec.as_ref().unwrap().node_name.as_deref()).collect();
    assert!(nodes.contains(&Some("node-a")) && nodes.contains(&Some("node-b")), "{nodes:?}");
    let node = Api::<Node>::all(cluster.client.clone()).get("node-b").await.unwrap();
    assert_eq!(node.metadata.labels.unwrap()["topology.kubernetes.io/zone"], "zone-2");
    assert_eq!(node.spec.unwrap().pod_cidr.as_deref(), Some("10.244.1.0/24"));
    for pod in &pods {
        let pod = cluster.nodes.pod_ready("shop", name(pod)).await.unwrap();
        let (spec, status) = (pod.spec.as_ref().unwrap(), pod.status.as_ref().unwrap());
        let network = if spec.node_name.as_deref() == Some("node-a") { "10.244.0." } else { "10.244.1." };
        assert!(status.pod_ip.as_deref().unwrap().starts_with(network), "{status:?}");
        assert_eq!(status.host_ip.as_deref().unwrap(), format!("{network}1"));
        assert_eq!(status.phase.as_deref(), Some("Running"));
        assert!(status.container_statuses.as_ref().unwrap()[0].ready);
        assert_eq!(spec.service_account_name.as_deref(), Some("default"));
        assert_eq!(pod.metadata.annotations.as_ref().unwrap()["note"], "kept");
        let owner = &pod.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.kind.as_str(), owner.controller), ("ReplicaSet", Some(true)));
        let hash = &pod.metadata.labels.as_ref().unwrap()["pod-template-hash"];
        assert_eq!(owner.name, format!("cart-{hash}"));
    }
    let mut addresses: Vec<_> = pods.iter().map(|pod| pod.status.clone().unwrap().pod_ip).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 3, "no two pods have one address");

    // down, to what is ready
    cluster.nodes.set_ready("shop", name(&pods[1]), false);
    cluster.nodes.settled().await.unwrap();
    cluster.scale(2).await;
    let left = cluster.nodes.pods("shop", "app=cart", 2).await.unwrap();
    assert!(left.iter().all(|pod| name(pod) != name(&pods[1])), "the pod that was not ready went first");

    // another template: other pods, and the old ReplicaSet stays empty
    let patch = json!({"spec": {"template": {"metadata": {"labels": {"version": "v2"}}}}});
    let deployments = cluster.api::<Deployment>();
    deployments.patch("cart", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    cluster.nodes.pods("shop", "app=cart,version=v2", 2).await.unwrap();
    cluster.nodes.settled().await.unwrap();
    assert_eq!(cluster.list::<Pod>("app=cart").await.len(), 2);
    assert_eq!(cluster.list::<ReplicaSet>("app=cart").await.len(), 2);

    deployments.delete("cart", &DeleteParams::default()).await.unwrap();
    cluster.nodes.settled().await.unwrap();
    assert_eq!(cluster.list::<Pod>("app=cart").await.len(), 0);
    assert_eq!(cluster.list::<ReplicaSet>("app=cart").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_follow_the_pods_of_a_service() {
    let cluster = Cluster::start().await;
    cluster.create::<Service>(service(&json!({}))).await;
    cluster.nodes.settled().await.unwrap();
    let empty: Vec<EndpointSlice> = cluster.list("kubernetes.io/service-name=cart").await;
    assert_eq!(empty.len(), 1, "a Service without pods has a slice, too");
    assert_eq!(empty[0].endpoints.clone().unwrap_or_default(), []);

    cluster.create::<Deployment>(deployment(2)).await;
    cluster.nodes.settled().await.unwrap();
    let slices: Vec<EndpointSlice> = cluster.list("kubernetes.io/service-name=cart").await;
    let [slice] = slices.as_slice() else { panic!("{slices:?}") };
    let labels = slice.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    assert_eq!(labels["team"], "checkout");
    assert_eq!(slice.address_type, "IPv4");
    let ports = slice.ports.as_ref().unwrap();
    let port = |at: usize| (ports[at].name.as_deref(), ports[at].port, ports[at].app_protocol.as_deref());
    assert_eq!(port(0), (Some("http"), Some(8080), Some("http")), "a named port has the container's number");
    assert_eq!(port(1), (Some("admin"), Some(9000), None));
    let pods = cluster.nodes.pods("shop", "app=cart", 2).await.unwrap();
    let endpoints = cluster.endpoints().await;
    for (pod, endpoint) in pods.iter().zip(&endpoints) {
        let (spec, status) = (pod.spec.as_ref().unwrap(), pod.status.as_ref().unwrap());
        assert_eq!(endpoint.addresses, [status.pod_ip.clone().unwrap()]);
        assert_eq!(conditions(endpoint), [true, true, false]);
        let target = endpoint.target_ref.as_ref().unwrap();
        assert_eq!(
            (target.name.as_ref(), target.uid.as_ref()),
            (pod.metadata.name.as_ref(), pod.metadata.uid.as_ref())
        );
        assert_eq!(endpoint.node_name, spec.node_name);
        let zone = if spec.node_name.as_deref() == Some("node-a") { "zone-1" } else { "zone-2" };
        assert_eq!(endpoint.zone.as_deref(), Some(zone));
    }

    let of = |endpoints: &[Endpoint], pod: &Pod| {
        let is_it = |endpoint: &&Endpoint| endpoint.target_ref.as_ref().unwrap().uid == pod.metadata.uid;
        endpoints.iter().find(is_it).map(conditions)
    };
    cluster.nodes.set_ready("shop", name(&pods[0]), false);
    cluster.nodes.begin_termination("shop", name(&pods[1])).await.unwrap();
    cluster.nodes.settled().await.unwrap();
    let endpoints = cluster.endpoints().await;
    assert_eq!(of(&endpoints, &pods[0]), Some([false, false, false]), "not ready");
    assert_eq!(of(&endpoints, &pods[1]), Some([false, true, true]), "terminating");
    assert_eq!(endpoints.len(), 3, "and another one is there instead of what terminates");
    cluster.nodes.set_ready("shop", name(&pods[0]), true);
    cluster.nodes.end_termination("shop", name(&pods[1]));
    cluster.nodes.settled().await.unwrap();
    let endpoints = cluster.endpoints().await;
    assert_eq!(of(&endpoints, &pods[0]), Some([true, true, false]));
    assert_eq!((of(&endpoints, &pods[1]), endpoints.len()), (None, 2));

    cluster.api::<Service>().delete("cart", &DeleteParams::default()).await.unwrap();
    cluster.nodes.settled().await.unwrap();
    assert_eq!(cluster.endpoints().await.len(), 0);
    assert_eq!(cluster.list::<EndpointSlice>("").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_of_others_stay_and_pods_with_other_ports_have_their_own() {
    let cluster = Cluster::start().await;
    let headless = json!({"clusterIP": "None", "publishNotReadyAddresses": true});
    cluster.create::<Service>(service(&headless)).await;
    let own = json!({
        "metadata": {"name": "by-hand", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4", "ports": [], "endpoints": [{"addresses": ["192.0.2.7"]}],
    });
    cluster.create::<EndpointSlice>(own).await;
    for (pod, port) in [("cart-0", 8080), ("cart-1", 8081)] {
        let pod = json!({
            "metadata": {"name": pod, "labels": {"app": "cart"}, "annotations": {RUN: "true"}},
            "spec": {"hostname": pod, "subdomain": "cart", "nodeSelector": {"kubernetes.io/hostname": "node-b"},
                "containers": [{"name": "cart", "image": "cart:1", "ports": [{"name": "web", "containerPort": port}]}]},
        });
        cluster.create::<Pod>(pod).await;
    }
    cluster.nodes.settled().await.unwrap();
    let slices: Vec<EndpointSlice> = cluster.list("service.kubernetes.io/headless").await;
    let mut numbers: Vec<_> = slices.iter().map(|slice| slice.ports.as_ref().unwrap()[0].port).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [Some(8080), Some(8081)]);
    for endpoint in slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()) {
        assert_eq!(conditions(endpoint), [true, true, false], "published though not ready");
        assert_eq!(endpoint.hostname, endpoint.target_ref.as_ref().unwrap().name);
        assert_eq!(endpoint.node_name.as_deref(), Some("node-b"));
    }
    let pod = cluster.api::<Pod>().get("cart-0").await.unwrap();
    let ready = pod.status.unwrap().conditions.unwrap().into_iter().find(|is| is.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "False", "what a test runs is ready when the test says so");
    assert!(cluster.api::<EndpointSlice>().get("by-hand").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_namespace_goes_with_all_that_is_in_it() {
    let cluster = Cluster::start().await;
    cluster.create::<Service>(service(&json!({}))).await;
    cluster.create::<Deployment>(deployment(2)).await;
    let rules = ApiResource::from_gvk(&GroupVersionKind::gvk("networking.istio.io", "v1", "VirtualService"));
    let rules: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), "shop", &rules);
    let rule = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "cart"}, "spec": {},
    });
    rules.create(&PostParams::default(), &serde_json::from_value(rule).unwrap()).await.unwrap();
    cluster.nodes.pods("shop", "app=cart", 2).await.unwrap();

    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    cluster.nodes.settled().await.unwrap();
    assert!(namespaces.get_opt("shop").await.unwrap().is_none());
    assert_eq!(rules.list(&ListParams::default()).await.unwrap().items.len(), 0);
    assert_eq!(cluster.list::<Pod>("").await.len(), 0);
    assert_eq!(cluster.list::<EndpointSlice>("").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_work_on_when_the_api_server_comes_back() {
    let mut cluster = Cluster::start().await;
    cluster.create::<Deployment>(deployment(1)).await;
    let first = cluster.nodes.pods("shop", "app=cart", 1).await.unwrap();
    cluster.server.kill();
    assert!(cluster.nodes.settled().await.is_err(), "nobody answers");
    cluster.server.resume().await.unwrap();
    cluster.scale(2).await;
    let pods = cluster.nodes.pods("shop", "app=cart", 2).await.unwrap();
    assert!(pods.iter().any(|pod| pod.metadata.uid == first[0].metadata.uid), "the first one stays");
}
