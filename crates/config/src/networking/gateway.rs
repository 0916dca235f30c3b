//! The gateway declarations of networking.istio.io: what its fields are and how they are read.

use crate::decode::schema::{spec, spec_enum};
use crate::labels::Labels;

spec! {
    /// `Gateway` of networking.istio.io.
    pub struct Gateway {
        servers: Vec<Server>,
        selector: Labels,
    }
}

spec! {
    /// `Server` of networking.istio.io.
    pub struct Server {
        port: Option<Port>,
        bind: String,
        hosts: Vec<String>,
        tls: Option<ServerTlsSettings>,
        default_endpoint: String,
        name: String,
    }
}

spec! {
    /// `Port` of networking.istio.io.
    pub struct Port {
        number: u32,
        protocol: String,
        name: String,
        target_port: u32,
    }
}

spec! {
    /// `ServerTLSSettings` of networking.istio.io.
    pub struct ServerTlsSettings {
        https_redirect: bool,
        mode: ServerTlsSettingsTlsMode,
        server_certificate: String,
        private_key: String,
        ca_certificates: String,
        ca_crl: String,
        credential_name: String,
        credential_names: Vec<String>,
        ca_cert_credential_name: String,
        tls_certificates: Vec<TlsCertificate>,
        subject_alt_names: Vec<String>,
        verify_certificate_spki: Vec<String>,
        verify_certificate_hash: Vec<String>,
        min_protocol_version: TlsProtocol,
        max_protocol_version: TlsProtocol,
        cipher_suites: Vec<String>,
        insecure_skip_verify: Option<bool>,
        ecdh_curves: Vec<String>,
    }
}

spec! {
    /// `ServerTLSSettings.TLSCertificate` of networking.istio.io.
    pub struct TlsCertificate {
        server_certificate: String,
        private_key: String,
        ca_certificates: String,
    }
}

spec_enum! {
    /// `ServerTLSSettings.TLSmode` of networking.istio.io.
    pub enum ServerTlsSettingsTlsMode {
        Passthrough = 0 "PASSTHROUGH",
        Simple = 1 "SIMPLE",
        Mutual = 2 "MUTUAL",
        AutoPassthrough = 3 "AUTO_PASSTHROUGH",
        IstioMutual = 4 "ISTIO_MUTUAL",
        OptionalMutual = 5 "OPTIONAL_MUTUAL",
    }
}

spec_enum! {
    /// `ServerTLSSettings.TLSProtocol` of networking.istio.io.
    pub enum TlsProtocol {
        TlsAuto = 0 "TLS_AUTO",
        Tlsv10 = 1 "TLSV1_0",
        Tlsv11 = 2 "TLSV1_1",
        Tlsv12 = 3 "TLSV1_2",
        Tlsv13 = 4 "TLSV1_3",
    }
}
