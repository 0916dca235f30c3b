//! The mesh under measurement: every object a function of its number, as files that an event rewrites one of.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};

use crate::wire::{self, Json};

/// Its size. Service `i` is `svc-i` in `ns-(i mod namespaces)`, with HTTP on port 80 and, every tenth, TCP on 9000.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mesh {
    pub(crate) services: usize,
    /// Of each service.
    pub(crate) endpoints: usize,
    pub(crate) namespaces: usize,
}

const POD_HASH: &str = "6b7f8c9d5";

impl Mesh {
    pub(crate) fn namespace_of(&self, service: usize) -> usize {
        service % self.namespaces
    }

    /// Data only: nobody ever connects to a pod.
    fn address(&self, service: usize, endpoint: usize) -> String {
        let n = service * self.endpoints.max(16) + endpoint + 1;
        format!("10.{}.{}.{}", 16 + (n >> 16), n >> 8 & 255, n & 255)
    }

    /// Writes every object.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        for kind in ["services", "endpoints", "rules"] {
            fs::create_dir_all(folder.join(kind))?;
        }
        fs::write(folder.join("namespaces.yaml"), self.namespaces())?;
        replace(&Self::mesh_file(folder), &Self::mesh_config(false))?;
        for n in 0..self.namespaces {
            replace(&Self::rule_file(folder, "vs", n), &self.virtual_service(n, 10, 0))?;
            replace(&Self::rule_file(folder, "dr", n), &self.destination_rule(n, 100))?;
            replace(&Self::rule_file(folder, "ap", n), &self.authorization_policy(n, 0))?;
        }
        for service in 0..self.services {
            replace(&Self::service_file(folder, service), &self.service(service, self.endpoints))?;
            replace(&Self::slice_file(folder, service), &self.slice(service, self.endpoints, None))?;
        }
        Ok(())
    }

    pub(crate) fn mesh_file(folder: &Path) -> PathBuf {
        folder.join("mesh.yaml")
    }

    pub(crate) fn rule_file(folder: &Path, kind: &str, namespace: usize) -> PathBuf {
        folder.join(format!("rules/ns-{namespace}-{kind}.yaml"))
    }

    pub(crate) fn service_file(folder: &Path, service: usize) -> PathBuf {
        folder.join(format!("services/svc-{service}.yaml"))
    }

    pub(crate) fn slice_file(folder: &Path, service: usize) -> PathBuf {
        folder.join(format!("endpoints/svc-{service}.yaml"))
    }

    fn namespaces(&self) -> String {
        let one = |name: String| {
            format!(
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels: {{istio-injection: enabled}}\n"
            )
        };
        let names = (0..self.namespaces).map(|n| format!("ns-{n}")).chain(["istio-system".to_owned()]);
        names.map(one).collect::<Vec<_>>().join("---\n")
    }

    /// The ConfigMap `istio`. The flip reaches every cluster (a timeout), listener (an access log) and route (retries).
    pub(crate) fn mesh_config(flip: bool) -> String {
        let (timeout, log, attempts) = if flip { (11, "/dev/stdout", 3) } else { (10, "", 2) };
        format!(
            "apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  meshNetworks: \"networks: {{}}\"
  mesh: |
    defaultConfig:
      discoveryAddress: istiod.istio-system.svc:15012
    defaultProviders:
      metrics:
      - prometheus
    enablePrometheusMerge: true
    rootNamespace: istio-system
    trustDomain: cluster.local
    connectTimeout: {timeout}s
    accessLogFile: \"{log}\"
    defaultHttpRetryPolicy:
      attempts: {attempts}
      retryOn: connect-failure
"
        )
    }

    fn ports(service: usize) -> &'static [(&'static str, u16, u16)] {
        if service.is_multiple_of(10) {
            &[("http", 80, 8080), ("tcp-db", 9000, 9000)]
        } else {
            &[("http", 80, 8080)]
        }
    }

    /// The Service and its pods.
    pub(crate) fn service(&self, service: usize, pods: usize) -> String {
        let namespace = self.namespace_of(service);
        let mut out = format!(
            "apiVersion: v1
kind: Service
metadata:
  name: svc-{service}
  namespace: ns-{namespace}
  labels: {{app: svc-{service}}}
spec:
  clusterIP: 10.96.{}.{}
  selector: {{app: svc-{service}}}
  ports:
",
            service >> 8,
            service & 255
        );
        for (name, port, target) in Self::ports(service) {
            out += &format!("  - {{name: {name}, port: {port}, targetPort: {target}, protocol: TCP}}\n");
        }
        for endpoint in 0..pods {
            out += "---\n";
            out += &self.pod(service, endpoint);
        }
        out
    }

    fn pod(&self, service: usize, endpoint: usize) -> String {
        let (namespace, ip) = (self.namespace_of(service), self.address(service, endpoint));
        let node = endpoint % 10;
        format!(
            "apiVersion: v1
kind: Pod
metadata:
  name: svc-{service}-{endpoint}
  namespace: ns-{namespace}
  labels: {{app: svc-{service}, version: v1, pod-template-hash: {POD_HASH}, security.istio.io/tlsMode: istio, service.istio.io/canonical-name: svc-{service}, service.istio.io/canonical-revision: v1}}
  annotations: {{prometheus.io/scrape: \"true\", prometheus.io/port: \"15020\", prometheus.io/path: /stats/prometheus}}
  ownerReferences:
  - {{apiVersion: apps/v1, kind: ReplicaSet, name: svc-{service}-{POD_HASH}, controller: true}}
spec:
  serviceAccountName: default
  nodeName: node-{node}
  containers:
  - {{name: app, image: registry.example/app:1.2.3, ports: [{{containerPort: 8080}}]}}
  - {{name: istio-proxy, image: registry.example/proxyv2:1.32.0, ports: [{{name: http-envoy-prom, containerPort: 15090}}]}}
status:
  phase: Running
  podIP: {ip}
  podIPs: [{{ip: {ip}}}]
  conditions: [{{type: Ready, status: \"True\"}}]
"
        )
    }

    /// The EndpointSlice, with `out` not in rotation.
    pub(crate) fn slice(&self, service: usize, endpoints: usize, out: Option<usize>) -> String {
        let namespace = self.namespace_of(service);
        let mut text = format!(
            "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata:
  name: svc-{service}-s
  namespace: ns-{namespace}
  labels: {{kubernetes.io/service-name: svc-{service}, endpointslice.kubernetes.io/managed-by: loadgen}}
ports:
"
        );
        for (name, _, target) in Self::ports(service) {
            text += &format!("- {{name: {name}, port: {target}, protocol: TCP}}\n");
        }
        text += "endpoints:\n";
        for endpoint in 0..endpoints {
            let (ip, ready) = (self.address(service, endpoint), out != Some(endpoint));
            let (node, zone) = (endpoint % 10, endpoint % 3);
            text += &format!(
                "- addresses: [{ip}]
  conditions: {{ready: {ready}, serving: {ready}, terminating: false}}
  nodeName: node-{node}
  zone: zone-{zone}
  targetRef: {{kind: Pod, name: svc-{service}-{endpoint}, namespace: ns-{namespace}}}
"
            );
        }
        text
    }

    /// Of the first service of the namespace; `touched` is an annotation nobody reads.
    pub(crate) fn virtual_service(&self, namespace: usize, timeout: usize, touched: usize) -> String {
        let host = format!("svc-{namespace}.ns-{namespace}.svc.cluster.local");
        format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: vs
  namespace: ns-{namespace}
  annotations: {{touched: \"{touched}\"}}
spec:
  hosts: [{host}]
  http:
  - match: [{{uri: {{prefix: /api}}}}]
    timeout: {timeout}s
    route: [{{destination: {{host: {host}}}}}]
  - route: [{{destination: {{host: {host}}}}}]
"
        )
    }

    /// Of the first service of the namespace.
    pub(crate) fn destination_rule(&self, namespace: usize, connections: usize) -> String {
        format!(
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: dr, namespace: ns-{namespace}}}
spec:
  host: svc-{namespace}.ns-{namespace}.svc.cluster.local
  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {connections}}}}}}}
