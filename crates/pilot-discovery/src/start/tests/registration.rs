//! A machine outside of Kubernetes connects, falls ill, recovers and goes, as its agent has it.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use proto::google::protobuf::{Struct, Value, value::Kind};
use serde_json::json;
use testkit::api_server::ApiServer;

use super::cluster::{namespace, options_of, page};
use super::upstream_agent::{ask, connect, headers, next, text};
use super::*;

const LEFT: &str = "istio.io/disconnectedAt";
const SINCE: &str = "istio.io/connectedAt";

/// The namespace `vms` of a cluster, with the WorkloadGroup `db` and a ServiceEntry that selects its members.
struct Machines {
    client: kube::Client,
    entries: Api<DynamicObject>,
}

impl Machines {
    async fn of(server: &ApiServer) -> Self {
        let client = server.client().await.unwrap();
        namespace(&client, "istio-system").await;
        namespace(&client, "vms").await;
        let post = PostParams::default();
        let account = serde_json::from_value(json!({"metadata": {"name": "db"}})).unwrap();
        Api::<ServiceAccount>::namespaced(client.clone(), "vms").create(&post, &account).await.unwrap();
        let api = |kind: &str, plural: &str| {
            let kind = GroupVersionKind::gvk("networking.istio.io", "v1", kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, plural);
            Api::<DynamicObject>::namespaced_with(client.clone(), "vms", &resource)
        };
        let object = |kind: &str, spec: serde_json::Value| {
            let object = json!({
                "apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": "db"}, "spec": spec,
            });
            serde_json::from_value(object).unwrap()
        };
        let group = object(
            "WorkloadGroup",
            json!({
                "metadata": {"labels": {"app": "db"}, "annotations": {"example.com/owner": "one"}},
                "template": {"serviceAccount": "db"},
            }),
        );
        api("WorkloadGroup", "workloadgroups").create(&post, &group).await.unwrap();
        let service = object(
            "ServiceEntry",
            json!({
                "hosts": ["db.example"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "resolution": "STATIC", "location": "MESH_INTERNAL", "workloadSelector": {"labels": {"app": "db"}},
            }),
        );
        api("ServiceEntry", "serviceentries").create(&post, &service).await.unwrap();
        let entries = api("WorkloadEntry", "workloadentries");
        Self { client, entries }
    }

    /// What a machine of the account `db` proves it with.
    async fn token(&self) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "vms");
        let spec =
            TokenRequestSpec { audiences: Some(vec!["istio-ca".to_owned()]), ..TokenRequestSpec::default() };
        let asked = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let made = accounts.create_token_request("db", &PostParams::default(), &asked).await.unwrap();
        made.status.unwrap().token.unwrap()
    }

    async fn root(&self) -> Vec<u8> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), "istio-system");
        secrets.get("istio-ca-secret").await.unwrap().data.unwrap()["root-cert.pem"].0.clone()
    }

    async fn until_gone(&self, name: &str) {
        let look = async || self.entries.get_opt(name).await.ok()?.is_none().then_some(());
        testkit::eventually("the entry is gone", PATIENCE, look).await.unwrap();
    }
}

/// The node of the machine's proxy, which is a member of this group.
fn machine(address: &str, group: &str) -> Node {
    let of = |fields: Vec<(&str, Value)>| {
        let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Value { kind: Some(Kind::StructValue(Struct { fields })) }
    };
    let probe = of(vec![("periodSeconds", Value { kind: Some(Kind::NumberValue(2.0)) })]);
    let metadata = of(vec![
        ("AUTO_REGISTER_GROUP", text(group)),
        ("INSTANCE_IPS", text(address)),
        ("LABELS", of(vec![("team", text("one"))])),
        ("NAMESPACE", text("vms")),
        ("PROXY_CONFIG", of(vec![("readinessProbe", probe)])),
        ("SERVICE_ACCOUNT", text("db")),
    ]);
    let Some(Kind::StructValue(metadata)) = metadata.kind else { unreachable!() };
    Node {
        id: format!("sidecar~{address}~vm.vms~vms.svc.cluster.local"),
        metadata: Some(metadata),
        ..Node::default()
    }
}

