//! From text to objects: what is accepted, what is told, where it was.

use super::*;
use crate::duration::Duration;
use crate::networking::{HttpRoute, LbPolicy, MatchType, SimpleLb, VirtualService};
use crate::{kubernetes, networking, security};

fn only(text: &str) -> Object {
    let mut decoded = documents("f.yaml", text);
    assert_eq!(decoded.problems, []);
    assert_eq!(decoded.objects.len(), 1);
    decoded.objects.remove(0)
}

fn problems(text: &str) -> Vec<String> {
    documents("f.yaml", text).problems.iter().map(|p| format!("{} {p}", p.severity)).collect()
}

const REVIEWS: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  labels: {app: reviews}
spec:
  hosts: [reviews]
  http:
  - name: first
    match:
    - uri: {prefix: /a}
      withoutHeaders:
        x: {}
    timeout: 1h
    route:
    - destination: {host: reviews, subset: v1}
      weight: 75
    - destination:
        host: reviews
        port: {number: 80}
      weight: 25
";

fn first_route(spec: &VirtualService) -> &HttpRoute {
    &spec.http[0]
}

#[test]
fn a_virtual_service_is_read_with_its_places() {
    let object = only(REVIEWS);
    assert_eq!(object.meta.to_string(), "VirtualService default/reviews");
    assert_eq!(object.meta.labels.get("app").unwrap(), "reviews");
    let spec = object.get::<VirtualService>().unwrap();
    let route = first_route(spec);
    assert_eq!(route.r#match[0].uri.as_ref().unwrap().match_type, Some(MatchType::Prefix("/a".to_owned())));
    assert!(route.r#match[0].without_headers.contains_key("x"));
    assert_eq!(route.timeout, Some(Duration::from_secs(3600)));
    assert_eq!(route.route[1].destination.as_ref().unwrap().port.as_ref().unwrap().number, 80);
    let at = |path: &str| object.meta.origin.locate(path).map(|l| l.to_string());
    assert_eq!(at("spec.http[0].route[0].weight").as_deref(), Some("f.yaml:17:7"));
    assert_eq!(at("spec.http[0].route[1].destination.port.number").as_deref(), Some("f.yaml:20:16"));
    assert_eq!(at("spec.http[0].match[0].withoutHeaders.x").as_deref(), Some("f.yaml:13:9"));
    assert_eq!(at("metadata.labels.app").as_deref(), Some("f.yaml:5:12"));
    assert_eq!(at("spec.http[0].retries"), None);
    let nearest = object.meta.origin.nearest("spec.http[0].retries.attempts");
    assert_eq!((nearest.line, nearest.column), (9, 5));
}

#[test]
fn both_spellings_of_a_field_are_one() {
    let camel = only(REVIEWS);
    let snake = only(&REVIEWS.replace("withoutHeaders", "without_headers"));
    assert_eq!(camel.spec, snake.spec);
    assert_eq!(snake.meta.origin.locate("spec.http[0].match[0].withoutHeaders").unwrap().line, 12);
}

#[test]
fn every_served_version_is_taken_and_no_other() {
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let text = REVIEWS.replace("networking.istio.io/v1", &format!("networking.istio.io/{version}"));
        assert_eq!(only(&text).spec, only(REVIEWS).spec);
    }
    let text = REVIEWS.replace("networking.istio.io/v1", "networking.istio.io/v2");
    assert_eq!(
        problems(&text),
        ["error f.yaml:2:7: VirtualService has no version \"v2\" (use networking.istio.io/v1)"]
    );
}

#[test]
fn the_json_form_is_read_as_the_same_object() {
    let object = only(REVIEWS);
    let json = serde_json::json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "default", "labels": {"app": "reviews"}},
        "spec": object.spec.to_value().to_json(),
    });
    assert_eq!(only(&json.to_string()).spec, object.spec);
    let from_api = from_json("cluster", &json);
    assert_eq!(from_api.objects[0].spec, object.spec);
    assert_eq!(from_api.objects[0].meta.origin.locate("spec.hosts"), None);
}

fn rule(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d}}\nspec:\n  {spec}\n"
    )
}