"
        )
    }

    /// Of the whole namespace.
    pub(crate) fn authorization_policy(&self, namespace: usize, number: usize) -> String {
        format!(
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ap, namespace: ns-{namespace}}}
spec:
  action: DENY
  rules: [{{to: [{{operation: {{paths: [/denied/{number}]}}}}]}}]
"
        )
    }

    /// The encoded `Node` that the sidecar in the first pod of a service presents.
    pub(crate) fn node(&self, service: usize) -> Bytes {
        let (namespace, ip) = (format!("ns-{}", self.namespace_of(service)), self.address(service, 0));
        let (app, pod) = (format!("svc-{service}"), format!("svc-{service}-0"));
        let labels = [
            ("app", Json::Text(&app)),
            ("version", Json::Text("v1")),
            ("pod-template-hash", Json::Text(POD_HASH)),
            ("security.istio.io/tlsMode", Json::Text("istio")),
            ("service.istio.io/canonical-name", Json::Text(&app)),
            ("service.istio.io/canonical-revision", Json::Text("v1")),
        ];
        let config = [
            ("discoveryAddress", Json::Text("istiod.istio-system.svc:15012")),
            ("serviceCluster", Json::Text("istio-proxy")),
        ];
        let metadata = wire::structure(&[
            ("NAME", Json::Text(&pod)),
            ("NAMESPACE", Json::Text(&namespace)),
            ("CLUSTER_ID", Json::Text("Kubernetes")),
            ("ISTIO_VERSION", Json::Text("1.32.0")),
            ("MESH_ID", Json::Text("cluster.local")),
            ("SERVICE_ACCOUNT", Json::Text("default")),
            ("WORKLOAD_NAME", Json::Text(&app)),
            ("INSTANCE_IPS", Json::Text(&ip)),
            ("INTERCEPTION_MODE", Json::Text("REDIRECT")),
            ("ENVOY_STATUS_PORT", Json::Text("15021")),
            ("ENVOY_PROMETHEUS_PORT", Json::Text("15090")),
            ("DNS_CAPTURE", Json::Text("true")),
            ("NODE_NAME", Json::Text("node-0")),
            ("LABELS", Json::Object(&labels)),
            ("PROXY_CONFIG", Json::Object(&config)),
        ]);
        let mut node = BytesMut::new();
        let id = format!("sidecar~{ip}~{pod}.{namespace}~{namespace}.svc.cluster.local");
        wire::put(&mut node, 1, id.as_bytes());
        wire::put(&mut node, 2, format!("{app}.{namespace}").as_bytes());
        wire::put(&mut node, 3, &metadata);
        node.freeze()
    }
}

/// Puts a file in its place whole: written beside it, then renamed.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("part");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}
