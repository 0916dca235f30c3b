//! Which names are asked for, and in which form the answers are kept.

use std::collections::BTreeMap;

use proto::reflect::from_json;

use super::*;

fn resource(type_url: &str, name: &str, json: &Value) -> Resource {
    let value = from_json(type_url, json).unwrap().into();
    Resource {
        name: name.to_owned(),
        aliases: Vec::new(),
        body: Any { type_url: type_url.to_owned(), value },
    }
}

/// Asks a control plane that has one resource of each type, and keeps the names it was asked for.
fn ask() -> (Value, BTreeMap<String, Vec<String>>) {
    let mut asked = BTreeMap::new();
    let document = envoy(&mut |url: &str, wanted: Wanted<'_>| {
        let names = match wanted {
            Wanted::Wildcard => vec!["*".to_owned()],
            Wanted::Named(names) => names.iter().cloned().collect(),
        };
        asked.insert(url.to_owned(), names);
        let secret = |name: &str| json!({"name": name, "sds_config": {"ads": {}}});
        match url {
            type_url::CLUSTER => vec![
                resource(
                    url,
                    "b",
                    &json!({"name": "b", "type": "EDS", "eds_cluster_config": {"service_name": "s"}}),
                ),
                resource(url, "a", &json!({"name": "a", "type": "EDS"})),
                resource(url, "c", &json!({"name": "c", "type": "STATIC"})),
            ],
            type_url::LISTENER => vec![resource(
                url,
                "l",
                &json!({"name": "l", "filter_chains": [{
                    "transport_socket": {"typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                        "common_tls_context": {"tls_certificate_sds_secret_configs": [secret("kubernetes://c"), secret("ROOTCA")]}
                    }},
                    "filters": [{"typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        "rds": {"route_config_name": "80"},
                        "http_filters": [{"name": "wasm", "config_discovery": {"type_urls": ["x"]}}, {"name": "router"}]
                    }}]
                }]}),
            )],
            _ => Vec::new(),
        }
    });
    (document, asked)
}

#[test]
fn names_follow_from_what_was_received() {
    let (_, asked) = ask();
    let names = |url: &str| asked[url].clone();
    assert_eq!(names(type_url::CLUSTER), ["*"]);
    assert_eq!(names(type_url::ENDPOINTS), ["a", "s"]);
    assert_eq!(names(type_url::ROUTE), ["80"]);
    assert_eq!(names(type_url::EXTENSION), ["wasm"]);
    assert_eq!(names(type_url::SECRET), ["kubernetes://c"]);
}

#[test]
fn resources_are_sorted_and_secrets_are_listed_by_name() {
    let (document, _) = ask();
    let clusters: Vec<_> =
        document["clusters"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(clusters, ["a", "b", "c"]);
    assert_eq!(document["secrets"], json!(["ROOTCA", "kubernetes://c"]));
}
