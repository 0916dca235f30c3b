//! From objects to facts: which table an object belongs to, and what is left out on the way.

use std::sync::Arc;

use ::tables::{Commit, Def, Input};
use config::extensions::ExecutionPhase;
use config::extensions::PluginPhase;
use config::extensions::{FilterConfig, TrafficExtension, TrafficSelector, WasmConfig, WasmPlugin};
use config::{Kind, Meta, Object, Spec, kubernetes};

use super::commit::Facts;
use crate::gateways::credentials;
use crate::inputs::*;
use crate::key::{MaterialKey, ObjectKey, WorkloadKey, WorkloadKind};

/// Put behind the name of a WasmPlugin where it stands among TrafficExtensions; no object can have such a name.
const PLUGIN: &str = "~istio-translated-wasmplugin";

/// Sets or takes away the fact of an object.
fn set<D, T>(input: &mut Input<D>, c: &mut Commit, key: ObjectKey, meta: Arc<Meta>, spec: Arc<T>)
where
    D: Def<Key = ObjectKey, Row = Fact<T>>,
    Fact<T>: Eq,
{
    input.put(c, key, Some(Fact { meta, spec, status: None }));
}

/// Metadata without what nobody reads of these kinds: some of it changes when nothing does. Changed in its place, where it is
/// nobody else's.
fn quiet(mut meta: Arc<Meta>) -> Arc<Meta> {
    if !meta.resource_version.is_empty() || !meta.uid.is_empty() || meta.generation != 0 {
        let meta = Arc::make_mut(&mut meta);
        (meta.resource_version, meta.uid, meta.generation) = (String::new(), String::new(), 0);
    }
    meta
}

/// The same of a pod, whose uid stays: a token that is bound to a pod means no later one of the same name.
fn quiet_pod(meta: Arc<Meta>) -> Arc<Meta> {
    let uid = meta.uid.clone();
    let mut meta = quiet(meta);
    if !uid.is_empty() {
        Arc::make_mut(&mut meta).uid = uid;
    }
    meta
}

impl Facts {
    pub(super) fn take(&mut self, c: &mut Commit, batch: Batch) {
        if let Some(settings) = batch.settings {
            self.settings.put(c, (), Some(settings));
        }
        for (kind, key) in batch.removes {
            self.remove(c, kind, key);
        }
        for (host, addresses) in batch.hosts {
            self.hosts.put(c, host, addresses);
        }
        for (cluster, object) in batch.puts {
            let meta = &object.meta;
            let key = ObjectKey { cluster, namespace: meta.namespace.clone(), name: meta.name.clone() };
            self.put(c, key, object);
        }
    }

