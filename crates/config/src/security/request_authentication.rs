//! The request authentication declarations of security.istio.io: what its fields are and how they are read.

use crate::decode::schema::{spec, spec_enum};
use crate::duration::Duration;
use crate::selector::{PolicyTargetReference, WorkloadSelector};

spec! {
    /// `RequestAuthentication` of security.istio.io.
    pub struct RequestAuthentication {
        selector: Option<WorkloadSelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        jwt_rules: Vec<JwtRule>,
    }
}

spec! {
    /// `JWTRule` of security.istio.io.
    pub struct JwtRule {
        issuer: String,
        audiences: Vec<String>,
        jwks_uri: String,
        jwks: String,
        from_headers: Vec<JwtHeader>,
        from_params: Vec<String>,
        output_payload_to_header: String,
        from_cookies: Vec<String>,
        forward_original_token: bool,
        output_claim_to_headers: Vec<ClaimToHeader>,
        timeout: Option<Duration>,
        space_delimited_claims: Vec<String>,
        presence: Presence,
    }
}

spec_enum! {
    /// `JWTRule.Presence` of security.istio.io.
    pub enum Presence {
        Optional = 0 "OPTIONAL",
        Required = 1 "REQUIRED",
    }
}

spec! {
    /// `JWTHeader` of security.istio.io.
    pub struct JwtHeader {
        name: String,
        prefix: String,
    }
}

spec! {
    /// `ClaimToHeader` of security.istio.io.
    pub struct ClaimToHeader {
        header: String,
        claim: String,
    }
}
