//! From the tree of one document to the body of its kind.

use super::node::Node;
use super::reader::Reader;
use super::schema::Field;
use crate::kind::Body;

/// How a kind of Kubernetes, whose fields lie all over the document, is read.
pub(crate) trait KubernetesBody {
    /// Picks the fields that are kept; every other field is ignored quietly.
    fn read_document(&mut self, root: &Node, reader: &mut Reader);
}

/// How any body is read from its document.
pub(crate) trait ReadDocument: Body + Default {
    /// Reads it.
    fn read_root(&mut self, root: &Node, reader: &mut Reader);
}

/// Reads the body of type `T` from a document.
pub(crate) fn read<T: ReadDocument>(root: &Node, reader: &mut Reader) -> T {
    let mut body = T::default();
    body.read_root(root, reader);
    body
}

macro_rules! configuration_bodies {
    ($($module:ident : $($ty:ident),*;)*) => { $($(
        impl ReadDocument for crate::$module::$ty {
            fn read_root(&mut self, root: &Node, reader: &mut Reader) {
                for (key, value) in reader.entries(root) {
                    match key.name.as_str() {
                        "spec" => reader.field(key, "spec", "", value, self),
                        "apiVersion" | "kind" | "metadata" | "status" => {}
                        _ => reader.unknown(key, &[("spec", ""), ("metadata", ""), ("status", "")]),
                    }
                }
            }
        }
    )*)* };
}
configuration_bodies! {
    networking: VirtualService, DestinationRule, Gateway, ServiceEntry, Sidecar, WorkloadEntry, WorkloadGroup, EnvoyFilter, ProxyConfig;
    security: PeerAuthentication, RequestAuthentication, AuthorizationPolicy;
    telemetry: Telemetry;
    extensions: WasmPlugin, TrafficExtension;
    gateway_api: GatewayClass, Gateway, ListenerSet, HttpRoute, GrpcRoute, TlsRoute, TcpRoute, UdpRoute, ReferenceGrant,
        BackendTlsPolicy, BackendTrafficPolicy, Backend, InferencePool;
}

macro_rules! kubernetes_bodies {
    ($($ty:ident),*) => { $(
        impl ReadDocument for crate::kubernetes::$ty {
            fn read_root(&mut self, root: &Node, reader: &mut Reader) {
                reader.quietly(|reader| self.read_document(root, reader));
            }
        }
    )* };
}
kubernetes_bodies! {
    Namespace, Node, Service, Endpoints, EndpointSlice, Pod, ServiceAccount, Secret, ConfigMap, Ingress, IngressClass,
    ServiceExport, ServiceImport
}

/// Reads the field at a path of keys, if the document has it.
pub(crate) fn lift<F: Field>(reader: &mut Reader, root: &Node, path: &[&str], slot: &mut F) {
    let Some((first, rest)) = path.split_first() else {
        if !root.is_null() {
            slot.read(root, reader);
        }
        return;
    };
    for (key, value) in reader.entries(root) {
        if key.name == *first {
            reader.within(first, key.at, |reader| lift(reader, value, rest, slot));
        }
    }
}
