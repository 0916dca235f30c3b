//! The list of switches, and how a set of them is read from the environment's pairs.

use super::declare::{Refusal, Switch, SwitchValue as _, assign, describe, switches};
use crate::decode::reader::nearest;
use crate::duration::Duration;
use crate::problem::{Problem, Severity};

fn text(default: &str) -> String {
    default.to_owned()
}

switches! {    // who we are
    CLUSTER_ID cluster_id: String = text("Kubernetes"), "The cluster this control plane belongs to.";
    REVISION revision: String = text(""), "The revision of this control plane; empty is the default one.";
    POD_NAME pod_name: String = text(""), "The name of the pod it runs in.";
    POD_NAMESPACE pod_namespace: String = text("istio-system"), "The namespace it runs in.";
    K_REVISION k_revision: String = text(""), "The revision under KNative, if it runs there.";
    PLATFORM platform: String = text(""), "The platform it runs on: openshift, gcp or nothing special.";
    ISTIOD_CUSTOM_HOST istiod_custom_host: String = text(""),
        "More names for its own certificate, separated by commas.";
    EXTERNAL_ISTIOD external_istiod: bool = false, "It serves clusters it does not run in, as their CA too.";
    ISTIO_WATCH_NAMESPACE istio_watch_namespace: String = text(""),
        "The only namespace to watch; empty is all.";
    ISTIO_KUBE_CLIENT_CONTENT_TYPE istio_kube_client_content_type: String = text("protobuf"),
        "What to speak with API servers: protobuf or json.";
    INJECTION_WEBHOOK_CONFIG_NAME injection_webhook_config_name: String = text("istio-sidecar-injector"),
        "The MutatingWebhookConfiguration to keep the CA bundle in.";
    VALIDATION_WEBHOOK_CONFIG_NAME validation_webhook_config_name: String = text("istio-istio-system"),
        "The ValidatingWebhookConfiguration to keep the CA bundle in; empty is none.";
    INJECT_ENABLED inject_enabled: bool = true, "The injection webhook is served.";
    SHARED_MESH_CONFIG shared_mesh_config: String = text(""),
        "A config map whose mesh configuration lies below the own one.";
    METRICS_LOCALHOST_ACCESS_ONLY metrics_localhost_access_only: bool = false,
        "Metrics are only told to the own pod.";
    ENABLE_LEADER_ELECTION enable_leader_election: bool = true,
        "Writers wait until they are elected; off only for a single replica.";
    UNSAFE_PILOT_ENABLE_RUNTIME_ASSERTIONS unsafe_pilot_enable_runtime_assertions: bool = false,
        "Costly checks that abort on a contradiction; for tests.";
    K8S_INGRESS_NS k8s_ingress_ns: String = text("istio-system"),
        "The namespace in which the Ingress gateway runs.";
    KUBERNETES_SERVICE_HOST kubernetes_service_host: String = text(""), "Set by Kubernetes inside a cluster.";
    GRPC_KEEPALIVE_INTERVAL grpc_keepalive_interval: Duration = Duration::from_secs(30),
        "How often idle gRPC connections are pinged.";
    GRPC_KEEPALIVE_TIMEOUT grpc_keepalive_timeout: Duration = Duration::from_secs(10),
        "How long a ping may stay unanswered.";

    // certificate authority
    ENABLE_CA_SERVER enable_ca_server: bool = true, "It signs certificates of workloads.";
    ROOT_CA_DIR root_ca_dir: String = text("./etc/cacerts"), "The folder of a plugged-in CA.";
    USE_REMOTE_CERTS use_remote_certs: bool = false, "CA certificates are looked for in the config cluster.";
    DEFAULT_WORKLOAD_CERT_TTL default_workload_cert_ttl: Duration = Duration::from_secs(24 * 3600),
        "Lifetime of a certificate if the request names none.";
    MAX_WORKLOAD_CERT_TTL max_workload_cert_ttl: Duration = Duration::from_secs(2160 * 3600),
        "The longest lifetime a request may ask for.";
    CITADEL_SELF_SIGNED_CA_CERT_TTL citadel_self_signed_ca_cert_ttl: Duration = Duration::from_secs(87600 * 3600),
        "Lifetime of the self-signed root.";
    CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL citadel_self_signed_root_cert_check_interval: Duration = Duration::from_secs(3600),
        "How often the self-signed root is checked; zero or less is never.";
    CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE citadel_self_signed_root_cert_grace_period_percentile: i64 = 20,
        "The last part of the root's lifetime, in percent, in which it is renewed.";
    CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE citadel_self_signed_ca_rsa_key_size: i64 = 2048,
        "Bits of the self-signed root's RSA key.";
    CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR citadel_enable_jitter_for_root_cert_rotator: bool = true,
        "Replicas check the root at different times.";
    EXTERNAL_CA external_ca: String = text(""), "ISTIOD_RA_KUBERNETES_API makes Kubernetes sign.";
    K8S_SIGNER k8s_signer: String = text(""), "The signer of Kubernetes that signs.";
    CERT_SIGNER_DOMAIN cert_signer_domain: String = text(""),
        "The domain of signers that proxies may choose from.";
    TOKEN_ISSUER token_issuer: String = text(""), "The OIDC issuer whose tokens are taken.";
    AUDIENCE audience: String = text(""), "The audience those tokens must name.";
    TOKEN_AUDIENCES token_audiences: String = text("istio-ca"),
        "Audiences of which a token must name one, separated by commas.";
    JWT_RULE jwt_rule: String = text(""), "A JWT rule, as JSON, by which callers may prove themselves.";
    USE_CACERTS_FOR_SELF_SIGNED_CA use_cacerts_for_self_signed_ca: bool = false,
        "The self-signed root is kept in the secret cacerts.";
    PILOT_ENABLE_CA_CRL pilot_enable_ca_crl: bool = true,
        "The revocation list beside a plugged-in CA is handed to proxies.";
    ENABLE_CLUSTER_TRUST_BUNDLE_API enable_cluster_trust_bundle_api: bool = false,
        "Roots are published as a ClusterTrustBundle and not as config maps.";
    ISTIO_MULTIROOT_MESH istio_multiroot_mesh: bool = false,
        "Certificates of several roots are taken in mutual TLS of the mesh.";
    PILOT_CA_CERT_CONFIGMAP pilot_ca_cert_configmap: String = text("istio-ca-root-cert"),
        "The config map with the root in every namespace.";
    PILOT_CRL_CONFIGMAP pilot_crl_configmap: String = text("istio-ca-crl"),
        "The config map with the revocation list in every namespace.";
    PILOT_CERT_PROVIDER pilot_cert_provider: String = text("istiod"),
        "Who signs its own certificate: istiod, kubernetes, k8s.io/SIGNER, custom or none.";
    COMPLIANCE_POLICY compliance_policy: String = text(""),
        "A policy all TLS must follow: fips-140-2, fips-140-3 or pqc.";

    // security
    XDS_AUTH xds_auth: bool = true, "Callers of xDS have to prove who they are.";
    XDS_AUTH_PLAINTEXT xds_auth_plaintext: bool = false, "Also on the port without TLS.";
    PILOT_ENABLE_XDS_IDENTITY_CHECK pilot_enable_xds_identity_check: bool = true,
        "A proxy may only ask for its own namespace and account.";
    TRUSTED_GATEWAY_CIDR trusted_gateway_cidr: String = text(""),
        "Networks of gateways whose XFCC header is believed, separated by commas.";
    CA_TRUSTED_NODE_ACCOUNTS ca_trusted_node_accounts: String = text(""),
        "Accounts (namespace/name) that may ask for certificates of pods on their node, separated by commas.";
    PILOT_SKIP_VALIDATE_TRUST_DOMAIN pilot_skip_validate_trust_domain: bool = false,
        "Peers of other trust domains are taken in mutual TLS.";
    PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS pilot_enable_multiple_custom_authz_providers: bool = false,
        "A workload may have several CUSTOM authorizers.";
    PILOT_JWT_ENABLE_REMOTE_JWKS pilot_jwt_enable_remote_jwks: String = text("false"),
        "Who fetches keys of JWT issuers: istiod (or false), hybrid (or true), envoy.";
    PILOT_JWT_PUB_KEY_REFRESH_INTERVAL pilot_jwt_pub_key_refresh_interval: Duration = Duration::from_secs(20 * 60),
        "How often keys of JWT issuers are fetched again.";
    JWKS_RESOLVER_INSECURE_SKIP_VERIFY jwks_resolver_insecure_skip_verify: bool = false,
        "Certificates of JWT issuers are not checked.";
    BLOCKED_CIDRS_IN_JWKS_URIS blocked_cidrs_in_jwks_uris: String = text(""),
        "Networks keys are never fetched from, separated by commas.";
    BLOCKED_CIDRS_IN_WASM_FETCH blocked_cidrs_in_wasm_fetch: String = text(""),
        "Networks WebAssembly modules are never fetched from, separated by commas.";
    ENABLE_DEBUG_ENDPOINT_AUTH enable_debug_endpoint_auth: bool = true,
        "Callers of debug endpoints see only their own namespace.";
    DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES debug_endpoint_auth_allowed_namespaces: String = text(""),
        "Namespaces whose callers may see everything in debug endpoints, separated by commas.";
    ENABLE_XDS_API_GENERATOR_AUTH enable_xds_api_generator_auth: bool = true,
        "Objects are only served over xDS to callers of the root namespace.";
    PILOT_ENABLE_REMOTE_CREDENTIALS_CONTROLLER pilot_enable_remote_credentials_controller: bool = true,
        "Credentials of gateways are read from remote clusters too.";

    // pushing
    ISTIO_DELTA_XDS istio_delta_xds: bool = true, "Proxies are told to ask for differences.";
    PILOT_DEBOUNCE_AFTER pilot_debounce_after: Duration = Duration::from_millis(100),
        "How long it must be quiet before changes are pushed.";
    PILOT_DEBOUNCE_MAX pilot_debounce_max: Duration = Duration::from_secs(10),
        "How long changes wait at most for quiet.";
    PILOT_ENABLE_EDS_DEBOUNCE pilot_enable_eds_debounce: bool = true,
        "Changes of endpoints wait for quiet too.";
    PILOT_PUSH_THROTTLE pilot_push_throttle: i64 = 0,
        "Pushes at the same time; 0 is chosen from the number of cores.";
    PILOT_MAX_REQUESTS_PER_SECOND pilot_max_requests_per_second: f64 = 0.0,
        "Requests of proxies a second; 0 is chosen from the number of cores.";
    PILOT_XDS_CACHE_SIZE pilot_xds_cache_size: i64 = 60000, "Entries of the cache of resources.";
    PILOT_XDS_CACHE_INDEX_CLEAR_INTERVAL pilot_xds_cache_index_clear_interval: Duration = Duration::from_secs(5),
        "How often the index of that cache is swept.";
    PILOT_XDS_CACHE_STATS pilot_xds_cache_stats: bool = false, "Metrics about that cache.";
    PILOT_ENABLE_XDS_CACHE pilot_enable_xds_cache: bool = true, "Resources are remembered and shared.";
    PILOT_ENABLE_CDS_CACHE pilot_enable_cds_cache: bool = true, "Clusters are too.";
    PILOT_ENABLE_RDS_CACHE pilot_enable_rds_cache: bool = true, "Routes are too.";
    ISTIO_GPRC_MAXSTREAMS istio_gprc_maxstreams: i64 = 100000, "Streams on one gRPC connection.";
    ISTIO_GPRC_MAXRECVMSGSIZE istio_gprc_maxrecvmsgsize: i64 = 4 * 1024 * 1024,
        "The longest gRPC message taken, in bytes.";
    ENABLE_VTPROTOBUF enable_vtprotobuf: bool = true, "Has no effect here: encoding is always the fast one.";
    PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY pilot_convert_sidecar_scope_concurrency: i64 = 1,
        "Has no effect here: scopes are made when they are asked for.";
    ENABLE_LAZY_SIDECAR_EVALUATION enable_lazy_sidecar_evaluation: bool = true,
        "Has no effect here: scopes are made when they are asked for.";
    PILOT_UNIFIED_SIDECAR_SCOPE pilot_unified_sidecar_scope: bool = true,
        "Sidecar objects and defaults are turned into scopes in one way.";
    MUTEX_PROFILE_FRACTION mutex_profile_fraction: i64 = 1000,
        "Has no effect here: there is no such profile.";
    PILOT_STATUS_MAX_WORKERS pilot_status_max_workers: i64 = 100, "Status writes at the same time.";
    ISTIO_ENABLE_CONTROLLER_QUEUE_METRICS istio_enable_controller_queue_metrics: bool = false,
        "Metrics about the queues of controllers.";

    // services and workloads
    PILOT_ENABLE_SERVICEENTRY_SELECT_PODS pilot_enable_serviceentry_select_pods: bool = true,
        "ServiceEntries may select pods.";
    PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES pilot_enable_k8s_select_workload_entries: bool = true,
        "Services of Kubernetes may select WorkloadEntries.";
    PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION pilot_enable_workload_entry_autoregistration: bool = true,
        "A machine that connects and names a WorkloadGroup gets a WorkloadEntry.";
    PILOT_WORKLOAD_ENTRY_GRACE_PERIOD pilot_workload_entry_grace_period: Duration = Duration::from_secs(10),
        "How long such an entry outlives the connection.";
    PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS pilot_enable_workload_entry_healthchecks: bool = true,
        "Health reported by machines is written to their WorkloadEntry.";
    PILOT_ENABLE_CROSS_CLUSTER_WORKLOAD_ENTRY pilot_enable_cross_cluster_workload_entry: bool = true,
        "WorkloadEntries of other clusters are read.";
    ISTIO_WORKLOAD_ENTRY_VALIDATE_IDENTITY istio_workload_entry_validate_identity: bool = true,
        "A machine may only use an entry of its own account.";
    PILOT_ENABLE_IP_AUTOALLOCATE pilot_enable_ip_autoallocate: bool = true,
        "ServiceEntries without an address get one.";
    PILOT_IP_AUTOALLOCATE_IPV4_PREFIX pilot_ip_autoallocate_ipv4_prefix: String = text("240.240.0.0/16"),
        "From this network.";
    PILOT_IP_AUTOALLOCATE_IPV6_PREFIX pilot_ip_autoallocate_ipv6_prefix: String = text("2001:2::/48"),
        "From this network.";
    PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS pilot_enable_node_untaint_controllers: bool = false,
        "Nodes lose their taint when the CNI plugin is ready on them.";
    PILOT_NODE_UNTAINT_CONTROLLERS_TAINT_NAME pilot_node_untaint_controllers_taint_name: String = text("cni.istio.io/not-ready"),
        "The key of that taint.";
    ENABLE_PROXY_FIND_POD_BY_IP enable_proxy_find_pod_by_ip: bool = false,
        "A proxy without a known pod name is found by its address.";
    PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES pilot_enable_eds_for_headless_services: bool = false,
        "Headless services are balanced over their endpoints.";
    ENABLE_MULTICLUSTER_HEADLESS enable_multicluster_headless: bool = true,
        "Names of headless services resolve to pods of every cluster in the network.";
    PILOT_ENABLE_HEADLESS_FILTER_CHAIN_LISTENER pilot_enable_headless_filter_chain_listener: bool = false,
        "Headless TCP services share one listener with a chain for every pod.";
    PILOT_SEND_UNHEALTHY_ENDPOINTS pilot_send_unhealthy_endpoints: bool = false,
        "Endpoints that are not ready are sent, and panic mode is off.";
    PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS pilot_auto_send_unhealthy_endpoints: bool = true,
        "Endpoints that are not ready are sent unless outlier detection has a minHealthPercent.";
    PILOT_DRAINING_LABEL pilot_draining_label: String = text("istio.io/draining"),
        "Endpoints with this label get no new requests; empty is off.";
    PILOT_REMOTE_CLUSTER_TIMEOUT pilot_remote_cluster_timeout: Duration = Duration::from_secs(30),
        "How long readiness waits for remote clusters; 0 is forever.";
    PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS pilot_insecure_multicluster_kubeconfig_options: String = text(""),
        "Risky parts of remote kubeconfigs that are allowed, separated by commas.";
    PILOT_MULTICLUSTER_KUBECONFIG_PATH pilot_multicluster_kubeconfig_path: String = text(""),
        "A folder of kubeconfigs of remote clusters.";
    LOCAL_CLUSTER_SECRET_WATCHER local_cluster_secret_watcher: bool = false,
        "Secrets of remote clusters are read in the own cluster and not in the config cluster.";
    RESOLVE_HOSTNAME_GATEWAYS resolve_hostname_gateways: bool = true,
        "Names in load balancer addresses of network gateways are resolved here.";
    PILOT_MULTI_NETWORK_DISCOVER_GATEWAY_API pilot_multi_network_discover_gateway_api: bool = true,
        "Gateways of the Gateway API may be network gateways.";
    MCS_API_GROUP mcs_api_group: String = text("multicluster.x-k8s.io"),
        "The API group of multi-cluster services.";
    MCS_API_VERSION mcs_api_version: String = text("v1alpha1"), "The API version of multi-cluster services.";
    ENABLE_MCS_AUTO_EXPORT enable_mcs_auto_export: bool = false,
        "Every service is exported to the other clusters.";
    ENABLE_MCS_SERVICE_DISCOVERY enable_mcs_service_discovery: bool = false,
        "Endpoints are seen in other clusters only if they are exported.";
    ENABLE_MCS_HOST enable_mcs_host: bool = false, "Exported services get a name in clusterset.local.";
    ENABLE_MCS_CLUSTER_LOCAL enable_mcs_cluster_local: bool = false,
        "Names in cluster.local reach only the own cluster.";
    LABEL_CANONICAL_SERVICES_FOR_MESH_EXTERNAL_SERVICE_ENTRIES label_canonical_services_for_mesh_external_service_entries: bool = false,
        "External services carry canonical service names in metadata.";
    ENABLE_WILDCARD_HOST_SERVICE_ENTRIES_FOR_TLS enable_wildcard_host_service_entries_for_tls: bool = false,
        "Wildcard ServiceEntries may resolve the name of a TLS connection; names can be forged.";
    PILOT_IGNORE_RESOURCES pilot_ignore_resources: String = text(""),
        "Kinds (plural.group or *.group) that are not read, separated by commas.";
    PILOT_INCLUDE_RESOURCES pilot_include_resources: String = text(""), "Exceptions from that list.";

    // configuration of proxies
    PILOT_HTTP10 pilot_http10: bool = false, "HTTP/1.0 is taken on outbound listeners.";
    PILOT_SCOPE_GATEWAY_TO_NAMESPACE pilot_scope_gateway_to_namespace: bool = false,
        "Gateways select workloads of their own namespace only.";
    PILOT_ENABLE_ALPN_FILTER pilot_enable_alpn_filter: bool = true,
        "Proxies say in ALPN what they speak inside the mesh.";
    PILOT_DISABLE_MX_ALPN pilot_disable_mx_alpn: bool = false, "Metadata exchange is not offered in ALPN.";
    PILOT_ENABLE_METADATA_EXCHANGE pilot_enable_metadata_exchange: bool = true,
        "Proxies tell each other who they are.";
    PILOT_MX_ADDITIONAL_LABELS pilot_mx_additional_labels: String = text(""),
        "Labels they tell too, separated by commas.";
    PILOT_DNS_CARES_UDP_MAX_QUERIES pilot_dns_cares_udp_max_queries: u32 = 100,
        "DNS queries on one UDP socket; 0 is no limit.";
    PILOT_DNS_JITTER_DURATION pilot_dns_jitter_duration: Duration = Duration::from_millis(100),
        "Spread of repeated DNS queries.";
    PILOT_ENABLE_ROUTE_COLLAPSE_OPTIMIZATION pilot_enable_route_collapse_optimization: bool = true,
        "Virtual hosts with equal routes become one.";
    PREFER_DESTINATIONRULE_TLS_FOR_EXTERNAL_SERVICES prefer_destinationrule_tls_for_external_services: bool = true,
        "TLS settings of a DestinationRule win for external services.";
    MAX_CONNECTIONS_PER_SOCKET_EVENT_LOOP max_connections_per_socket_event_loop: u32 = 1,
        "Connections taken from the kernel at a time; 0 is no limit.";
    PILOT_ENABLE_ABSOLUTE_FQDN_VHOST_DOMAIN pilot_enable_absolute_fqdn_vhost_domain: bool = true,
        "Virtual hosts also match the name with a dot at its end.";
    PILOT_ENABLE_STRICT_GATEWAY_MERGING pilot_enable_strict_gateway_merging: bool = true,
        "Managed Gateways do not merge with those of other namespaces.";
    DISABLE_SHADOW_HOST_SUFFIX disable_shadow_host_suffix: bool = true,
        "Mirrored requests keep their host without -shadow.";
    DISABLE_TRACK_REMAINING_CB_METRICS disable_track_remaining_cb_metrics: bool = true,
        "What is left of circuit breakers is not counted.";
    PILOT_GATEWAY_TRANSPORT_SOCKET_CONNECT_TIMEOUT pilot_gateway_transport_socket_connect_timeout: Duration = Duration::from_secs(15),
        "How long a TLS handshake at a gateway may take; 0 is no limit.";
    PILOT_SIDECAR_PICK_BEST_SERVICE_NAMESPACE pilot_sidecar_pick_best_service_namespace: bool = true,
        "Of several services of one name the one of Kubernetes, then the oldest, is taken.";
    PILOT_ALLOW_ANY_DYNAMIC_DNS_MAX_HOSTS pilot_allow_any_dynamic_dns_max_hosts: u32 = 1024,
        "Hosts remembered for ALLOW_ANY_DYNAMIC_DNS.";
    PILOT_FILTER_GATEWAY_CLUSTER_CONFIG pilot_filter_gateway_cluster_config: bool = false,
        "Gateways get only the clusters their routes use.";
    PILOT_ENABLE_PERSISTENT_SESSION_FILTER pilot_enable_persistent_session_filter: bool = false,
        "Services may ask for persistent sessions by label.";
    PILOT_PERSISTENT_SESSION_LABEL pilot_persistent_session_label: String = text("istio.io/persistent-session"),
        "The label for sessions by cookie.";
    PILOT_PERSISTENT_SESSION_HEADER_LABEL pilot_persistent_session_header_label: String = text("istio.io/persistent-session-header"),
        "The label for sessions by header.";
    PILOT_ENABLE_QUIC_LISTENERS pilot_enable_quic_listeners: bool = false,
        "Gateways speak HTTP/3 where the service has the UDP port.";
    ENABLE_TLS_ON_SIDECAR_INGRESS enable_tls_on_sidecar_ingress: bool = false,
        "TLS settings of Sidecar ingress listeners have effect.";
    ENABLE_HCM_INTERNAL_NETWORKS enable_hcm_internal_networks: bool = false,
        "Endpoints of mesh networks count as internal addresses.";
    PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE pilot_allow_sidecar_service_inbound_listener_merge: bool = false,
        "A Sidecar's ingress listeners do not replace those of service ports.";
    ISTIO_DUAL_STACK istio_dual_stack: bool = false, "Services and listeners use both families of addresses.";
    ISTIO_ENABLE_IPV4_OUTBOUND_LISTENER_FOR_IPV6_CLUSTERS istio_enable_ipv4_outbound_listener_for_ipv6_clusters: bool = false,
        "Proxies with only IPv6 also capture IPv4.";
    ENABLE_100_CONTINUE_HEADERS enable_100_continue_headers: bool = true, "100-continue is passed on.";
    ENABLE_LOCALITY_WEIGHTED_LB_CONFIG enable_locality_weighted_lb_config: bool = false,
        "Weights of localities always have effect.";
    ENABLE_ENHANCED_DESTINATIONRULE_MERGE enable_enhanced_destinationrule_merge: bool = true,
        "DestinationRules of one host merge only if their exportTo is equal.";
    PILOT_ENABLE_MYSQL_FILTER pilot_enable_mysql_filter: bool = false,
        "MySQL ports get the filter of that protocol.";
    PILOT_ENABLE_REDIS_FILTER pilot_enable_redis_filter: bool = false,
        "Redis ports get the filter of that protocol.";
    PILOT_ENABLE_MONGO_FILTER pilot_enable_mongo_filter: bool = true,
        "Mongo ports get the filter of that protocol.";
    PILOT_SIDECAR_USE_REMOTE_ADDRESS pilot_sidecar_use_remote_address: bool = false,
        "Outbound listeners believe the connection and not X-Forwarded-For.";
    ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL envoy_status_port_enable_proxy_protocol: bool = false,
        "The status port of Envoy takes the proxy protocol.";
    ISTIO_AGENT_ENABLE_WASM_REMOTE_LOAD_CONVERSION istio_agent_enable_wasm_remote_load_conversion: bool = true,
        "The agent fetches WebAssembly modules for Envoy.";
    ISTIO_WASM_MAX_BINARY_SIZE_BYTES istio_wasm_max_binary_size_bytes: i64 = 256 * 1024 * 1024,
        "The largest WebAssembly module, in bytes.";
    PILOT_ENVOY_FILTER_STATS pilot_envoy_filter_stats: bool = false, "Metrics about what EnvoyFilters do.";
    PILOT_TRACE_SAMPLING pilot_trace_sampling: f64 = 1.0,
        "Requests that are traced, in percent, unless something else is said.";
    PILOT_ENABLE_TELEMETRY_LABEL pilot_enable_telemetry_label: bool = true,
        "Clusters and endpoints carry what telemetry needs.";
    PILOT_ENDPOINT_TELEMETRY_LABEL pilot_endpoint_telemetry_label: bool = true, "Endpoints do.";
    PILOT_AGENT_MERGE_ENVOY_STATS pilot_agent_merge_envoy_stats: bool = true,
        "The agent's metrics include those of Envoy.";
    ENABLE_NATIVE_SIDECARS enable_native_sidecars: String = text("auto"),
        "Proxies are injected as sidecar containers of Kubernetes: true, false or auto.";

    // Gateway API
    PILOT_ENABLE_GATEWAY_API pilot_enable_gateway_api: bool = true, "The Gateway API is read.";
    PILOT_ENABLE_ALPHA_GATEWAY_API pilot_enable_alpha_gateway_api: bool = false, "Its alpha kinds too.";
    PILOT_ENABLE_GATEWAY_API_STATUS pilot_enable_gateway_api_status: bool = true, "Its status is written.";
    PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER pilot_enable_gateway_api_deployment_controller: bool = true,
        "Gateways get a deployment and a service.";
    PILOT_ENABLE_GATEWAY_API_GATEWAYCLASS_CONTROLLER pilot_enable_gateway_api_gatewayclass_controller: bool = true,
        "The own GatewayClasses are made.";
    PILOT_ENABLE_GATEWAY_API_COPY_LABELS_ANNOTATIONS pilot_enable_gateway_api_copy_labels_annotations: bool = true,
        "What is made for a Gateway carries its labels and annotations.";
    PILOT_GATEWAY_API_DEFAULT_GATEWAYCLASS_NAME pilot_gateway_api_default_gatewayclass_name: String = text("istio"),
        "The name of the default GatewayClass.";
    PILOT_GATEWAY_API_CONTROLLER_NAME pilot_gateway_api_controller_name: String = text("istio.io/gateway-controller"),
        "The controller name of GatewayClasses that are ours.";
    ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT enable_gateway_api_manual_deployment: bool = true,
        "Gateways may use a deployment that is already there.";
    ENABLE_GATEWAY_API_INFERENCE_EXTENSION enable_gateway_api_inference_extension: bool = false,
        "Inference pools are read.";
    ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY enable_selector_based_k8s_gateway_policy: bool = true,
        "Policies with a workload selector hold for gateways of the Gateway API.";
    PILOT_ENABLE_AGENTGATEWAY pilot_enable_agentgateway: bool = false,
        "The class istio-agentgateway is served.";

    // looking inside
    ENABLE_DEBUG_ON_HTTP enable_debug_on_http: bool = true, "Debug endpoints are served.";
    UNSAFE_ENABLE_ADMIN_ENDPOINTS unsafe_enable_admin_endpoints: bool = false,
        "Debug endpoints that change something are served.";
    PILOT_ENABLE_ANALYSIS pilot_enable_analysis: bool = false,
        "Analyzers run and write into the status of objects.";
    PILOT_ANALYSIS_INTERVAL pilot_analysis_interval: Duration = Duration::from_secs(10),
        "How often they run.";

    // ambient
    PILOT_ENABLE_AMBIENT pilot_enable_ambient: bool = false,
        "Ambient mode: zero-trust tunnels of nodes and waypoints.";
    ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES enable_layered_waypoint_authorization_policies: bool = false,
        "Policies with a selector hold before the waypoint too.";
    AMBIENT_SCOPED_ADDRESS_PUSHES ambient_scoped_address_pushes: bool = true,
        "Address changes wake only the waypoints they concern.";
    @ambient {
        PILOT_ENABLE_AMBIENT_WAYPOINTS pilot_enable_ambient_waypoints: bool = true, "Waypoints are served.";
        PILOT_ENABLE_SENDING_HBONE pilot_enable_sending_hbone: bool = true,
            "Proxies may tunnel to destinations that take it.";
        PILOT_ENABLE_SIDECAR_LISTENING_HBONE pilot_enable_sidecar_listening_hbone: bool = true,
            "Sidecars may take tunnels.";
        AMBIENT_ENABLE_STATUS ambient_enable_status: bool = true,
            "Status of ambient mode is written into objects.";
        PILOT_PREFER_SENDING_HBONE pilot_prefer_sending_hbone: bool = false,
            "Tunnels are preferred where both ways work.";
        PILOT_AUTO_ALLOW_WAYPOINT_POLICY pilot_auto_allow_waypoint_policy: bool = false,
            "Workloads allow their waypoint without a policy of the user.";
        ENABLE_INGRESS_WAYPOINT_ROUTING enable_ingress_waypoint_routing: bool = true,
            "Gateways call the waypoint of services that say so.";
        AMBIENT_ENABLE_MULTI_NETWORK ambient_enable_multi_network: bool = false, "Several networks.";
        AMBIENT_ENABLE_MULTI_NETWORK_WAYPOINT ambient_enable_multi_network_waypoint: bool = true,
            "With several networks, waypoints call remote ones.";
        AMBIENT_ENABLE_MULTI_NETWORK_INGRESS ambient_enable_multi_network_ingress: bool = false,
            "With several networks, gateways call remote ones.";
        AMBIENT_ENABLE_BAGGAGE ambient_enable_baggage: bool = false,
            "Waypoints tell in the baggage header who the peers are.";
        AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY ambient_enable_dry_run_authorization_policy: bool = false,
            "Dry-run policies are sent to ztunnel, which must know them (1.29).";
        PILOT_HBONE_INITIAL_STREAM_WINDOW_SIZE pilot_hbone_initial_stream_window_size: u32 = 0,
            "HTTP/2 window of a tunnelled stream; 0 is Envoy's.";
        PILOT_HBONE_INITIAL_CONNECTION_WINDOW_SIZE pilot_hbone_initial_connection_window_size: u32 = 0,
            "HTTP/2 window of a tunnel's connection; 0 is Envoy's.";
    }
}