    fn put(&mut self, c: &mut Commit, key: ObjectKey, object: Object) {
        let Object { meta, spec, status } = object;
        match spec {
            Spec::Service(spec) => {
                let fact = Fact { meta: quiet(meta), spec, status: None };
                let key = DeclarationKey { entry: false, object: key };
                self.declarations.put(c, key, Some(Declaration::Kube(fact)));
            }
            Spec::ServiceEntry(spec) => {
                let key = DeclarationKey { entry: true, object: key };
                self.declarations.put(c, key, Some(Declaration::Entry(Fact { meta, spec, status })));
            }
            Spec::EndpointSlice(spec) => set(&mut self.slices, c, key, quiet(meta), spec),
            Spec::Endpoints(spec) => self.put_endpoints(c, &key, &meta, &spec),
            Spec::Pod(spec) => {
                let fact = Fact { meta: quiet_pod(meta), spec, status: None };
                let key = WorkloadKey { kind: WorkloadKind::Pod, object: key };
                self.instances.put(c, key, Some(Instance::Pod(fact)));
            }
            Spec::WorkloadEntry(spec) => {
                let key = WorkloadKey { kind: WorkloadKind::Entry, object: key };
                self.instances.put(c, key, Some(Instance::Entry(Fact { meta, spec, status })));
            }
            Spec::Secret(spec) => {
                let key = MaterialKey { config_map: false, object: key };
                self.materials.put(c, key, credentials::of_secret(&spec.data));
            }
            Spec::ConfigMap(spec) => {
                let key = MaterialKey { config_map: true, object: key };
                self.materials.put(c, key, credentials::of_config_map(&spec.data));
            }
            Spec::WasmPlugin(spec) => {
                set(&mut self.extensions, c, plugin_key(key), meta, Arc::new(translated(&spec)));
            }
            Spec::Namespace(spec) => set(&mut self.namespaces, c, key, quiet(meta), spec),
            Spec::Node(spec) => set(&mut self.nodes, c, key, quiet(meta), spec),
            Spec::ServiceAccount(spec) => set(&mut self.accounts, c, key, quiet(meta), spec),
            Spec::ServiceExport(spec) => set(&mut self.exports, c, key, quiet(meta), spec),
            Spec::ServiceImport(spec) => set(&mut self.imports, c, key, quiet(meta), spec),
            Spec::VirtualService(spec) => set(&mut self.virtual_services, c, key, meta, spec),
            Spec::DestinationRule(spec) => set(&mut self.destination_rules, c, key, meta, spec),
            Spec::Gateway(spec) => set(&mut self.gateways, c, key, meta, spec),
            Spec::Sidecar(spec) => set(&mut self.sidecars, c, key, meta, spec),
            Spec::WorkloadGroup(spec) => set(&mut self.workload_groups, c, key, meta, spec),
            Spec::EnvoyFilter(spec) => set(&mut self.envoy_filters, c, key, meta, spec),
            Spec::ProxyConfig(spec) => set(&mut self.proxy_configs, c, key, meta, spec),
            Spec::PeerAuthentication(spec) => set(&mut self.peers, c, key, meta, spec),
            Spec::RequestAuthentication(spec) => set(&mut self.requests, c, key, meta, spec),
            Spec::AuthorizationPolicy(spec) => set(&mut self.access, c, key, meta, spec),
            Spec::Telemetry(spec) => set(&mut self.telemetry, c, key, meta, spec),
            Spec::TrafficExtension(spec) => set(&mut self.extensions, c, key, meta, spec),
            _ => {}
        }
    }

    fn remove(&mut self, c: &mut Commit, kind: Kind, key: ObjectKey) {
        match kind {
            Kind::Service | Kind::ServiceEntry => {
                let entry = kind == Kind::ServiceEntry;
                self.declarations.put(c, DeclarationKey { entry, object: key }, None);
            }
            Kind::Pod | Kind::WorkloadEntry => {
                let kind = if kind == Kind::Pod { WorkloadKind::Pod } else { WorkloadKind::Entry };
                self.instances.put(c, WorkloadKey { kind, object: key }, None);
            }
            Kind::Secret | Kind::ConfigMap => {
                self.materials.put(c, MaterialKey { config_map: kind == Kind::ConfigMap, object: key }, None);
            }
            Kind::Endpoints => self.remove_subsets(c, &key, 0),
            Kind::WasmPlugin => drop(self.extensions.put(c, plugin_key(key), None)),
            Kind::EndpointSlice => drop(self.slices.put(c, key, None)),
            Kind::Namespace => drop(self.namespaces.put(c, key, None)),
            Kind::Node => drop(self.nodes.put(c, key, None)),
            Kind::ServiceAccount => drop(self.accounts.put(c, key, None)),
            Kind::ServiceExport => drop(self.exports.put(c, key, None)),
            Kind::ServiceImport => drop(self.imports.put(c, key, None)),
            Kind::VirtualService => drop(self.virtual_services.put(c, key, None)),
            Kind::DestinationRule => drop(self.destination_rules.put(c, key, None)),
            Kind::Gateway => drop(self.gateways.put(c, key, None)),
            Kind::Sidecar => drop(self.sidecars.put(c, key, None)),
            Kind::WorkloadGroup => drop(self.workload_groups.put(c, key, None)),
            Kind::EnvoyFilter => drop(self.envoy_filters.put(c, key, None)),
            Kind::ProxyConfig => drop(self.proxy_configs.put(c, key, None)),
            Kind::PeerAuthentication => drop(self.peers.put(c, key, None)),
            Kind::RequestAuthentication => drop(self.requests.put(c, key, None)),
            Kind::AuthorizationPolicy => drop(self.access.put(c, key, None)),
            Kind::Telemetry => drop(self.telemetry.put(c, key, None)),
            Kind::TrafficExtension => drop(self.extensions.put(c, key, None)),
            _ => {}
        }
    }