#[test]
fn values_are_read_as_protobuf_json_has_them() {
    let text = rule(concat!(
        "trafficPolicy:\n    loadBalancer: {simple: LEAST_REQUEST, warmup: {duration: 1.5s, minimumPercent: 1e1}}\n",
        "    outlierDetection: {consecutive5xxErrors: \"7\", interval: 250ms, minHealthPercent: 3.0}\n",
        "    connectionPool: {http: {h2UpgradePolicy: 2}, tcp: null}\n",
        "    tls: {insecureSkipVerify: false}",
    ));
    let object = only(&text);
    let policy = object.get::<networking::DestinationRule>().unwrap().traffic_policy.clone().unwrap();
    let balancer = policy.load_balancer.unwrap();
    assert_eq!(balancer.lb_policy, Some(LbPolicy::Simple(SimpleLb::LeastRequest)));
    let warmup = balancer.warmup.unwrap();
    assert_eq!(warmup.duration, Some(Duration::from_millis(1500)));
    assert_eq!(warmup.minimum_percent, Some(10.0));
    let outliers = policy.outlier_detection.unwrap();
    assert_eq!(outliers.consecutive_5xx_errors, Some(7));
    assert_eq!(outliers.min_health_percent, 3);
    let pool = policy.connection_pool.unwrap();
    assert_eq!(pool.http.unwrap().h2_upgrade_policy.name(), "UPGRADE");
    assert_eq!(pool.tcp, None);
    assert_eq!(policy.tls.unwrap().insecure_skip_verify, Some(false));
}

#[test]
fn mistakes_are_told_with_field_and_place() {
    let cases = [
        ("host: 5", "error f.yaml:5:9: spec.host: expected a string, found the number 5 (put it in quotes)"),
        (
            "host: yes",
            "error f.yaml:5:9: spec.host: expected a string, found the truth value true (put it in quotes)",
        ),
        ("hosst: a", "warning f.yaml:5:3: spec.hosst: unknown field (did you mean \"host\"?)"),
        ("zzz: a", "warning f.yaml:5:3: spec.zzz: unknown field (it is ignored)"),
        ("subsets: {}", "error f.yaml:5:12: spec.subsets: expected a list, found an object"),
        (
            "subsets: [null]",
            "error f.yaml:5:13: spec.subsets[0]: an element of a list may not be null (remove it)",
        ),
        (
            "trafficPolicy: {loadBalancer: {simple: BEST}}",
            "error f.yaml:5:42: spec.trafficPolicy.loadBalancer.simple: the string \"BEST\" is not a value of this \
             field (one of UNSPECIFIED, LEAST_CONN, RANDOM, PASSTHROUGH, ROUND_ROBIN, LEAST_REQUEST)",
        ),
        (
            "trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash: {}}}",
            "error f.yaml:5:50: spec.trafficPolicy.loadBalancer: only one of \"simple\" and \"consistentHash\" may be \
             set (remove one of them)",
        ),
        (
            "trafficPolicy: {outlierDetection: {interval: 5}}",
            "error f.yaml:5:48: spec.trafficPolicy.outlierDetection.interval: expected a duration like 1.5s, found \
             the number 5",
        ),
        (
            "trafficPolicy: {portLevelSettings: [{port: {number: -1}}]}",
            "error f.yaml:5:55: spec.trafficPolicy.portLevelSettings[0].port.number: the number -1 is out of range (0 \
             to 4294967295)",
        ),
    ];
    for (spec, want) in cases {
        assert_eq!(problems(&rule(spec)), [want], "{spec}");
    }
}

#[test]
fn a_refused_document_leaves_the_others() {
    let text = format!("{}---\n{}", rule("host: 5"), REVIEWS);
    let decoded = documents("f.yaml", &text);
    assert_eq!(decoded.objects.len(), 1);
    assert_eq!(decoded.objects[0].meta.origin.locate("spec.hosts").unwrap().line, 13);
    assert_eq!(decoded.problems[0].object, "DestinationRule default/d");
}

#[test]
fn lists_are_unpacked() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: x}}\n- {apiVersion: v1, kind: Service, metadata: {name: s, namespace: ns}}\n";
    let decoded = documents("f", text);
    let names: Vec<String> = decoded.objects.iter().map(|o| o.meta.to_string()).collect();
    assert_eq!(names, ["Namespace a", "Service ns/s"]);
    let typed = "apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: s}\n";
    assert_eq!(documents("f", typed).objects[0].meta.to_string(), "Service default/s");
}

