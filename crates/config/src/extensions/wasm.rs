//! The wasm declarations of extensions.istio.io: what its fields are and how they are read.

use crate::decode::schema::{spec, spec_enum};
use crate::selector::{PolicyTargetReference, PortSelector, WorkloadMode, WorkloadSelector};
use crate::value::Value;

spec! {
    /// `WasmPlugin` of extensions.istio.io.
    pub struct WasmPlugin {
        selector: Option<WorkloadSelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        url: String,
        sha256: String,
        image_pull_policy: PullPolicy,
        image_pull_secret: String,
        verification_key: String,
        plugin_config: Option<Value>,
        plugin_name: String,
        phase: PluginPhase,
        priority: Option<i32>,
        fail_strategy: FailStrategy,
        vm_config: Option<VmConfig>,
        r#match: Vec<WasmPluginTrafficSelector>,
        r#type: PluginType,
    }
}

spec! {
    /// `WasmPlugin.TrafficSelector` of extensions.istio.io.
    pub struct WasmPluginTrafficSelector {
        mode: WorkloadMode,
        ports: Vec<PortSelector>,
    }
}

spec! {
    /// `VmConfig` of extensions.istio.io.
    pub struct VmConfig {
        env: Vec<EnvVar>,
    }
}

spec! {
    /// `EnvVar` of extensions.istio.io.
    pub struct EnvVar {
        name: String,
        value_from: EnvValueSource,
        value: String,
    }
}

spec_enum! {
    /// `PluginType` of extensions.istio.io.
    pub enum PluginType {
        UnspecifiedPluginType = 0 "UNSPECIFIED_PLUGIN_TYPE",
        Http = 1 "HTTP",
        Network = 2 "NETWORK",
    }
}

spec_enum! {
    /// `PluginPhase` of extensions.istio.io.
    pub enum PluginPhase {
        UnspecifiedPhase = 0 "UNSPECIFIED_PHASE",
        Authn = 1 "AUTHN",
        Authz = 2 "AUTHZ",
        Stats = 3 "STATS",
    }
}

spec_enum! {
    /// `PullPolicy` of extensions.istio.io.
    pub enum PullPolicy {
        UnspecifiedPolicy = 0 "UNSPECIFIED_POLICY",
        Ifnotpresent = 1 "IfNotPresent",
        Always = 2 "Always",
    }
}

spec_enum! {
    /// `EnvValueSource` of extensions.istio.io.
    pub enum EnvValueSource {
        Inline = 0 "INLINE",
        Host = 1 "HOST",
    }
}

spec_enum! {
    /// `FailStrategy` of extensions.istio.io.
    pub enum FailStrategy {
        FailClose = 0 "FAIL_CLOSE",
        FailOpen = 1 "FAIL_OPEN",
        FailReload = 2 "FAIL_RELOAD",
    }
}