    /// An Endpoints object as one slice for each of its subsets.
    fn put_endpoints(
        &mut self,
        c: &mut Commit,
        key: &ObjectKey,
        meta: &Arc<Meta>,
        spec: &kubernetes::Endpoints,
    ) {
        let mut meta = (*quiet(Arc::clone(meta))).clone();
        meta.labels.edit(|labels| {
            labels.insert("kubernetes.io/service-name".to_owned(), key.name.to_string());
        });
        let meta = Arc::new(meta);
        for (at, subset) in spec.subsets.iter().enumerate() {
            let slice = slice(subset);
            set(&mut self.slices, c, subset_key(key, at), Arc::clone(&meta), Arc::new(slice));
        }
        self.remove_subsets(c, key, spec.subsets.len());
    }

    fn remove_subsets(&mut self, c: &mut Commit, key: &ObjectKey, left: usize) {
        let had = self.subsets.get(key).copied().unwrap_or(0);
        for at in left..had {
            self.slices.put(c, subset_key(key, at), None);
        }
        if left == 0 {
            self.subsets.remove(key);
        } else {
            self.subsets.insert(key.clone(), left);
        }
    }
}

fn subset_key(key: &ObjectKey, at: usize) -> ObjectKey {
    ObjectKey { name: format!("{}~{at}", key.name).into(), ..key.clone() }
}

fn plugin_key(key: ObjectKey) -> ObjectKey {
    ObjectKey { name: format!("{}{PLUGIN}", key.name).into(), ..key }
}

fn slice(subset: &kubernetes::EndpointSubset) -> kubernetes::EndpointSlice {
    let endpoint = |a: &kubernetes::EndpointAddress, ready: bool| kubernetes::Endpoint {
        addresses: vec![a.ip.clone()],
        conditions: kubernetes::EndpointConditions {
            ready: Some(ready),
            serving: Some(ready),
            terminating: Some(false),
        },
        hostname: a.hostname.clone(),
        node_name: a.node_name.clone(),
        target_ref: a.target_ref.clone(),
        ..kubernetes::Endpoint::default()
    };
    let ready = subset.addresses.iter().map(|a| endpoint(a, true));
    let others = subset.not_ready_addresses.iter().map(|a| endpoint(a, false));
    kubernetes::EndpointSlice {
        address_type: String::new(),
        endpoints: ready.chain(others).collect(),
        ports: subset.ports.clone(),
    }
}

/// A WasmPlugin as the TrafficExtension it means
/// (as pilot/pkg/config/kube/extensions/translate.go: `translateWasmPlugin`).
fn translated(plugin: &WasmPlugin) -> TrafficExtension {
    let one = plugin.target_ref.iter().filter(|_| plugin.target_refs.is_empty());
    let selector = |m: &config::extensions::WasmPluginTrafficSelector| TrafficSelector {
        mode: m.mode,
        ports: m.ports.clone(),
    };
    TrafficExtension {
        selector: plugin.selector.clone(),
        target_refs: plugin.target_refs.iter().chain(one).cloned().collect(),
        phase: match plugin.phase {
            PluginPhase::UnspecifiedPhase => ExecutionPhase::Unspecified,
            PluginPhase::Authn => ExecutionPhase::Authn,
            PluginPhase::Authz => ExecutionPhase::Authz,
            PluginPhase::Stats => ExecutionPhase::Stats,
        },
        priority: plugin.priority,
        r#match: plugin.r#match.iter().map(selector).collect(),
        filter_config: Some(FilterConfig::Wasm(WasmConfig {
            url: plugin.url.clone(),
            sha256: plugin.sha256.clone(),
            image_pull_policy: plugin.image_pull_policy,
            image_pull_secret: plugin.image_pull_secret.clone(),
            verification_key: String::new(),
            plugin_config: plugin.plugin_config.clone(),
            plugin_name: plugin.plugin_name.clone(),
            fail_strategy: plugin.fail_strategy,
            vm_config: plugin.vm_config.clone(),
            r#type: plugin.r#type,
        })),
    }
}
