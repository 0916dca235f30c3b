//! The writer: facts in, stages in the order of the flow, a new World out.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::tables::{Commit, Derived, Grouped, Input, Revision, Story, Table};
use config::networking;

use super::indexes::*;
use super::tables::*;
use super::{Ground, World};
use crate::endpoints::build::{self, Sources};
use crate::gateways::{self, credentials};
use crate::inputs::*;
use crate::key::ObjectKey;
use crate::networks;
use crate::policies::{extension, policy};
use crate::routes::{self, resolve};
use crate::rules::merge as rules;
use crate::services::{claims, merge};
use crate::settings::{self, Settings};
use crate::sidecars;
use crate::workloads::{entries, pods};

/// The facts as they were told.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) settings: Input<SettingsFact>,
    pub(super) namespaces: Input<NamespaceFacts>,
    pub(super) nodes: Input<NodeFacts>,
    pub(super) declarations: Input<Declarations>,
    pub(super) slices: Input<SliceFacts>,
    pub(super) instances: Input<Instances>,
    pub(super) accounts: Input<AccountFacts>,
    pub(super) materials: Input<MaterialFacts>,
    pub(super) exports: Input<ServiceExportFacts>,
    pub(super) imports: Input<ServiceImportFacts>,
    pub(super) virtual_services: Input<VirtualServiceFacts>,
    pub(super) destination_rules: Input<DestinationRuleFacts>,
    pub(super) gateways: Input<GatewayFacts>,
    pub(super) sidecars: Input<SidecarFacts>,
    pub(super) workload_groups: Input<WorkloadGroupFacts>,
    pub(super) envoy_filters: Input<EnvoyFilterFacts>,
    pub(super) proxy_configs: Input<ProxyConfigFacts>,
    pub(super) peers: Input<PeerAuthenticationFacts>,
    pub(super) requests: Input<RequestAuthenticationFacts>,
    pub(super) access: Input<AuthorizationPolicyFacts>,
    pub(super) telemetry: Input<TelemetryFacts>,
    pub(super) extensions: Input<TrafficExtensionFacts>,
    pub(super) hosts: Input<HostFacts>,
    /// How many slices were made of each Endpoints object, to take them away again.
    pub(super) subsets: BTreeMap<ObjectKey, usize>,
}

/// What is deduced.
struct Stages {
    namespaces: Grouped<NamespacesNamed, Namespaces>,
    workloads: Derived<Instances, Workloads>,
    claims: Derived<Declarations, Claims>,
    services: Grouped<ClaimsOn, Services>,
    endpoints: Derived<Services, ServiceEndpoints>,
    accounts: Derived<ServiceEndpoints, ServiceAccounts>,
    networks: Derived<SettingsFact, Networks>,
    virtual_services: Derived<VirtualServiceFacts, VirtualServices>,
    route_heads: Derived<VirtualServices, RouteHeads>,
    layer4_routes: Derived<VirtualServices, Layer4Routes>,
    rule_claims: Derived<DestinationRuleFacts, RuleClaims>,
    rules: Grouped<RuleClaimsOn, Rules>,
    sidecars: Derived<SidecarFacts, Sidecars>,
    gateways: Derived<GatewayFacts, Gateways>,
    credentials: Derived<MaterialFacts, Credentials>,
    peers: Derived<PeerAuthenticationFacts, PeerPolicies>,
    requests: Derived<RequestAuthenticationFacts, RequestPolicies>,
    access: Derived<AuthorizationPolicyFacts, AccessPolicies>,
    telemetry: Derived<TelemetryFacts, TelemetryPolicies>,
    patches: Derived<EnvoyFilterFacts, Patches>,
    extensions: Derived<TrafficExtensionFacts, Extensions>,
    proxy_configs: Derived<ProxyConfigFacts, ProxyConfigs>,
    workload_groups: Derived<WorkloadGroupFacts, WorkloadGroups>,
}

