//! What is replaced, what is merged, what is refused.

use super::*;
use crate::duration::Duration;
use crate::mesh::{ExtensionProviderProvider, OutboundTrafficPolicyMode};

fn mesh(text: &str) -> MeshConfig {
    let (mesh, problems) = parse_mesh_config("mesh.yaml", text).unwrap();
    assert_eq!(problems, []);
    mesh
}

#[test]
fn an_empty_text_is_the_defaults() {
    for text in ["", "{}", "---\n# nothing\n"] {
        assert_eq!(mesh(text), default_mesh_config());
    }
}

#[test]
fn fields_replace_and_the_rest_stays() {
    let mesh =
        mesh("rootNamespace: root\nconnect_timeout: 1s\nenableAutoMtls: false\noutboundTrafficPolicy: {}\n");
    assert_eq!(mesh.root_namespace, "root");
    assert_eq!(mesh.connect_timeout, Some(Duration::from_secs(1)));
    assert_eq!(mesh.enable_auto_mtls, Some(false));
    // a message is replaced as a whole, so its mode falls back to the first value
    assert_eq!(mesh.outbound_traffic_policy.unwrap().mode, OutboundTrafficPolicyMode::RegistryOnly);
    assert_eq!(mesh.ingress_class, "istio");
}

#[test]
fn the_default_config_is_merged_field_by_field() {
    let base = mesh("defaultConfig:\n  proxyMetadata: {A: \"1\", B: \"2\"}\n  concurrency: 3\n");
    let (merged, _) =
        apply_mesh_config(&base, "m", "defaultConfig:\n  proxyMetadata: {B: \"3\"}\n  statusPort: 1\n")
            .unwrap();
    let config = merged.default_config.unwrap();
    assert_eq!(config.concurrency, Some(3));
    assert_eq!(config.status_port, 1);
    assert_eq!(config.discovery_address, "istiod.istio-system.svc:15012");
    let metadata: Vec<_> = config.proxy_metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(metadata, [("A", "1"), ("B", "3")]);
}

#[test]
fn providers_are_merged_by_name() {
    let mesh = mesh(concat!(
        "extensionProviders:\n",
        "- name: envoy\n  envoyFileAccessLog: {path: /dev/null}\n",
        "- name: mine\n  zipkin: {service: z.example.com, port: 9411}\n",
    ));
    let names: Vec<&str> = mesh.extension_providers.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["prometheus", "stackdriver", "envoy", "mine"]);
    let Some(ExtensionProviderProvider::EnvoyFileAccessLog(log)) = &mesh.extension_providers[2].provider
    else {
        panic!("{:?}", mesh.extension_providers[2]);
    };
    assert_eq!(log.path, "/dev/null");
}

#[test]
fn default_providers_are_merged_field_by_field_and_aliases_as_a_set() {
    let base = mesh("defaultProviders: {metrics: [prometheus]}\ntrustDomainAliases: [z, a]\n");
    let text = "defaultProviders: {tracing: [zipkin]}\ntrustDomainAliases: [b, a]\n";
    let (merged, _) = apply_mesh_config(&base, "m", text).unwrap();
    let providers = merged.default_providers.unwrap();
    assert_eq!((providers.metrics, providers.tracing), (vec!["prometheus".into()], vec!["zipkin".into()]));
    assert_eq!(merged.trust_domain_aliases, ["a", "b", "z"]);
}

#[test]
fn proxy_headers_keep_what_the_new_ones_leave_open() {
    let base =
        mesh("defaultConfig: {proxyHeaders: {server: {value: x}, requestId: {}}}").default_config.unwrap();
    let (config, _) =
        apply_proxy_config(&base, "annotation", "proxyHeaders: {attemptCount: {disabled: true}}").unwrap();
    let headers = config.proxy_headers.unwrap();
    assert_eq!(headers.server.unwrap().value, "x");
    assert!(headers.request_id.is_some());
    assert_eq!(headers.attempt_count.unwrap().disabled, Some(true));
}