#[test]
fn kinds_that_are_not_ours_are_skipped_quietly() {
    assert_eq!(
        problems("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"),
        ["info f.yaml:2:7: Deployment of apps/v1 is not used by the mesh"]
    );
    assert_eq!(
        problems("apiVersion: networking.istio.io/v1\nkind: VirtualServce\n"),
        [
            "warning f.yaml:2:7: networking.istio.io has no kind VirtualServce (did you mean VirtualService of \
             networking.istio.io/v1?)"
        ]
    );
    assert_eq!(problems("hello"), ["error f.yaml:1:1: expected an object, found the string \"hello\""]);
    assert_eq!(
        problems("kind: Service\nmetadata: {name: x}\n"),
        ["error f.yaml:1:1: a document needs the strings apiVersion and kind"]
    );
    assert_eq!(
        problems("apiVersion: v1\nkind: Service\n"),
        ["error f.yaml:1:1: metadata.name is missing (give the object a name)"]
    );
}

#[test]
fn what_the_schema_of_the_cluster_has_beyond_the_protocol_is_known() {
    only(&rule("trafficPolicy: {loadBalancer: {backendUtilization: {weightUpdatePeriod: 1s}}}"));
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec:\n  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [\"*\"], tls: {ecdhCurves: [P-256]}}]\n";
    let object = only(gateway);
    let tls = object.get::<networking::Gateway>().unwrap().servers[0].tls.clone().unwrap();
    assert_eq!(tls.ecdh_curves, ["P-256"]);
    let auth = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r}\nspec:\n  jwtRules: [{issuer: i, presence: REQUIRED, jwks_uri: u}]\n";
    let object = only(auth);
    let rule = object.get::<security::RequestAuthentication>().unwrap().jwt_rules[0].clone();
    assert_eq!((rule.presence.name(), rule.jwks_uri.as_str()), ("REQUIRED", "u"));
}

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  creationTimestamp: \"2024-02-29T12:30:15Z\"
  uid: u1
  ownerReferences: [{apiVersion: v1, kind: Gateway, name: g, controller: true, blockOwnerDeletion: true}]
spec:
  clusterIP: 10.0.0.1
  clusterIPs: [10.0.0.1, \"fd00::1\"]
  type: LoadBalancer
  allocateLoadBalancerNodePorts: true
  ports:
  - {name: http, port: 80, targetPort: web, appProtocol: http, nodePort: 30000}
  - {name: tcp, port: 81, targetPort: 8081}
  selector: {app: web}
status:
  loadBalancer: {ingress: [{ip: 1.2.3.4}, {hostname: lb.example.com}]}
";

#[test]
fn a_service_is_read_from_spec_and_status() {
    let object = only(SERVICE);
    assert_eq!((object.meta.creation, object.meta.uid.as_str()), (1_709_209_815, "u1"));
    assert_eq!(object.meta.owners[0].kind, "Gateway");
    assert!(object.meta.owners[0].controller && !object.meta.deleting);
    let service = object.get::<kubernetes::Service>().unwrap();
    assert_eq!(service.addresses(), ["10.0.0.1", "fd00::1"]);
    assert_eq!(service.ports[0].target_port, Some(kubernetes::IntOrString::String("web".to_owned())));
    assert_eq!(service.ports[1].target_port, Some(kubernetes::IntOrString::Int(8081)));
    assert_eq!(service.load_balancer_ingress[1].hostname, "lb.example.com");
    assert_eq!(service.service_type(), "LoadBalancer");
    assert!(!service.is_headless());
}

#[test]
fn slices_and_pods_are_read() {
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4\nendpoints:\n- {addresses: [1.1.1.1], conditions: {ready: false}, zone: z, targetRef: {kind: Pod, name: p, uid: x}}\nports: [{name: http, port: 80}]\n";
    let object = only(slice);
    let slice = object.get::<kubernetes::EndpointSlice>().unwrap();
    assert_eq!(slice.endpoints[0].conditions.ready, Some(false));
    assert_eq!(&*slice.endpoints[0].target_ref.as_ref().unwrap().name, "p");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, deletionTimestamp: \"2024-02-29T12:30:15Z\"}\nspec: {nodeName: n1, serviceAccountName: sa, containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]}\nstatus: {phase: Running, podIP: 1.1.1.1, podIPs: [{ip: 1.1.1.1}, {ip: \"fd00::2\"}], conditions: [{type: Ready, status: \"True\"}]}\n";
    let object = only(pod);
    let pod = object.get::<kubernetes::Pod>().unwrap();
    assert!(object.meta.deleting && pod.is_ready() && !pod.is_terminal());
    assert_eq!(pod.addresses(), ["1.1.1.1", "fd00::2"]);
    assert_eq!((pod.named_port("web", "TCP"), pod.named_port("web", "UDP")), (Some(8080), None));
}

#[test]
fn secrets_and_config_maps_are_read() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/tls\ndata: {a: aGk=}\nstringData: {b: plain}\n";
    let object = only(secret);
    let secret = object.get::<kubernetes::Secret>().unwrap();
    assert_eq!(
        (secret.data["a"].0.as_slice(), secret.data["b"].0.as_slice()),
        (b"hi".as_slice(), b"plain".as_slice())
    );
    let broken = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: \"%%\"}\n";
    assert_eq!(problems(broken), ["error f.yaml:4:11: data.a: the string is not base64"]);
    let map = only(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {mesh: |-\n  x}\n"
            .replace("{mesh: |-\n  x}", "\n  mesh: |-\n    x")
            .as_str(),
    );
    assert_eq!(map.get::<kubernetes::ConfigMap>().unwrap().data["mesh"], "x");
}

