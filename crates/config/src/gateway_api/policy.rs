//! What is attached to backends: TLS, retry budgets, external hosts, inference pools.

use std::collections::BTreeMap;

use super::{ObjectReference, PolicyTargetReference, SecretObjectReference, SessionPersistence};
use crate::decode::schema::spec;
use crate::duration::Duration;
use crate::labels::Labels;

spec! {
    /// `BackendTLSPolicy`: how gateways call a backend over TLS.
    pub struct BackendTlsPolicy {
        target_refs: Vec<PolicyTargetReference>,
        validation: BackendTlsPolicyValidation,
        options: BTreeMap<String, String>,
    }
}

spec! {
    /// Who the backend has to prove to be, and who signs for it.
    pub struct BackendTlsPolicyValidation {
        hostname: String,
        ca_certificate_refs: Vec<ObjectReference>,
        well_known_ca_certificates("wellKnownCACertificates"): Option<String>,
        subject_alt_names: Vec<SubjectAltName>,
    }
}

spec! {
    /// A name in a certificate.
    pub struct SubjectAltName {
        r#type: String,
        hostname: String,
        uri: String,
    }
}

spec! {
    /// `XBackendTrafficPolicy`: retries and sessions of a backend.
    pub struct BackendTrafficPolicy {
        target_refs: Vec<PolicyTargetReference>,
        retry_constraint: Option<RetryConstraint>,
        session_persistence: Option<SessionPersistence>,
    }
}

spec! {
    /// How many retries there may be.
    pub struct RetryConstraint {
        budget: Option<BudgetDetails>,
        min_retry_rate: Option<RequestRate>,
    }
}

spec! {
    /// Retries as a part of all requests of a span of time; 20 percent of 10 s by default.
    pub struct BudgetDetails {
        percent: Option<i32>,
        interval: Option<Duration>,
    }
}

spec! {
    /// Requests in a span of time; 10 in 1 s by default.
    pub struct RequestRate {
        count: Option<i32>,
        interval: Option<Duration>,
    }
}

spec! {
    /// `XBackend`: a host outside of the cluster.
    pub struct Backend {
        r#type: String,
        protocol: String,
        port: Option<BackendPort>,
        external_hostname: Option<ExternalHostname>,
        tls: Option<BackendTls>,
    }
}

spec! {
    /// The port of a backend.
    pub struct BackendPort {
        name: String,
        port: i32,
    }
}

spec! {
    /// The host of a backend.
    pub struct ExternalHostname {
        hostname: String,
    }
}

spec! {
    /// How a backend is called over TLS: mode `None`, `ServerOnly` or `ClientAndServer`.
    pub struct BackendTls {
        mode: String,
        client_certificate_ref: Option<SecretObjectReference>,
        validation: Option<BackendTlsPolicyValidation>,
    }
}

spec! {
    /// `InferencePool`: pods that serve a model, and who picks one.
    pub struct InferencePool {
        selector: PoolSelector,
        target_ports: Vec<PoolPort>,
        app_protocol: Option<String>,
        endpoint_picker_ref: Option<EndpointPickerReference>,
    }
}

spec! {
    /// Which pods.
    pub struct PoolSelector {
        match_labels: Labels,
    }
}

spec! {
    /// A port of the pods or of the picker.
    pub struct PoolPort {
        number: i32,
    }
}

spec! {
    /// The service that picks; failure mode `FailClose` (by default) or `FailOpen`.
    pub struct EndpointPickerReference {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        port: Option<PoolPort>,
        failure_mode: Option<String>,
    }
}