impl Default for Switches {
    fn default() -> Self {
        Self::with_ambient(false)
    }
}

impl Switches {
    /// Reads the switches among the pairs of an environment; later pairs win.
    ///
    /// A text that a switch does not take leaves its default and is a warning, so is a name that begins like a
    /// switch and is none. Switches of ambient mode have no effect without `PILOT_ENABLE_AMBIENT=true`.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> (Self, Vec<Problem>) {
        let pairs: Vec<(String, String)> = pairs.into_iter().collect();
        let ambient = pairs.iter().rev().find(|(name, _)| name == "PILOT_ENABLE_AMBIENT");
        let ambient = ambient.and_then(|(_, text)| bool::parse(text)).unwrap_or(false);
        let mut switches = Self::with_ambient(ambient);
        let mut problems = Vec::new();
        for (name, text) in &pairs {
            let problem = if !ambient && Self::AMBIENT.contains(&name.as_str()) {
                Some(("it has no effect".to_owned(), "set PILOT_ENABLE_AMBIENT=true".to_owned()))
            } else {
                match switches.set(name, text) {
                    Ok(()) => None,
                    Err(Refusal::Mismatch(takes)) => {
                        let article = if takes == "integer" { "an" } else { "a" };
                        Some((format!("{text:?} is not {article} {takes}"), "the default is used".to_owned()))
                    }
                    Err(Refusal::Unknown) => unknown(name),
                }
            };
            if let Some((message, hint)) = problem {
                let mut problem = Problem::new(Severity::Warning, "environment", message);
                problem.field.clone_from(name);
                problem.hint = hint;
                problems.push(problem);
            }
        }
        (switches, problems)
    }
}

/// What to say of a name that is no switch: nothing, unless it looks like one.
fn unknown(name: &str) -> Option<(String, String)> {
    // service links of Kubernetes begin with names of services, so only the closest names are told
    let names: Vec<&str> = Switches::list().iter().map(|switch| switch.name).collect();
    let near = nearest(name, names.into_iter()).filter(|_| name.starts_with("PILOT_"));
    near.map(|near| ("there is no such switch".to_owned(), format!("did you mean {near}?")))
}