impl Stages {
    fn new() -> Self {
        Self {
            namespaces: Grouped::default(),
            workloads: Derived::new(
                Table::new().indexed::<WorkloadsOf>().indexed::<WorkloadsAt>().indexed::<WorkloadsLabelled>(),
            ),
            claims: Derived::new(
                Table::new()
                    .indexed::<ClaimsOn>()
                    .indexed::<ClaimsNamed>()
                    .indexed::<ClaimsAliasing>()
                    .indexed::<ClaimsSelecting>()
                    .indexed::<NetworkClaims>(),
            ),
            services: Grouped::new(
                Table::new()
                    .indexed::<ServicesSeen>()
                    .indexed::<ServicesOf>()
                    .indexed::<ServicesNamed>()
                    .indexed::<ServicesAskingPlace>(),
            ),
            endpoints: Derived::new(Table::new().indexed::<EndpointsAt>()),
            accounts: Derived::default(),
            networks: Derived::default(),
            route_heads: Derived::new(Table::new().indexed::<HeadsSeen>()),
            layer4_routes: Derived::default(),
            virtual_services: Derived::new(
                Table::new().indexed::<VirtualServicesSeen>().indexed::<RoutesAskingLabels>(),
            ),
            rule_claims: Derived::new(Table::new().indexed::<RuleClaimsOn>()),
            rules: Grouped::new(
                Table::new().indexed::<RulesOf>().indexed::<WildcardRulesOf>().indexed::<RulesAskingLabels>(),
            ),
            sidecars: Derived::new(Table::new().indexed::<SidecarsOf>()),
            gateways: Derived::new(Table::new().indexed::<GatewaysOf>()),
            credentials: Derived::default(),
            peers: Derived::new(Table::new().indexed::<PeerPoliciesOf>()),
            requests: Derived::new(Table::new().indexed::<RequestPoliciesOf>()),
            access: Derived::new(Table::new().indexed::<AccessPoliciesOf>()),
            telemetry: Derived::new(Table::new().indexed::<TelemetryPoliciesOf>()),
            patches: Derived::new(Table::new().indexed::<PatchesOf>()),
            extensions: Derived::new(Table::new().indexed::<ExtensionsOf>()),
            proxy_configs: Derived::new(Table::new().indexed::<ProxyConfigsOf>()),
            workload_groups: Derived::default(),
        }
    }

    /// Who serves: namespaces, workloads, services, endpoints, networks.
    fn registry(&mut self, c: &mut Commit, facts: &Facts) {
        let ground = facts.ground();
        self.namespaces.advance(c, &facts.namespaces, |r, name, members| {
            settings::namespace(r, &facts.settings, name, members)
        });
        self.workloads.advance(c, &facts.instances, |r, key, instance| {
            let made = match &**instance {
                Instance::Pod(fact) => pods::workload(r, ground, &facts.nodes, key, fact),
                Instance::Entry(fact) => entries::workload(r, ground, key, fact),
            };
            made.map(|w| (key.clone(), w)).into_iter().collect()
        });
        self.claims.advance(c, &facts.declarations, |r, key, d| claims::of(r, ground, &facts.nodes, key, d));
        self.services.advance(c, &self.claims, |r, key, members| {
            merge::service(r, ground, &self.claims, &facts.imports, key, members)
        });
        let sources = Sources {
            ground,
            declarations: &facts.declarations,
            slices: &facts.slices,
            exports: &facts.exports,
            workloads: &self.workloads,
            claims: &self.claims,
        };
        self.endpoints.advance(c, &self.services, |r, key, service| build::of(r, sources, key, service));
        self.accounts.advance(c, &self.endpoints, |_, key, endpoints| build::accounts(key, endpoints));
        self.networks.advance(c, &facts.settings, |r, (), s| {
            networks::gateways::all(r, &self.claims, &facts.hosts, s)
        });
    }

    /// Where traffic goes.
    fn traffic(&mut self, c: &mut Commit, facts: &Facts) {
        let ground = facts.ground();
        self.virtual_services.advance(c, &facts.virtual_services, |r, key, fact| {
            resolve::root(r, ground, &facts.virtual_services, key, fact)
        });
        self.route_heads
            .advance(c, &self.virtual_services, |_, key, routes| vec![(key.clone(), routes::head(routes))]);
        self.layer4_routes.advance(c, &self.virtual_services, |_, key, row| {
            routes::layer4(row).map(|half| (key.clone(), half)).into_iter().collect()
        });
        self.rule_claims
            .advance(c, &facts.destination_rules, |r, key, fact| rules::claim(r, ground, key, fact));
        self.rules
            .advance(c, &self.rule_claims, |r, key, members| rules::merge(r, &facts.settings, key, members));
        self.sidecars.advance(c, &facts.sidecars, |r, key, fact| sidecars::row(r, ground, key, fact));
        self.gateways.advance(c, &facts.gateways, |r, key, fact| gateways::row(r, ground, key, fact));
        self.credentials.advance(c, &facts.materials, |r, key, fact| credentials::row(r, ground, key, fact));
    }