#[test]
fn status_is_kept_for_kinds_of_istio() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\nspec: {hosts: [a.b]}\nstatus: {addresses: [{value: 240.240.0.1}]}\n";
    let object = only(text);
    let addresses = object.status.as_ref().and_then(|s| s.get("addresses").cloned()).unwrap();
    assert_eq!(addresses.to_string(), r#"[{"value":"240.240.0.1"}]"#);
}

const ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: apps}
spec:
  parentRefs: [{name: gw}]
  rules:
  - matches: [{path: {value: /a}, headers: [{name: x, value: y1}]}]
    filters: [{type: CORS, cors: {allowOrigins: [\"*\"], maxAge: 5}}]
    backendRefs: [{name: web, port: 80}, {name: web2, port: 80, weight: 0}]
    timeouts: {backendRequest: 1m30s}
status: {parents: []}
";

#[test]
fn routes_of_the_gateway_api_are_read_with_what_a_server_would_fill_in() {
    let object = only(ROUTE);
    let route = object.get::<crate::gateway_api::HttpRoute>().unwrap();
    assert_eq!(
        (route.parent_refs[0].kind(), route.parent_refs[0].group()),
        ("Gateway", "gateway.networking.k8s.io")
    );
    let rule = &route.rules[0];
    assert_eq!(rule.matches[0].path.as_ref().unwrap().match_type(), "PathPrefix");
    assert_eq!(
        rule.backend_refs.iter().map(crate::gateway_api::RouteBackendRef::weight).collect::<Vec<_>>(),
        [1, 0]
    );
    assert_eq!(rule.backend_refs[0].object().kind(), "Service");
    assert_eq!(rule.timeouts.as_ref().unwrap().backend_request, Some(Duration::from_secs(90)));
    assert_eq!(object.meta.origin.locate("spec.rules[0].backendRefs[1].weight").unwrap().line, 9);
    assert!(object.status.is_some());
    let mistake = ROUTE.replace("backendRequest", "backendRequests");
    assert_eq!(
        problems(&mistake),
        ["warning f.yaml:10:16: spec.rules[0].timeouts.backendRequests: unknown field (did you mean \
             \"backendRequest\"?)"]
    );
}

#[test]
fn a_gateway_is_told_apart_by_its_group() {
    let istio = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {selector: {istio: ingress}}\n";
    let kubernetes = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {gatewayClassName: istio}\n";
    assert_eq!(only(istio).kind(), Kind::Gateway);
    assert_eq!(only(kubernetes).kind(), Kind::KubernetesGateway);
    assert_eq!(Kind::KubernetesGateway.name(), "Gateway");
    for kind in Kind::ALL {
        assert_eq!(Kind::find(&kind.api_version(), kind.name()), Some(*kind));
    }
}
