//! The objects a simulated user can apply: slots, each with the few texts that may stand there, decoded once.

use std::fmt::Write as _;
use std::sync::LazyLock;

use config::decode::trees;
use config::{Kind, Object};
use serde_json::Value;

use crate::fixture;

/// One place for an object: a kind, a namespace, a name, and what it may say.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) variants: Vec<Variant>,
}

/// One of the things it may say, decoded and as a tree; a tree does not say its kind, as elements of lists do not.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) object: Object,
    pub(super) tree: Value,
}

/// All slots. The first [`FOUNDATION`] stand in every mesh from the beginning.
pub(super) static SLOTS: LazyLock<Vec<Slot>> = LazyLock::new(slots);

/// How many slots at the front are there from the beginning.
pub(super) const FOUNDATION: usize = 6;

/// A certificate is only bytes here: nobody looks into it.
const PEM: [&str; 2] = ["b25l", "dHdv"];

fn slots() -> Vec<Slot> {
    let mut all = Vec::new();
    for (at, name) in ["a", "b", "istio-system"].into_iter().enumerate() {
        all.push(vec![format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")]);
        let (app, ip) = (["one", "two", "gateway"][at], at + 1);
        all.push(vec![pod(name, app, ip, "")]);
    }
    for (namespace, name, subnet) in [("a", "one", 1), ("a", "three", 3), ("b", "two", 2)] {
        all.push(services(namespace, name));
        all.push(slices(namespace, name, subnet));
    }
    all.extend(traffic());
    all.extend(rules());
    all.extend(policies());
    all.into_iter()
        .filter_map(|texts| {
            let variants: Vec<Variant> = texts.iter().flat_map(|text| variants(text)).collect();
            Some(Slot { kind: variants.first()?.object.kind(), variants })
        })
        .collect()
}

fn variants(text: &str) -> Vec<Variant> {
    let trees = trees(text).into_iter().flatten().map(|tree| {
        let mut tree = tree.to_value().to_json();
        tree.as_object_mut().map(|members| (members.remove("apiVersion"), members.remove("kind")));
        tree
    });
    fixture::objects(text).into_iter().zip(trees).map(|(object, tree)| Variant { object, tree }).collect()
}

fn pod(namespace: &str, app: &str, ip: usize, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {app}\n  namespace: {namespace}\n  labels: {{app: {app}, version: v1, istio: {app}{more}}}\n\
         spec:\n  serviceAccountName: {app}\n  containers: [{{name: app, ports: [{{containerPort: 8080, name: http}}]}}]\n\
         status:\n  phase: Running\n  podIP: 10.0.0.{ip}\n  podIPs: [{{ip: 10.0.0.{ip}}}]\n  conditions: [{{type: Ready, status: \"True\"}}]\n"
    )
}

fn services(namespace: &str, name: &str) -> Vec<String> {
    let octet = name.len() + namespace.len();
    let service = |cluster_ip: &str, ports: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec:\n  clusterIP: {cluster_ip}\n  selector: {{app: {name}}}\n  ports: [{ports}]\n"
        )
    };
    let (http, tcp) =
        ("{name: http, port: 80, targetPort: 8080}", "{name: tcp, port: 9000, targetPort: 9000}");
    let ip = format!("10.96.0.{octet}{}", namespace.len() + usize::from(namespace == "b"));
    vec![
        service(&ip, http),
        service(&ip, &format!("{http}, {tcp}")),
        service(&ip, tcp),
        service("None", http),
        service(
            &ip,
            "{name: grpc-web, port: 80, targetPort: 8080}, {name: second, port: 8080, targetPort: 8080}",
        ),
    ]
}

fn slices(namespace: &str, name: &str, subnet: usize) -> Vec<String> {
    let pods = ["a", "b"].iter().position(|n| *n == namespace).filter(|_| name != "three").map(|at| at + 1);
    let slice = |addresses: &[(String, &str)]| {
        let mut text = format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-1\n  namespace: {namespace}\n\
             \x20 labels: {{kubernetes.io/service-name: {name}}}\naddressType: IPv4\n\
             ports: [{{name: http, port: 8080}}, {{name: tcp, port: 9000}}, {{name: second, port: 8080}}, {{name: grpc-web, port: 8080}}]\nendpoints:\n"
        );
        for (address, ready) in addresses {
            let _ = writeln!(text, "- {{addresses: [{address}], conditions: {{ready: {ready}}}}}");
        }
        if addresses.is_empty() {
            text = text.replace("endpoints:\n", "endpoints: []\n");
        }
        text
    };
    let near = (pods.map_or_else(|| format!("10.1.{subnet}.1"), |ip| format!("10.0.0.{ip}")), "true");
    let far = (format!("10.1.{subnet}.2"), "true");
    let ill = (format!("10.1.{subnet}.3"), "false");
    vec![slice(std::slice::from_ref(&near)), slice(&[near, far.clone()]), slice(&[]), slice(&[far, ill])]
}

const ROUTED: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n";

fn route(namespace: &str, name: &str, spec: &str) -> String {
    format!("{ROUTED}metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{spec}")
}

fn rule(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{spec}"
    )
}

