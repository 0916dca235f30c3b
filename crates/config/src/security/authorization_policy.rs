//! The authorization policy declarations of security.istio.io: what its fields are and how they are read.

use crate::decode::schema::{spec, spec_enum, spec_oneof};
use crate::selector::{PolicyTargetReference, WorkloadSelector};

spec! {
    /// `AuthorizationPolicy` of security.istio.io.
    pub struct AuthorizationPolicy {
        selector: Option<WorkloadSelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        rules: Vec<Rule>,
        action: Action,
    } oneof {
        action_detail: ActionDetail,
    }
}

spec_oneof! {
    /// The one choice of `action_detail` in `AuthorizationPolicy` of security.istio.io.
    pub enum ActionDetail {
        Provider(ExtensionProvider): provider,
    }
}

spec! {
    /// `AuthorizationPolicy.ExtensionProvider` of security.istio.io.
    pub struct ExtensionProvider {
        name: String,
    }
}

spec_enum! {
    /// `AuthorizationPolicy.Action` of security.istio.io.
    pub enum Action {
        Allow = 0 "ALLOW",
        Deny = 1 "DENY",
        Audit = 2 "AUDIT",
        Custom = 3 "CUSTOM",
    }
}

spec! {
    /// `Rule` of security.istio.io.
    pub struct Rule {
        from: Vec<From>,
        to: Vec<To>,
        when: Vec<Condition>,
    }
}

spec! {
    /// `Rule.From` of security.istio.io.
    pub struct From {
        source: Option<Source>,
    }
}

spec! {
    /// `Rule.To` of security.istio.io.
    pub struct To {
        operation: Option<Operation>,
    }
}

spec! {
    /// `Source` of security.istio.io.
    pub struct Source {
        principals: Vec<String>,
        not_principals: Vec<String>,
        request_principals: Vec<String>,
        not_request_principals: Vec<String>,
        namespaces: Vec<String>,
        not_namespaces: Vec<String>,
        service_accounts: Vec<String>,
        not_service_accounts: Vec<String>,
        ip_blocks: Vec<String>,
        not_ip_blocks: Vec<String>,
        remote_ip_blocks: Vec<String>,
        not_remote_ip_blocks: Vec<String>,
        trust_domains: Vec<String>,
        not_trust_domains: Vec<String>,
    }
}

spec! {
    /// `Operation` of security.istio.io.
    pub struct Operation {
        hosts: Vec<String>,
        not_hosts: Vec<String>,
        ports: Vec<String>,
        not_ports: Vec<String>,
        methods: Vec<String>,
        not_methods: Vec<String>,
        paths: Vec<String>,
        not_paths: Vec<String>,
    }
}

spec! {
    /// `Condition` of security.istio.io.
    pub struct Condition {
        key: String,
        values: Vec<String>,
        not_values: Vec<String>,
    }
}