    /// What is attached to workloads.
    fn policies(&mut self, c: &mut Commit, facts: &Facts) {
        let ground = facts.ground();
        self.peers.advance(c, &facts.peers, |r, key, fact| policy(r, ground, key, fact));
        self.requests.advance(c, &facts.requests, |r, key, fact| policy(r, ground, key, fact));
        self.access.advance(c, &facts.access, |r, key, fact| policy(r, ground, key, fact));
        self.telemetry.advance(c, &facts.telemetry, |r, key, fact| policy(r, ground, key, fact));
        self.patches.advance(c, &facts.envoy_filters, |r, key, fact| policy(r, ground, key, fact));
        self.extensions.advance(c, &facts.extensions, |r, key, fact| extension(r, ground, key, fact));
        self.proxy_configs.advance(c, &facts.proxy_configs, |r, key, fact| {
            policy::<_, networking::ProxyConfig>(r, ground, key, fact)
        });
        self.workload_groups.advance(c, &facts.workload_groups, |r, key, fact| policy(r, ground, key, fact));
    }

    fn world(&self, revision: Revision, facts: &Facts) -> World {
        World {
            revision,
            settings: facts.settings.table().clone(),
            nodes: facts.nodes.table().clone(),
            instances: facts.instances.table().clone(),
            namespaces: self.namespaces.table().clone(),
            workloads: self.workloads.table().clone(),
            services: self.services.table().clone(),
            endpoints: self.endpoints.table().clone(),
            accounts: self.accounts.table().clone(),
            networks: self.networks.table().clone(),
            virtual_services: self.virtual_services.table().clone(),
            route_heads: self.route_heads.table().clone(),
            layer4_routes: self.layer4_routes.table().clone(),
            rules: self.rules.table().clone(),
            sidecars: self.sidecars.table().clone(),
            gateways: self.gateways.table().clone(),
            credentials: self.credentials.table().clone(),
            peer_policies: self.peers.table().clone(),
            request_policies: self.requests.table().clone(),
            access_policies: self.access.table().clone(),
            telemetry_policies: self.telemetry.table().clone(),
            patches: self.patches.table().clone(),
            extensions: self.extensions.table().clone(),
            proxy_configs: self.proxy_configs.table().clone(),
            workload_groups: self.workload_groups.table().clone(),
            claims: self.claims.table().clone(),
            exports: facts.exports.table().clone(),
            imports: facts.imports.table().clone(),
        }
    }
}

impl Facts {
    fn new() -> Self {
        Self {
            slices: Input::new(Table::new().indexed::<SlicesOf>()),
            imports: Input::new(Table::new().indexed::<ImportsOf>()),
            ..Self::default()
        }
    }

    fn ground(&self) -> Ground<'_> {
        Ground { settings: &self.settings, namespaces: &self.namespaces }
    }
}

/// The only writer of a World. It holds all facts; one task owns it.
pub struct Mesh {
    facts: Facts,
    stages: Stages,
    world: Arc<World>,
}

impl Mesh {
    /// A mesh in which nothing is but its settings. Its world is at revision 1.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let (facts, stages) = (Facts::new(), Stages::new());
        let world = Arc::new(stages.world(Revision::default(), &facts));
        let mut mesh = Self { facts, stages, world };
        mesh.commit(Batch { settings: Some(settings), ..Batch::default() });
        mesh
    }

    /// Takes a batch in as one revision: settings, then removals, then objects put, each in its order. A batch that says
    /// nothing new changes no row. The story tells what changed; memos are told of it by
    /// `tables::Memos::commit`.
    pub fn commit(&mut self, batch: Batch) -> Story {
        let revision = ::tables::Snapshot::revision(&*self.world).next();
        let mut c = Commit::new(revision);
        self.facts.take(&mut c, batch);
        self.stages.registry(&mut c, &self.facts);
        self.stages.traffic(&mut c, &self.facts);
        self.stages.policies(&mut c, &self.facts);
        self.world = Arc::new(self.stages.world(revision, &self.facts));
        c.finish()
    }

    /// The world after the last commit.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        Arc::clone(&self.world)
    }
}
