//! The envoy filter declarations of networking.istio.io: what its fields are and how they are read.

use std::collections::BTreeMap;

use super::WorkloadSelector;
use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::selector::PolicyTargetReference;
use crate::value::Value;

spec! {
    /// `EnvoyFilter` of networking.istio.io.
    pub struct EnvoyFilter {
        workload_selector: Option<WorkloadSelector>,
        target_refs: Vec<PolicyTargetReference>,
        config_patches: Vec<EnvoyConfigObjectPatch>,
        priority: i32,
    }
}

spec! {
    /// `EnvoyFilter.ProxyMatch` of networking.istio.io.
    pub struct ProxyMatch {
        proxy_version: String,
        metadata: BTreeMap<String, String>,
    }
}

spec! {
    /// `EnvoyFilter.ClusterMatch` of networking.istio.io.
    pub struct ClusterMatch {
        port_number: u32,
        service: String,
        subset: String,
        name: String,
    }
}

spec! {
    /// `EnvoyFilter.RouteConfigurationMatch` of networking.istio.io.
    pub struct RouteConfigurationMatch {
        port_number: u32,
        port_name: String,
        gateway: String,
        vhost: Option<VirtualHostMatch>,
        name: String,
    }
}

spec! {
    /// `EnvoyFilter.RouteConfigurationMatch.RouteMatch` of networking.istio.io.
    pub struct RouteConfigurationMatchRouteMatch {
        name: String,
        action: Action,
    }
}

spec_enum! {
    /// `EnvoyFilter.RouteConfigurationMatch.RouteMatch.Action` of networking.istio.io.
    pub enum Action {
        Any = 0 "ANY",
        Route = 1 "ROUTE",
        Redirect = 2 "REDIRECT",
        DirectResponse = 3 "DIRECT_RESPONSE",
    }
}

spec! {
    /// `EnvoyFilter.RouteConfigurationMatch.VirtualHostMatch` of networking.istio.io.
    pub struct VirtualHostMatch {
        name: String,
        domain_name: String,
        route: Option<RouteConfigurationMatchRouteMatch>,
    }
}

spec! {
    /// `EnvoyFilter.ListenerMatch` of networking.istio.io.
    pub struct ListenerMatch {
        port_number: u32,
        port_name: String,
        filter_chain: Option<FilterChainMatch>,
        listener_filter: String,
        name: String,
    }
}

spec! {
    /// `EnvoyFilter.ListenerMatch.FilterChainMatch` of networking.istio.io.
    pub struct FilterChainMatch {
        name: String,
        sni: String,
        transport_protocol: String,
        application_protocols: String,
        filter: Option<ListenerMatchFilterMatch>,
        destination_port: u32,
        transport_socket: String,
    }
}

spec! {
    /// `EnvoyFilter.ListenerMatch.FilterMatch` of networking.istio.io.
    pub struct ListenerMatchFilterMatch {
        name: String,
        sub_filter: Option<ListenerMatchSubFilterMatch>,
    }
}

spec! {
    /// `EnvoyFilter.ListenerMatch.SubFilterMatch` of networking.istio.io.
    pub struct ListenerMatchSubFilterMatch {
        name: String,
    }
}

spec! {
    /// `EnvoyFilter.WaypointMatch` of networking.istio.io.
    pub struct WaypointMatch {
        port_number: u32,
        route: Option<WaypointMatchRouteMatch>,
        filter: Option<WaypointMatchFilterMatch>,
    }
}

spec! {
    /// `EnvoyFilter.WaypointMatch.RouteMatch` of networking.istio.io.
    pub struct WaypointMatchRouteMatch {
        name: String,
    }
}

spec! {
    /// `EnvoyFilter.WaypointMatch.FilterMatch` of networking.istio.io.
    pub struct WaypointMatchFilterMatch {
        name: String,
        sub_filter: Option<WaypointMatchFilterMatchSubFilterMatch>,
    }
}

spec! {
    /// `EnvoyFilter.WaypointMatch.FilterMatch.SubFilterMatch` of networking.istio.io.
    pub struct WaypointMatchFilterMatchSubFilterMatch {
        name: String,
    }
}

spec! {
    /// `EnvoyFilter.Patch` of networking.istio.io.
    pub struct Patch {
        operation: Operation,
        value: Option<Value>,
        filter_class: FilterClass,
    }
}

spec_enum! {
    /// `EnvoyFilter.Patch.Operation` of networking.istio.io.
    pub enum Operation {
        Invalid = 0 "INVALID",
        Merge = 1 "MERGE",
        Add = 2 "ADD",
        Remove = 3 "REMOVE",
        InsertBefore = 4 "INSERT_BEFORE",
        InsertAfter = 5 "INSERT_AFTER",
        InsertFirst = 6 "INSERT_FIRST",
        Replace = 7 "REPLACE",
        MergeAndReplaceList = 8 "MERGE_AND_REPLACE_LIST",
    }
}

spec_enum! {
    /// `EnvoyFilter.Patch.FilterClass` of networking.istio.io.
    pub enum FilterClass {
        Unspecified = 0 "UNSPECIFIED",
        Authn = 1 "AUTHN",
        Authz = 2 "AUTHZ",
        Stats = 3 "STATS",
    }
}

spec! {
    /// `EnvoyFilter.EnvoyConfigObjectMatch` of networking.istio.io.
    pub struct EnvoyConfigObjectMatch {
        context: PatchContext,
        proxy: Option<ProxyMatch>,
    } oneof {
        object_types: ObjectTypes,
    }
}

spec_oneof! {
    /// The one choice of `object_types` in `EnvoyFilter.EnvoyConfigObjectMatch` of networking.istio.io.
    pub enum ObjectTypes {
        Listener(ListenerMatch): listener,
        RouteConfiguration(RouteConfigurationMatch): route_configuration,
        Cluster(ClusterMatch): cluster,
        Waypoint(WaypointMatch): waypoint,
    }
}

spec! {
    /// `EnvoyFilter.EnvoyConfigObjectPatch` of networking.istio.io.
    pub struct EnvoyConfigObjectPatch {
        apply_to: ApplyTo,
        r#match: Option<EnvoyConfigObjectMatch>,
        patch: Option<Patch>,
    }
}

spec_enum! {
    /// `EnvoyFilter.ApplyTo` of networking.istio.io.
    pub enum ApplyTo {
        Invalid = 0 "INVALID",
        Listener = 1 "LISTENER",
        FilterChain = 2 "FILTER_CHAIN",
        NetworkFilter = 3 "NETWORK_FILTER",
        HttpFilter = 4 "HTTP_FILTER",
        RouteConfiguration = 5 "ROUTE_CONFIGURATION",
        VirtualHost = 6 "VIRTUAL_HOST",
        HttpRoute = 7 "HTTP_ROUTE",
        Cluster = 8 "CLUSTER",
        ExtensionConfig = 9 "EXTENSION_CONFIG",
        Bootstrap = 10 "BOOTSTRAP",
        ListenerFilter = 11 "LISTENER_FILTER",
    }
}

spec_enum! {
    /// `EnvoyFilter.PatchContext` of networking.istio.io.
    pub enum PatchContext {
        Any = 0 "ANY",
        SidecarInbound = 1 "SIDECAR_INBOUND",
        SidecarOutbound = 2 "SIDECAR_OUTBOUND",
        Gateway = 3 "GATEWAY",
        Waypoint = 4 "WAYPOINT",
    }
}
