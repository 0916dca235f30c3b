//! How objects of the Gateway API name others, and who may.

use crate::decode::schema::spec;

/// The group of the Gateway API.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// A field, or what an API server fills in if it is absent.
fn or<'a>(field: Option<&'a str>, default: &'a str) -> &'a str {
    field.unwrap_or(default)
}

spec! {
    /// What a route is attached to.
    pub struct ParentReference {
        group: Option<String>,
        kind: Option<String>,
        namespace: Option<String>,
        name: String,
        section_name: Option<String>,
        port: Option<i32>,
    }
}

impl ParentReference {
    /// The group of the parent; the Gateway API's own by default.
    pub fn group(&self) -> &str {
        or(self.group.as_deref(), GROUP)
    }

    /// The kind of the parent; `Gateway` by default.
    pub fn kind(&self) -> &str {
        or(self.kind.as_deref(), "Gateway")
    }
}

spec! {
    /// An object of any kind, maybe in another namespace.
    pub struct ObjectReference {
        group: String,
        kind: String,
        name: String,
        namespace: Option<String>,
    }
}

spec! {
    /// A secret (or another kind) with a certificate.
    pub struct SecretObjectReference {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
    }
}

impl SecretObjectReference {
    /// The group; the core of Kubernetes by default.
    pub fn group(&self) -> &str {
        or(self.group.as_deref(), "")
    }

    /// The kind; `Secret` by default.
    pub fn kind(&self) -> &str {
        or(self.kind.as_deref(), "Secret")
    }
}

spec! {
    /// A service (or another kind) that requests may be sent to.
    pub struct BackendObjectReference {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
        port: Option<i32>,
    }
}

impl BackendObjectReference {
    /// The group; the core of Kubernetes by default.
    pub fn group(&self) -> &str {
        or(self.group.as_deref(), "")
    }

    /// The kind; `Service` by default.
    pub fn kind(&self) -> &str {
        or(self.kind.as_deref(), "Service")
    }
}

spec! {
    /// An object of the same namespace that a policy holds for.
    pub struct PolicyTargetReference {
        group: String,
        kind: String,
        name: String,
        section_name: Option<String>,
    }
}

spec! {
    /// `ReferenceGrant`: objects of its namespace that others may refer to.
    pub struct ReferenceGrant {
        from: Vec<ReferenceGrantFrom>,
        to: Vec<ReferenceGrantTo>,
    }
}

spec! {
    /// Who may refer.
    pub struct ReferenceGrantFrom {
        group: String,
        kind: String,
        namespace: String,
    }
}

spec! {
    /// To what; every name if none is given.
    pub struct ReferenceGrantTo {
        group: String,
        kind: String,
        name: Option<String>,
    }
}