fn reported(stream: &mut Stream, trouble: Option<&str>) {
    stream.send(ask(Variant::Sotw, &TypeUrl::HealthInformation, &[], trouble));
}

async fn refusal(mut stream: Stream) -> tonic::Status {
    stream.subscribe(&TypeUrl::Cluster, &[]);
    tokio::time::timeout(Duration::from_secs(120), stream.next()).await.unwrap().unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_an_endpoint_while_it_is_connected_and_well() {
    let server = ApiServer::start().await.unwrap();
    let machines = Machines::of(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("xds.sock");
    let mut options = options_of(&server, folder.path(), &format!("--grpcAddr=unix://{}", socket.display()));
    options.switches.pilot_workload_entry_grace_period = config::Duration::from_secs(10);
    let running = start(options).await.unwrap();
    let (_web, _) = sidecar(socket.clone()).await;
    let (channel, token) = (connect(&machines.root().await, &running).await, machines.token().await);
    let agent = |address: &str, group: &str| {
        Stream::new(channel.clone(), Variant::Sotw, machine(address, group), headers(&token))
    };

    let refused = refusal(agent("10.3.0.1", "nothing")).await;
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("WorkloadGroup vms/nothing"), "{refused}");
    // nobody proves anything on a plaintext port
    let plain = dial::unix(socket)(0).await.unwrap();
    let stranger = Stream::new(plain, Variant::Sotw, machine("10.3.0.1", "db"), http::HeaderMap::new());
    let refused = refusal(stranger).await;
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");

    let mut stream = agent("10.3.0.1", "db");
    stream.subscribe(&TypeUrl::Cluster, &[]);
    let response = next(&mut stream).await;
    stream.answer(&response, None, &[]);
    let name = "db-10.3.0.1";
    let made = machines.entries.get(name).await.unwrap();
    assert_eq!((&made.labels()["app"], &made.labels()["team"]), (&"db".into(), &"one".into()));
    assert!(made.annotations().contains_key(SINCE));
    let annotations = [
        ("istio.io/autoRegistrationGroup", "db"),
        ("proxy.istio.io/health-checks-enabled", "true"),
        ("example.com/owner", "one"),
    ];
    for (annotation, wanted) in annotations {
        assert_eq!(made.annotations()[annotation], wanted, "{annotation}");
    }

    let endpoints = "/debug/edsz?proxyID=web";
    reported(&mut stream, None);
    page(&running, endpoints, |text| text.contains("10.3.0.1")).await;
    reported(&mut stream, Some("connection refused"));
    let without = |text: &str| text.contains("outbound|80||db.example") && !text.contains("10.3.0.1");
    page(&running, endpoints, without).await;
    let ill = machines.entries.get(name).await.unwrap();
    let condition = &ill.data["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"], &condition["message"]),
        (&json!("Healthy"), &json!("False"), &json!("connection refused"))
    );
    reported(&mut stream, None);
    page(&running, endpoints, |text| text.contains("10.3.0.1")).await;

    drop(stream);
    machines.until_gone(name).await;
    page(&running, endpoints, without).await;
    let metrics = get(&running, 3, "/metrics").await.unwrap();
    assert!(metrics.contains("auto_registration_success_total 1\n"), "{metrics}");

    // whom a control plane leaves behind is not taken for connected
    let mut last = agent("10.3.0.2", "db");
    last.subscribe(&TypeUrl::Cluster, &[]);
    next(&mut last).await;
    running.stop(Duration::from_secs(120)).await;
    let left = machines.entries.get("db-10.3.0.2").await.unwrap();
    assert!(left.annotations().contains_key(LEFT) && !left.annotations().contains_key(SINCE), "{left:?}");
}