fn traffic() -> Vec<Vec<String>> {
    let to = |host: &str, more: &str| format!("{{destination: {{host: {host}{more}}}}}");
    let http =
        |routes: &str| format!("  hosts: [one.a.svc.cluster.local]\n  http: [{{route: [{routes}]}}]\n");
    let one = "one.a.svc.cluster.local";
    let two = "two.b.svc.cluster.local";
    let three = "three.a.svc.cluster.local";
    let weighted = format!(
        "{{destination: {{host: {one}, subset: v1}}, weight: 30}}, {{destination: {{host: {one}, subset: v2}}, weight: 70}}"
    );
    vec![
        vec![
            route("a", "one", &http(&to(one, ", subset: v1"))),
            route("a", "one", &http(&weighted)),
            route("a", "one", &http(&to(two, ""))),
            route("a", "one", &http(&to("missing.a.svc.cluster.local", ""))),
            route(
                "a",
                "one",
                &format!("  hosts: [{one}]\n  tcp: [{{route: [{}]}}]\n", to(two, ", port: {number: 9000}")),
            ),
        ],
        vec![
            route(
                "b",
                "two",
                &format!(
                    "  hosts: [{two}]\n  http: [{{match: [{{uri: {{prefix: /x}}}}], route: [{}]}}, {{route: [{}]}}]\n",
                    to(three, ""),
                    to(two, "")
                ),
            ),
            route(
                "b",
                "two",
                &format!("  hosts: [{two}]\n  tcp: [{{route: [{}]}}]\n", to(three, ", port: {number: 9000}")),
            ),
            route(
                "b",
                "two",
                &format!(
                    "  hosts: [{two}]\n  http: [{{route: [{}], mirror: {{host: {one}}}}}]\n",
                    to(two, "")
                ),
            ),
        ],
        vec![
            route(
                "istio-system",
                "in",
                &format!(
                    "  hosts: [shop.example.com]\n  gateways: [in]\n  http: [{{route: [{}]}}]\n",
                    to(one, ", port: {number: 80}")
                ),
            ),
            route(
                "istio-system",
                "in",
                &format!(
                    "  hosts: [shop.example.com]\n  gateways: [in]\n  http: [{{route: [{}]}}]\n",
                    to(two, ", port: {number: 80}")
                ),
            ),
        ],
        gateways(),
    ]
}

fn rules() -> Vec<Vec<String>> {
    let one = "one.a.svc.cluster.local";
    let two = "two.b.svc.cluster.local";
    vec![
        vec![
            rule(
                "a",
                "one",
                &format!(
                    "  host: {one}\n  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]\n"
                ),
            ),
            rule("a", "one", &format!("  host: {one}\n  subsets: [{{name: v1, labels: {{version: v1}}}}]\n")),
            rule(
                "a",
                "one",
                &format!("  host: {one}\n  trafficPolicy: {{loadBalancer: {{simple: RANDOM}}}}\n"),
            ),
        ],
        vec![
            rule(
                "b",
                "two",
                &format!(
                    "  host: {two}\n  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: 7}}}}}}\n"
                ),
            ),
            rule("b", "two", &format!("  host: {two}\n  trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL}}}}\n")),
        ],
        vec![
            rule(
                "istio-system",
                "out",
                "  host: out.example.com\n  trafficPolicy: {tls: {mode: SIMPLE, credentialName: out, sni: out.example.com}}\n",
            ),
            rule(
                "istio-system",
                "out",
                "  host: out.example.com\n  trafficPolicy: {tls: {mode: MUTUAL, credentialName: out}}\n",
            ),
        ],
    ]
}

fn gateways() -> Vec<String> {
    let gateway = |server: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: in, namespace: istio-system}}\n\
             spec:\n  selector: {{istio: gateway}}\n  servers: [{server}]\n"
        )
    };
    let http = "{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*\"]}";
    let https = "{port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: out}}";
    vec![gateway(http), gateway(https), gateway(&format!("{http}, {https}"))]
}

fn policies() -> Vec<Vec<String>> {
    let entry = |spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: out, namespace: b}}\nspec:\n  hosts: [out.example.com]\n{spec}"
        )
    };
    let sidecar = |namespace: &str, hosts: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: default, namespace: {namespace}}}\nspec:\n  egress: [{{hosts: [{hosts}]}}]\n"
        )
    };
    let peer = |namespace: &str, mode: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: {namespace}}}\nspec:\n  mtls: {{mode: {mode}}}\n"
        )
    };
    let secret = |pem: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: out, namespace: istio-system}}\ntype: kubernetes.io/tls\ndata: {{tls.crt: {pem}, tls.key: {pem}, ca.crt: {pem}}}\n"
        )
    };
    let tls = "  ports: [{number: 443, name: tls, protocol: TLS}]\n  location: MESH_EXTERNAL\n";
    vec![
        vec![
            entry(&format!("{tls}  resolution: DNS\n")),
            entry(&format!(
                "{tls}  resolution: STATIC\n  endpoints: [{{address: 192.0.2.1}}, {{address: 192.0.2.2}}]\n"
            )),
            entry(
                "  ports: [{number: 80, name: http, protocol: HTTP}]\n  location: MESH_EXTERNAL\n  resolution: NONE\n",
            ),
        ],
        vec![sidecar("a", "./*, istio-system/*"), sidecar("a", "./*, b/two.b.svc.cluster.local")],
        vec![sidecar("istio-system", "\"*/*\""), sidecar("istio-system", "./*")],
        vec![peer("istio-system", "STRICT"), peer("istio-system", "DISABLE")],
        vec![peer("a", "PERMISSIVE"), peer("a", "STRICT")],
        vec![secret(PEM[0]), secret(PEM[1])],
    ]
}