#[test]
fn errors_have_a_place_and_unknown_fields_are_warnings() {
    let problems = parse_mesh_config("mesh.yaml", "a: 1\nconnectTimeout: soon\n").unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "mesh.yaml:1:1: a: unknown field (it is ignored)",
            "mesh.yaml:2:17: connectTimeout: the string \"soon\" is not a duration: a number was expected \
             (write it like 1.5s, 250ms or 1h)",
        ]
    );
    let problems = parse_mesh_config("mesh.yaml", "defaultConfig:\n  statusPort: x\n").unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].line, problems[0].column), (2, 15));
    let (_, warnings) = parse_mesh_config("m", "defaultConfig: {concurency: 2}").unwrap();
    assert_eq!(warnings[0].hint, "did you mean \"concurrency\"?");
}

#[test]
fn networks_are_read() {
    let text = "networks:\n  n1:\n    endpoints:\n    - fromRegistry: c1\n    gateways:\n    - address: 1.1.1.1\n      port: 15443\n";
    let (networks, _) = parse_mesh_networks("n", text, true).unwrap();
    assert_eq!(networks.networks["n1"].gateways[0].port, 15443);
    assert!(parse_mesh_networks("n", "networks: [", true).is_err());
}

#[test]
fn values_that_would_break_proxies_are_refused_with_their_place() {
    let cases = [
        ("proxyListenPort: 0", "m:1:1: proxyListenPort: 0 is not a port (1 to 65535)"),
        ("connectTimeout: 0s", "m:1:1: connectTimeout: 0s is too short (at least 1ms)"),
        ("connectTimeout: 2h", "m:1:1: connectTimeout: it is too long (at most 1h)"),
        ("connectTimeout: 1.0000001s", "m:1:1: connectTimeout: 1.0000001s is too precise (round it)"),
        ("trustDomain: a_b", "m:1:1: trustDomain: \"a_b\" is not a trust domain (write it like a DNS name)"),
        (
            "defaultConfig: {discoveryAddress: istiod}",
            "m:1:17: defaultConfig.discoveryAddress: \"istiod\" is not an address (write it like host:port)",
        ),
        (
            "defaultConfig: {drainDuration: 1.5s}",
            "m:1:17: defaultConfig.drainDuration: 1.5s is too precise (round it)",
        ),
        (
            "defaultConfig: {tracing: {zipkin: {address: \"\"}}}",
            "m:1:36: defaultConfig.tracing.zipkin.address: \"\" is not an address (write it like host:port)",
        ),
        (
            "serviceSettings: [{hosts: [\"*.a\", \"a.*\"]}]",
            "m:1:35: serviceSettings[0].hosts[1]: \"a.*\" is not a host (write a name or *.name)",
        ),
        (
            "defaultConfig: {connectionSettings: {http2InitialStreamWindowSize: 1}}",
            "m:1:38: defaultConfig.connectionSettings.http2InitialStreamWindowSize: 1 is too small (at least 65535)",
        ),
        (
            "defaultInboundHttpRetryPolicy: {backoff: 1s}",
            "m:1:33: defaultInboundHttpRetryPolicy.backoff: there is no backoff without attempts (remove it or set \
             attempts)",
        ),
    ];
    for (text, want) in cases {
        let problems = parse_mesh_config("m", text).expect_err(text);
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [want]);
    }
    mesh(
        "defaultConfig: {tracing: {zipkin: {address: \"$(HOST_IP):9411\"}}, discoveryAddress: \"[::1]:15012\"}",
    );
}

#[test]
fn networks_with_bad_addresses_are_refused() {
    let text = "networks:\n  n1:\n    endpoints: [{fromCidr: 10.0.0.0/33}, {fromRegistry: a.b}]\n    gateways: [{address: 1.1.1.1}]\n";
    let problems = parse_mesh_networks("n", text, true).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "networks.n1.endpoints[0].fromCidr",
            "networks.n1.endpoints[1].fromRegistry",
            "networks.n1.gateways[0].port"
        ]
    );
    assert_eq!((problems[2].line, problems[2].column), (4, 16));
}

#[test]
fn the_places_of_a_mesh_configuration_are_those_of_its_text() {
    let text = "# first\nconnectTimeout: 3s\ndefaultConfig:\n  statusPort: 1\n";
    let places = mesh_config_places("m", text).unwrap();
    assert_eq!(places.locate("connectTimeout").unwrap().to_string(), "m:2:1");
    assert_eq!(places.locate("defaultConfig.statusPort").unwrap().to_string(), "m:4:3");
    assert_eq!(places.locate("trustDomain"), None);
    assert!(mesh_config_places("m", "a: [").is_none());
}
