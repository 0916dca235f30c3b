//! The list of switches, and how a set of them is read from the environment's pairs.

use super::absent;
use super::declare::{Refusal, Statuses, Switch, SwitchValue as _, assign, describe, switches};
use crate::decode::reader::nearest;
use crate::duration::Duration;
use crate::problem::{Problem, Severity};

fn text(default: &str) -> String {
    default.to_owned()
}

switches! {
    // who we are
    CLUSTER_ID cluster_id: String = text("Kubernetes"), "The cluster this control plane belongs to.";
    REVISION revision: String = text(""), "The revision of this control plane; empty is the default one.";
    POD_NAME pod_name: String = text(""), "The name of the pod it runs in.";
    POD_NAMESPACE pod_namespace: String = text("istio-system"), "The namespace it runs in.";
    ISTIOD_CUSTOM_HOST istiod_custom_host: String = text(""),
        "More names for its own certificate, separated by commas.";
    GRPC_KEEPALIVE_INTERVAL grpc_keepalive_interval: Duration = Duration::from_secs(30),
        "How often idle gRPC connections are pinged.";
    GRPC_KEEPALIVE_TIMEOUT grpc_keepalive_timeout: Duration = Duration::from_secs(10),
        "How long a ping may stay unanswered.";

    // Kubernetes
    ISTIO_WATCH_NAMESPACE istio_watch_namespace: String = text(""),
        "The only namespace of API servers that is read; empty for all.";
    SHARED_MESH_CONFIG shared_mesh_config: String = text(""),
        "A ConfigMap whose mesh configuration is applied before all else.";
    PILOT_IGNORE_RESOURCES pilot_ignore_resources: String = text(""),
        "Custom resources that are not read, as plural.group or *.suffix, separated by commas.";
    PILOT_INCLUDE_RESOURCES pilot_include_resources: String = text(""),
        "Of those not read, custom resources that are read all the same.";
    EXTERNAL_ISTIOD external_istiod: bool = false,
        "Of other clusters those get the mesh's roots that name this one in topology.istio.io/controlPlaneClusters, not those without another root.";
    PILOT_REMOTE_CLUSTER_TIMEOUT pilot_remote_cluster_timeout: Duration = Duration::from_secs(30),
        "How long the start waits for another cluster.";
    PILOT_MULTICLUSTER_KUBECONFIG_PATH pilot_multicluster_kubeconfig_path: String = text(""),
        "A folder of kubeconfigs, or one, that name other clusters instead of Secrets.";
    LOCAL_CLUSTER_SECRET_WATCHER local_cluster_secret_watcher: bool = false,
        "With EXTERNAL_ISTIOD: Secrets that name other clusters are those of the cluster this runs in, not of the configuring one.";
    PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS pilot_insecure_multicluster_kubeconfig_options: String = text(""),
        "What kubeconfigs of other clusters may have though it runs or reads something here: exec, tokenFile, clientCertificate, clientKey, certificateAuthority, or the name of an authentication provider.";
    ENABLE_LEADER_ELECTION enable_leader_election: bool = true,
        "Of several replicas one writes into the cluster; off, this is the only one.";
    PILOT_CA_CERT_CONFIGMAP pilot_ca_cert_configmap: String = text("istio-ca-root-cert"),
        "The ConfigMap in every namespace that has the mesh's roots.";
    ENABLE_CLUSTER_TRUST_BUNDLE_API enable_cluster_trust_bundle_api: bool = false,
        "The mesh's roots are a ClusterTrustBundle instead of ConfigMaps.";
    PILOT_IP_AUTOALLOCATE_IPV4_PREFIX pilot_ip_autoallocate_ipv4_prefix: String = text("240.240.0.0/16"),
        "The network from which ServiceEntries get addresses.";
    PILOT_IP_AUTOALLOCATE_IPV6_PREFIX pilot_ip_autoallocate_ipv6_prefix: String = text("2001:2::/48"),
        "The IPv6 network from which ServiceEntries get addresses.";
    PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS pilot_enable_node_untaint_controllers: bool = false,
        "Nodes lose the CNI's taint when its plugin is ready there.";
    PILOT_NODE_UNTAINT_CONTROLLERS_TAINT_NAME pilot_node_untaint_controllers_taint_name: String = text("cni.istio.io/not-ready"),
        "The key of that taint.";

    PILOT_STATUS_MAX_WORKERS pilot_status_max_workers: u32 = 100,
        "Objects whose status is written at a time.";
    MELTEMI_STATUS meltemi_status: Statuses = Statuses::Refused,
        "Which of Istio's objects have the condition Reconciled in their status: those that were refused, all, or none.";
    MELTEMI_EVENTS meltemi_events: bool = true,
        "What is refused is also told in events of Kubernetes.";

    // certificate authority
    ENABLE_CA_SERVER enable_ca_server: bool = true,
        "The control plane has a certificate authority and signs for workloads.";
    PILOT_CERT_PROVIDER pilot_cert_provider: String = text("istiod"),
        "Who gives the control plane's own certificate, unless there are files of it: istiod, k8s.io/SIGNER, or none.";
    ROOT_CA_DIR root_ca_dir: String = text("./etc/cacerts"), "The folder of a plugged-in CA.";
    USE_REMOTE_CERTS use_remote_certs: bool = false,
        "The files of a plugged-in CA that are not there are those of the Secret cacerts of the configuring cluster.";
    DEFAULT_WORKLOAD_CERT_TTL default_workload_cert_ttl: Duration = Duration::from_secs(24 * 3600),
        "Lifetime of a certificate if the request names none.";
    MAX_WORKLOAD_CERT_TTL max_workload_cert_ttl: Duration = Duration::from_secs(2160 * 3600),
        "The longest lifetime a request may ask for.";
    CITADEL_SELF_SIGNED_CA_CERT_TTL citadel_self_signed_ca_cert_ttl: Duration = Duration::from_secs(87600 * 3600),
        "Lifetime of the self-signed root.";
    CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE citadel_self_signed_root_cert_grace_period_percentile: u32 = 20,
        "The last part of the root's lifetime, in percent, in which it is renewed.";
    CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL citadel_self_signed_root_cert_check_interval: Duration = Duration::from_secs(3600),
        "How often the self-signed root is looked at for whether it is to be renewed; zero for never.";
    CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR citadel_enable_jitter_for_root_cert_rotator: bool = true,
        "The first look at the self-signed root comes at a random moment of that interval.";
    USE_CACERTS_FOR_SELF_SIGNED_CA use_cacerts_for_self_signed_ca: bool = false,
        "A new self-signed root is kept in the Secret cacerts instead of istio-ca-secret.";
    CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE citadel_self_signed_ca_rsa_key_size: u32 = 2048,
        "Bits of the self-signed root's RSA key.";
    JWT_RULE jwt_rule: String = text(""), "A JWT rule, as JSON, by which callers may prove themselves.";
    TOKEN_ISSUER token_issuer: String = text(""),
        "Outside of Kubernetes: callers of the certificate service may prove themselves by tokens of this issuer.";
    AUDIENCE audience: String = text(""), "Those tokens are for this audience; empty for any of TOKEN_AUDIENCES.";
    EXTERNAL_CA external_ca: String = text(""),
        "Who signs for workloads instead of the control plane: ISTIOD_RA_KUBERNETES_API for signers of Kubernetes.";
    K8S_SIGNER k8s_signer: String = text(""), "The signer of Kubernetes that signs for workloads.";
    CERT_SIGNER_DOMAIN cert_signer_domain: String = text(""),
        "The domain of the signers that workloads may ask for; empty if they may not.";
    TOKEN_AUDIENCES token_audiences: String = text("istio-ca"),
        "Tokens of Kubernetes must be for one of these, separated by commas; empty for the API server itself.";
    PILOT_ENABLE_CA_CRL pilot_enable_ca_crl: bool = true,
        "What ca-crl.pem beside a plugged-in CA revokes is handed to proxies.";
    PILOT_CRL_CONFIGMAP pilot_crl_configmap: String = text("istio-ca-crl"),
        "The ConfigMap in every namespace that has it.";
    ISTIO_MULTIROOT_MESH istio_multiroot_mesh: bool = false,
        "Certificates of several roots are taken in mutual TLS of the mesh.";
    COMPLIANCE_POLICY compliance_policy: String = text(""),
        "A policy all TLS must follow: fips-140-2, fips-140-3 or pqc.";

    // security
    XDS_AUTH xds_auth: bool = true, "Callers of xDS have to prove who they are.";
    XDS_AUTH_PLAINTEXT xds_auth_plaintext: bool = false, "Also on the port without TLS.";
    PILOT_ENABLE_XDS_IDENTITY_CHECK pilot_enable_xds_identity_check: bool = true,
        "A proxy may only ask for its own namespace and account.";
    CA_TRUSTED_NODE_ACCOUNTS ca_trusted_node_accounts: String = text(""),
        "Accounts (namespace/name, separated by commas) whose pods get certificates of what runs on their node.";
    TRUSTED_GATEWAY_CIDR trusted_gateway_cidr: String = text(""),
        "Networks of gateways whose XFCC header is believed, separated by commas.";
    PILOT_SKIP_VALIDATE_TRUST_DOMAIN pilot_skip_validate_trust_domain: bool = false,
        "Peers of other trust domains are taken in mutual TLS.";
    PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS pilot_enable_multiple_custom_authz_providers: bool = false,
        "A workload may have several CUSTOM authorizers.";
    ENABLE_DEBUG_ENDPOINT_AUTH enable_debug_endpoint_auth: bool = true,
        "Callers of debug endpoints see only their own namespace.";
    DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES debug_endpoint_auth_allowed_namespaces: String = text(""),
        "Namespaces whose callers may see everything in debug endpoints, separated by commas.";

    // pushing
    PILOT_DEBOUNCE_AFTER pilot_debounce_after: Duration = Duration::from_millis(100),
        "How long it must be quiet before changes are pushed.";
    PILOT_DEBOUNCE_MAX pilot_debounce_max: Duration = Duration::from_secs(10),
        "How long changes wait at most for quiet.";
    PILOT_PUSH_THROTTLE pilot_push_throttle: u32 = 0,
        "Responses on their way to proxies at the same time; 0 is no limit but that of their bytes.";
    PILOT_MAX_REQUESTS_PER_SECOND pilot_max_requests_per_second: f64 = 0.0,
        "Streams that proxies open a second; 0 is no limit.";
    ISTIO_GPRC_MAXSTREAMS istio_gprc_maxstreams: u32 = 100000, "Streams on one gRPC connection.";
    ISTIO_GPRC_MAXRECVMSGSIZE istio_gprc_maxrecvmsgsize: u32 = 4 * 1024 * 1024,
        "The longest gRPC message taken, in bytes.";

    // services and workloads
    RESOLVE_HOSTNAME_GATEWAYS resolve_hostname_gateways: bool = true,
        "Gateways between networks may have a host for an address: it is resolved here.";
    PILOT_ENABLE_SERVICEENTRY_SELECT_PODS pilot_enable_serviceentry_select_pods: bool = true,
        "ServiceEntries may select pods.";
    PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES pilot_enable_k8s_select_workload_entries: bool = true,
        "Services of Kubernetes may select WorkloadEntries.";
    PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION pilot_enable_workload_entry_autoregistration: bool = true,
        "Machines that say of which WorkloadGroup they are get a WorkloadEntry when they connect.";
    PILOT_WORKLOAD_ENTRY_GRACE_PERIOD pilot_workload_entry_grace_period: Duration = Duration::from_secs(10),
        "How long a machine may be away before its WorkloadEntry goes.";
    ISTIO_WORKLOAD_ENTRY_VALIDATE_IDENTITY istio_workload_entry_validate_identity: bool = true,
        "A machine proves that it is of the namespace and service account of its WorkloadEntry.";
    PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS pilot_enable_workload_entry_healthchecks: bool = true,
        "Health reported by machines is written to their WorkloadEntry.";
    PILOT_ENABLE_IP_AUTOALLOCATE pilot_enable_ip_autoallocate: bool = true,
        "ServiceEntries without an address get one.";
    ENABLE_PROXY_FIND_POD_BY_IP enable_proxy_find_pod_by_ip: bool = false,
        "A proxy without a known pod name is found by its address.";
    PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES pilot_enable_eds_for_headless_services: bool = false,
        "Headless services are balanced over their endpoints.";
    PILOT_ENABLE_CROSS_CLUSTER_WORKLOAD_ENTRY pilot_enable_cross_cluster_workload_entry: bool = true,
        "WorkloadEntries of other clusters are read: Services there and ServiceEntries here may select them.";
    PILOT_ENABLE_REMOTE_CREDENTIALS_CONTROLLER pilot_enable_remote_credentials_controller: bool = true,
        "Gateways of another cluster are served the Secrets of that cluster, before those of ours.";
    ENABLE_MCS_SERVICE_DISCOVERY enable_mcs_service_discovery: bool = false,
        "Other clusters see the endpoints of a Service only where a ServiceExport says so.";
    ENABLE_MCS_HOST enable_mcs_host: bool = false,
        "Services that a ServiceImport gives addresses also have the name SERVICE.NAMESPACE.svc.clusterset.local; takes ENABLE_MCS_SERVICE_DISCOVERY.";
    ENABLE_MCS_CLUSTER_LOCAL enable_mcs_cluster_local: bool = false,
        "Under its own name a Service is called in the caller's cluster only; takes ENABLE_MCS_HOST.";
    ENABLE_MCS_AUTO_EXPORT enable_mcs_auto_export: bool = false,
        "Every Service that is not local to its cluster gets a ServiceExport.";
    MCS_API_GROUP mcs_api_group: String = text("multicluster.x-k8s.io"),
        "The group in which API servers serve the Multi-Cluster Services API.";
    MCS_API_VERSION mcs_api_version: String = text("v1alpha1"),
        "The version in which they do.";
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
    LABEL_CANONICAL_SERVICES_FOR_MESH_EXTERNAL_SERVICE_ENTRIES label_canonical_services_for_mesh_external_service_entries: bool = false,
        "External services carry canonical service names in metadata.";

    // configuration of proxies
    PILOT_HTTP10 pilot_http10: bool = false, "HTTP/1.0 is taken on outbound listeners.";
    PILOT_SCOPE_GATEWAY_TO_NAMESPACE pilot_scope_gateway_to_namespace: bool = false,
        "Gateways select workloads of their own namespace only.";
    PILOT_ENABLE_ALPN_FILTER pilot_enable_alpn_filter: bool = true,
        "Proxies say in ALPN what they speak inside the mesh.";
    PILOT_DISABLE_MX_ALPN pilot_disable_mx_alpn: bool = false, "Metadata exchange is not offered in ALPN.";
    PILOT_ENABLE_METADATA_EXCHANGE pilot_enable_metadata_exchange: bool = true,
        "Proxies tell each other who they are.";
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
    PILOT_ALLOW_ANY_DYNAMIC_DNS_MAX_HOSTS pilot_allow_any_dynamic_dns_max_hosts: u32 = 1024,
        "Hosts remembered for ALLOW_ANY_DYNAMIC_DNS.";
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
    PILOT_ENABLE_REDIS_FILTER pilot_enable_redis_filter: bool = false,
        "Redis ports get the filter of that protocol.";
    PILOT_ENABLE_MONGO_FILTER pilot_enable_mongo_filter: bool = true,
        "Mongo ports get the filter of that protocol.";
    PILOT_SIDECAR_USE_REMOTE_ADDRESS pilot_sidecar_use_remote_address: bool = false,
        "Outbound listeners believe the connection and not X-Forwarded-For.";
    PILOT_TRACE_SAMPLING pilot_trace_sampling: f64 = 1.0,
        "Requests that are traced, in percent, unless something else is said.";
    PILOT_ENABLE_TELEMETRY_LABEL pilot_enable_telemetry_label: bool = true,
        "Clusters and endpoints carry what telemetry needs.";
    PILOT_ENDPOINT_TELEMETRY_LABEL pilot_endpoint_telemetry_label: bool = true, "Endpoints do.";

    // Gateway API
    ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY enable_selector_based_k8s_gateway_policy: bool = true,
        "Policies with a workload selector hold for gateways of the Gateway API.";

    // looking inside
    OTEL_EXPORTER_OTLP_ENDPOINT otel_exporter_otlp_endpoint: String = text(""),
        "The collector that is told what each change causes, as http://host:4317 or with https; empty for none.";
    OTEL_EXPORTER_OTLP_PROTOCOL otel_exporter_otlp_protocol: String = text("grpc"),
        "How it is told; there is only grpc.";
    OTEL_SERVICE_NAME otel_service_name: String = text("pilot-discovery"),
        "Who we are to the collector.";
    METRICS_LOCALHOST_ACCESS_ONLY metrics_localhost_access_only: bool = false,
        "Metrics are shown to callers on this machine only.";
    ENABLE_DEBUG_ON_HTTP enable_debug_on_http: bool = true, "Debug endpoints are served.";
    UNSAFE_ENABLE_ADMIN_ENDPOINTS unsafe_enable_admin_endpoints: bool = false,
        "A debug endpoint may end the connection of a proxy.";
}

