//! TLS towards the collectors of traces, metrics and access logs that ProxyConfig names.

use serde_json::{Map, Value, json};

use crate::node::Node;

/// The transport socket for ClientTLSSettings, as pkg/bootstrap/option/convert.go: tlsContextConvert.
/// `None` when the settings ask for no TLS.
pub(super) fn transport_socket(
    settings: &Value,
    default_sni: &str,
    node: &Node,
    http2: bool,
) -> Option<Value> {
    let text = |field: &str| settings.get(field).and_then(Value::as_str).unwrap_or_default();
    let or_metadata = |key: &str, field: &str| {
        let told = node.text(key);
        if told.is_empty() { text(field).to_owned() } else { told.to_owned() }
    };
    let root = or_metadata("TLS_CLIENT_ROOT_CERT", "caCertificates");
    let file_root = (!root.is_empty()).then(|| format!("file-root:{root}"));
    let (own, root, alpn, sni) = match text("mode") {
        "SIMPLE" => (None, file_root, "h2", text("sni")),
        "MUTUAL" => {
            let chain = or_metadata("TLS_CLIENT_CERT_CHAIN", "clientCertificate");
            let key = or_metadata("TLS_CLIENT_KEY", "privateKey");
            let own = (!chain.is_empty() && !key.is_empty()).then(|| format!("file-cert:{chain}~{key}"));
            (own, file_root, "h2", text("sni"))
        }
        "ISTIO_MUTUAL" => {
            let sni = if text("sni").is_empty() { default_sni } else { text("sni") };
            (Some("default".to_owned()), Some("ROOTCA".to_owned()), "istio,h2", sni)
        }
        _ => return None,
    };
    let mut validation = Map::new();
    let sans: Vec<Value> = settings
        .get("subjectAltNames")
        .and_then(Value::as_array)
        .map(|sans| sans.iter().map(|san| json!({ "exact": san })).collect())
        .unwrap_or_default();
    let checked = if sans.is_empty() { json!({}) } else { json!({ "match_subject_alt_names": sans }) };
    validation.insert("default_validation_context".to_owned(), checked);
    if let Some(root) = root {
        validation.insert("validation_context_sds_secret_config".to_owned(), sds_config(&root));
    }
    let mut common = Map::new();
    common.insert("combined_validation_context".to_owned(), Value::Object(validation));
    if let Some(own) = own {
        common.insert("tls_certificate_sds_secret_configs".to_owned(), json!([sds_config(&own)]));
    }
    if http2 {
        common.insert("alpn_protocols".to_owned(), Value::from(alpn.split(',').collect::<Vec<_>>()));
    }
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    });
    if !sni.is_empty()
        && let Some(fields) = context.as_object_mut()
    {
        fields.insert("sni".to_owned(), Value::from(sni));
    }
    Some(json!({ "name": "envoy.transport_sockets.tls", "typed_config": context }))
}

/// How Envoy asks the agent for the secret called `name`.
pub(super) fn sds_config(name: &str) -> Value {
    json!({
        "name": name,
        "sds_config": {
            "api_config_source": {
                "api_type": "GRPC",
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "sds-grpc" } }],
                "set_node_on_first_message_only": true,
                "transport_api_version": "V3",
            },
            "resource_api_version": "V3",
        },
    })
}
