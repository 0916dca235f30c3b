//! The traffic extension declarations of extensions.istio.io: what its fields are and how they are read.

use super::{FailStrategy, PluginType, PullPolicy, VmConfig};
use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::selector::{PolicyTargetReference, PortSelector, WorkloadMode, WorkloadSelector};
use crate::value::Value;

spec! {
    /// `TrafficExtension` of extensions.istio.io.
    pub struct TrafficExtension {
        selector: Option<WorkloadSelector>,
        target_refs: Vec<PolicyTargetReference>,
        phase: ExecutionPhase,
        priority: Option<i32>,
        r#match: Vec<TrafficSelector>,
    } oneof {
        filter_config: FilterConfig,
    }
}

spec_oneof! {
    /// The one choice of `filter_config` in `TrafficExtension` of extensions.istio.io.
    pub enum FilterConfig {
        Wasm(WasmConfig): wasm,
        Lua(LuaConfig): lua,
    }
}

spec_enum! {
    /// `TrafficExtension.ExecutionPhase` of extensions.istio.io.
    pub enum ExecutionPhase {
        Unspecified = 0 "UNSPECIFIED",
        Authn = 1 "AUTHN",
        Authz = 2 "AUTHZ",
        Stats = 3 "STATS",
    }
}

spec! {
    /// `WasmConfig` of extensions.istio.io.
    pub struct WasmConfig {
        url: String,
        sha256: String,
        image_pull_policy: PullPolicy,
        image_pull_secret: String,
        verification_key: String,
        plugin_config: Option<Value>,
        plugin_name: String,
        fail_strategy: FailStrategy,
        vm_config: Option<VmConfig>,
        r#type: PluginType,
    }
}

spec! {
    /// `LuaConfig` of extensions.istio.io.
    pub struct LuaConfig {
        inline_code: String,
    }
}

spec! {
    /// `TrafficSelector` of extensions.istio.io.
    pub struct TrafficSelector {
        mode: WorkloadMode,
        ports: Vec<PortSelector>,
    }
}