impl Switches {
    /// Reads the switches among the pairs of an environment; later pairs win.
    ///
    /// A text that a switch does not take leaves its default and is a warning; so is a switch of upstream's that does
    /// nothing here, and a name that begins like a switch and is none.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> (Self, Vec<Problem>) {
        let mut switches = Self::default();
        let mut problems = Vec::new();
        for (name, text) in &pairs.into_iter().collect::<Vec<_>>() {
            let problem = match switches.set(name, text) {
                Ok(()) => None,
                Err(Refusal::Mismatch(takes)) => {
                    let article = if takes == "integer" { "an" } else { "a" };
                    Some((format!("{text:?} is not {article} {takes}"), "the default is used".to_owned()))
                }
                Err(Refusal::Unknown) => unknown(name, text),
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

/// What to say of a name that is no switch: nothing, unless it is one of upstream's, or looks like one.
fn unknown(name: &str, text: &str) -> Option<(String, String)> {
    if absent::names().any(|absent| absent == name) {
        return absent::complaint(name, text);
    }
    // service links of Kubernetes begin with names of services, so only the closest names are told
    let names: Vec<&str> = Switches::list().iter().map(|switch| switch.name).chain(absent::names()).collect();
    let near = nearest(name, names.into_iter()).filter(|_| name.starts_with("PILOT_"));
    near.map(|near| ("there is no such switch".to_owned(), format!("did you mean {near}?")))
}
