//! The debug pages have the fields of upstream's, which scripts read: as one istiod showed them for the same objects.

use std::collections::BTreeSet;

use proto::envoy::config::core::v3::Locality;
use proto::google::protobuf::Struct;
use serde_json::Value;

use super::upstream_agent::text;
use super::*;

const OBJECTS: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: default}
spec:
  hosts: [own.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.9, serviceAccount: web, locality: region-1/zone-1, labels: {app: web}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: own, namespace: default}
spec: {host: own.example, subsets: [{name: v1, labels: {app: web}}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: all, namespace: default}
spec: {egress: [{hosts: ['*/*']}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh, namespace: istio-system}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
";

const SERVICE_FIELDS: &[&str] = &[
    "Attributes",
    "MeshExternal",
    "Resolution",
    "ResourceVersion",
    "clusterVIPs",
    "creationTime",
    "defaultAddress",
    "hostname",
    "ports",
];
const ATTRIBUTES: &[&str] = &[
    "Aliases",
    "ClusterExternalAddresses",
    "ClusterExternalPorts",
    "DNSConnectStrategy",
    "ExportTo",
    "ExternalName",
    "LabelSelectors",
    "Labels",
    "Name",
    "Namespace",
    "NodeLocal",
    "ObjectName",
    "PassthroughTargetPorts",
    "PublishNotReadyAddresses",
    "ServiceRegistry",
    "TrafficDistribution",
    "Type",
    "Visibility",
];
const ENDPOINT: &[&str] = &[
    "Addresses",
    "EndpointPort",
    "HealthStatus",
    "HostName",
    "Labels",
    "LbWeight",
    "LegacyClusterPortKey",
    "Locality",
    "Namespace",
    "Network",
    "NodeName",
    "SendUnhealthyEndpoints",
    "ServiceAccount",
    "ServicePortName",
    "SubDomain",
    "TLSMode",
    "WorkloadName",
];
const SCOPE: &[&str] = &[
    "destinationRules",
    "egressListenerServices",
    "name",
    "namespace",
    "outboundTrafficPolicy",
    "services",
    "servicesByHostname",
    "sidecar",
    "version",
];

#[track_caller]
fn has(value: &Value, fields: &[&str]) {
    let found: BTreeSet<&str> =
        value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    assert_eq!(found, fields.iter().copied().collect(), "{value:#}");
}

/// A sidecar that tells what agents tell.
async fn agent(socket: PathBuf) -> Stream {
    let labels = Struct { fields: [("app".to_owned(), text("web"))].into() };
    let labels = proto::google::protobuf::value::Kind::StructValue(labels);
    let fields = [
        ("LABELS", proto::google::protobuf::Value { kind: Some(labels) }),
        ("NAMESPACE", text("default")),
        ("PROXY_CONFIG", text(r#"{"discoveryAddress":"istiod:15012"}"#)),
    ];
    let fields = fields.map(|(key, value)| (key.to_owned(), value)).into();
    let node = Node {
        id: "sidecar~10.0.0.9~web.default~default.svc.cluster.local".to_owned(),
        metadata: Some(Struct { fields }),
        locality: Some(Locality { region: "region-1".into(), zone: "zone-1".into(), ..Locality::default() }),
        ..Node::default()
    };
    let channel = dial::unix(socket)(0).await.unwrap();
    let mut stream = Stream::new(channel, Variant::Sotw, node, http::HeaderMap::new());
    for (of, names) in [
        (TypeUrl::Cluster, &[][..]),
        (TypeUrl::Endpoint, &["outbound|80||own.example", "outbound|80|v1|own.example"]),
    ] {
        stream.subscribe(&of, names);
        let answer = tokio::time::timeout(Duration::from_secs(120), stream.next()).await.expect("no answer");
        stream.answer(&answer.unwrap().unwrap(), None, names);
    }
    stream
}

/// A control plane of the objects, and an agent that is connected to it.
async fn serving(folder: &Path) -> (Running, Stream) {
    fs::write(folder.join("a.yaml"), OBJECTS).unwrap();
    let socket = folder.join(".xds.sock");
    let running = started(folder, &format!("--grpcAddr=unix://{}", socket.display())).await;
    let agent = agent(socket).await;
    (running, agent)
}

/// What a debug page says.
async fn page_of(running: &Running, page: &str) -> Value {
    let text = get(running, 3, &format!("/debug/{page}")).await.unwrap_or_else(|e| panic!("{page}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{page}: {e}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_the_fields_of_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let (running, _agent) = serving(folder.path()).await;
    let read = async |page: &str| page_of(&running, page).await;

    let services = read("registryz").await;
    has(&services[0], SERVICE_FIELDS);
    has(&services[0]["Attributes"], ATTRIBUTES);
    assert_eq!(services[0]["Attributes"]["ObjectName"], "own", "{services}");
    let shards = read("endpointShardz").await;
    let of_service = &shards["own.example"]["default"];
    has(of_service, &["ServiceAccounts", "Shards"]);
    assert!(
        of_service["ServiceAccounts"]["spiffe://cluster.local/ns/default/sa/web"].is_object(),
        "{shards}"
    );
    let endpoint = of_service["Shards"].as_object().unwrap().values().next().unwrap()[0].clone();
    has(&endpoint, ENDPOINT);
    assert_eq!(
        (&endpoint["Locality"]["Label"], &endpoint["HealthStatus"]),
        (&"region-1/zone-1/".into(), &1.into())
    );

    let scope = read("sidecarz?proxyID=web").await;
    has(&scope, SCOPE);
    assert_eq!((&scope["name"], &scope["sidecar"]["egress"][0]["hosts"][0]), (&"all".into(), &"*/*".into()));
    assert_eq!(scope["services"][0]["hostname"], "own.example");
    assert_eq!(scope["egressListenerServices"][0][0]["hostname"], "own.example");
    has(&scope["servicesByHostname"]["own.example"], SERVICE_FIELDS);
    let rule = &scope["destinationRules"]["own.example"][0];
    has(rule, &["exportTo", "from", "rule"]);
    assert_eq!(
        (&rule["from"][0]["Name"], &rule["rule"]["Spec"]["subsets"][0]["name"]),
        (&"own".into(), &"v1".into())
    );
    let served = read("instancesz").await;
    has(&served["web.default"][0], &["Port", "Service"]);
    has(&served["web.default"][0]["Port"], &["TargetPort", "name", "port", "protocol"]);

    let kinds = read("resourcesz").await;
    let kind = serde_json::json!({"group": "networking.istio.io", "version": "v1", "kind": "VirtualService"});
    assert!(kinds.as_array().unwrap().contains(&kind), "{kinds}");
    let logging = &read("telemetryz?proxyID=web").await["Logging"][0];
    has(logging, &["Logging", "Namespace", "Proxy", "Root", "Workload"]);
    assert_eq!(logging["Root"]["Name"], "mesh");
    running.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_about_clients_and_dumps_have_the_fields_of_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let (running, _agent) = serving(folder.path()).await;
    let read = async |page: &str| page_of(&running, page).await;

    let client = &read("adsz").await["clients"][0];
    let fields = ["address", "connectedAt", "connectionId", "labels", "locality", "metadata", "watches"];
    has(client, &fields);
    assert_eq!(client["metadata"]["PROXY_CONFIG"]["discoveryAddress"], "istiod:15012", "{client}");
    assert_eq!((&client["labels"]["app"], &client["locality"]["zone"]), (&"web".into(), &"zone-1".into()));
    let watched = &client["watches"][TypeUrl::Endpoint.as_str()];
    assert_eq!(*watched, serde_json::json!(["outbound|80|v1|own.example", "outbound|80||own.example"]));
    has(&read("connections").await["clients"][0], &["address", "connectedAt", "connectionId"]);

    let dump = read("config_dump?proxyID=web&include_eds").await;
    let sections = dump["configs"].as_array().unwrap();
    let names = sections.iter().filter_map(|section| section["@type"].as_str()?.rsplit('.').next());
    let all = [
        "BootstrapConfigDump",
        "ClustersConfigDump",
        "EndpointsConfigDump",
        "ListenersConfigDump",
        "ScopedRoutesConfigDump",
        "RoutesConfigDump",
        "SecretsConfigDump",
        "EcdsConfigDump",
    ];
    assert!(names.eq(all), "{dump:#}");
    let clusters = sections[1]["dynamicActiveClusters"].as_array().unwrap();
    assert!(clusters.iter().any(|cluster| cluster["cluster"]["connectTimeout"].is_string()), "{clusters:#?}");
    assert!(sections[3]["dynamicListeners"][0]["activeState"]["listener"]["name"].is_string());
    assert_eq!(read("config_dump?proxyID=web").await["configs"].as_array().unwrap().len(), 7, "no endpoints");
    let alone = read("config_dump?proxyID=web&types=cds").await;
    let alone = alone["configs"].as_array().unwrap();
    assert!(
        alone.iter().all(|one| one["@type"] == TypeUrl::Cluster.as_str()) && !alone.is_empty(),
        "{alone:#?}"
    );
    assert!(read("edsz?proxyID=web").await["configs"][0]["clusterName"].is_string());

    // istioctl asks for `//version`, and takes what it is told apart at its dashes
    let version = get(&running, 3, "/version").await.unwrap();
    assert_eq!(version.split('-').count(), 3, "{version}");
    assert!(get(&running, 3, "//version").await.unwrap_err().contains("307"));
    assert!(get(&running, 2, "/debug//syncz").await.unwrap_err().contains("307"));
    assert_eq!(get(&running, 3, "/debug/cachez?clear=true").await.unwrap(), "Cache cleared\n");
    running.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_namespaces_that_are_not_looked_at_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let namespaces = "{apiVersion: v1, kind: Namespace, metadata: {name: in, labels: {mesh: 'yes'}}}\n---\n\
                      {apiVersion: v1, kind: Namespace, metadata: {name: out}}\n";
    let of = |namespace: &str| SERVICE.replace("{name: a}", &format!("{{name: a, namespace: {namespace}}}"));
    fs::write(folder.path().join("a.yaml"), [namespaces, &of("in"), &of("out")].join("\n---\n")).unwrap();
    let mesh = folder.path().join(".mesh");
    fs::write(&mesh, "discoverySelectors: [{matchLabels: {mesh: 'yes'}}]").unwrap();
    let running = started(folder.path(), &format!("--meshConfig={}", mesh.display())).await;
    let objects: Value = serde_json::from_str(&get(&running, 3, "/debug/configz").await.unwrap()).unwrap();
    let namespaces = objects.as_array().unwrap().iter().map(|object| &object["metadata"]["namespace"]);
    assert!(namespaces.eq(["in"]), "{objects}");
    running.stop(Duration::from_secs(10)).await;
}
