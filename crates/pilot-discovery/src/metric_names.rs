//! Every metric of the control plane, by name: what a dashboard may count on, for the reference page and for its test.

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// The name, without the suffixes of a histogram.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, separated by commas, without `le`.
    pub labels: &'static str,
    /// What it tells, in a cluster where that differs from elsewhere.
    pub doc: &'static str,
}

const fn counter(name: &'static str, labels: &'static str, doc: &'static str) -> Name {
    Name { name, kind: "counter", labels, doc }
}

const fn gauge(name: &'static str, labels: &'static str, doc: &'static str) -> Name {
    Name { name, kind: "gauge", labels, doc }
}

const fn histogram(name: &'static str, labels: &'static str, doc: &'static str) -> Name {
    Name { name, kind: "histogram", labels, doc }
}

/// All of them, by group.
pub const ALL: &[Name] = &[
    // pushes
    gauge("pilot_xds", "version", "Connected clients."),
    counter("pilot_xds_pushes", "type", "Responses sent."),
    histogram("pilot_xds_push_time", "type", "Seconds to prepare a response."),
    histogram("pilot_proxy_queue_time", "", "Seconds a changed client waited for its turn."),
    histogram(
        "pilot_proxy_convergence_time",
        "",
        "Seconds from a change to the last response it caused for a client.",
    ),
    histogram(
        "pilot_xds_config_size_bytes",
        "type",
        "Bytes of resources in a response; the type is its URL.",
    ),
    histogram("pilot_xds_send_time", "", "Seconds to hand over a response."),
    counter("pilot_xds_write_timeout", "", "Responses that a client did not take in time."),
    gauge("pilot_xds_recv_max", "", "Bytes of the largest request."),
    counter("pilot_total_xds_rejects", "type", "Responses that clients refused."),
    gauge("pilot_xds_cds_reject", "node,err", "The same of clusters, by client."),
    gauge("pilot_xds_eds_reject", "node,err", "The same of endpoints."),
    gauge("pilot_xds_lds_reject", "node,err", "The same of listeners."),
    gauge("pilot_xds_rds_reject", "node,err", "The same of routes."),
    counter("pilot_xds_expired_nonce", "type", "Requests that answer no response in flight."),
    counter("pilot_total_xds_internal_errors", "", "Streams that ended in an unexpected error."),
    counter(
        "pilot_sds_certificate_errors_total",
        "",
        "Secrets that proxies asked for and that they are not given: missing, of no use, or not theirs.",
    ),
    // changes
    histogram("pilot_debounce_time", "", "Seconds from a change to its commit."),
    histogram("pilot_pushcontext_init_seconds", "", "Seconds to commit a batch of changes."),
    counter("pilot_inbound_updates", "type", "Changes received: eds, svc, config."),
    counter("pilot_push_triggers", "type", "Commits, by what changed: endpoint, service, config, global."),
    counter("pilot_k8s_reg_events", "type,event", "Objects of Kubernetes that came, changed or went."),
    counter("pilot_k8s_cfg_events", "type,event", "Objects of configuration that came, changed or went."),
    // the mesh as it stands
    gauge("pilot_services", "", "Services."),
    gauge("pilot_virt_services", "", "Virtual services."),
    gauge("pilot_total_rejected_configs", "", "Objects and documents that are refused now."),
    gauge(
        "pilot_eds_no_instances",
        "",
        "Clusters that have no endpoints: ports of services, and of their subsets.",
    ),
    gauge(
        "pilot_dns_cluster_without_endpoints",
        "",
        "Clusters that are resolved by name and have no names to resolve.",
    ),
    gauge("endpoint_no_pod", "", "Services with endpoints whose pods are not known."),
    gauge("pilot_k8s_endpoints_pending_pod", "", "Addresses of endpoints whose pods are not known."),
    gauge("pilot_destrule_subsets", "", "Hosts with subsets that several destination rules declare."),
    gauge("pilot_duplicate_envoy_clusters", "", "Always 0: a host has one cluster per port and subset."),
    gauge("pilot_no_ip", "", "Always 0, as in Istio, which declares it and counts nothing."),
    // what connected proxies were given
    gauge("pilot_vservice_dup_domain", "", "Virtual hosts that lack domains which others have."),
    gauge(
        "pilot_conflict_outbound_listener_tcp_over_current_tcp",
        "",
        "Listeners with services that have no place, as others have their conditions.",
    ),
    gauge(
        "pilot_conflict_inbound_listener",
        "",
        "Proxies with a port on which services want different protocols.",
    ),
    gauge(
        "pilot_endpoint_not_ready",
        "",
        "Proxies whose workload is not ready, as slices of services without a selector say.",
    ),
    // certificates
    counter("citadel_server_csr_count", "", "Requests for certificates."),
    counter("citadel_server_authentication_failure_count", "", "Callers that could not prove who they are."),
    counter("citadel_server_csr_parsing_err_count", "", "Requests that could not be read."),
    counter("citadel_server_csr_sign_err_count", "error", "Requests that could not be signed."),
    counter("citadel_server_id_extraction_err_count", "", "Callers whose identity could not be read."),
    counter("citadel_server_success_cert_issuance_count", "", "Certificates issued."),
    gauge("citadel_server_root_cert_expiry_timestamp", "", "When the root ends, in seconds since 1970."),
    gauge("citadel_server_root_cert_expiry_seconds", "", "How long that is from now."),
    gauge(
        "citadel_server_cert_chain_expiry_timestamp",
        "",
        "When the signing certificate of a plugged-in CA ends.",
    ),
    gauge("citadel_server_cert_chain_expiry_seconds", "", "How long that is from now."),
    counter("citadel_server_token_review_count", "result", "Tokens judged by an API server."),
    counter(
        "citadel_server_token_review_cache_hit_count",
        "",
        "Tokens judged by what an API server said a moment before.",
    ),
    counter(
        "grpc_server_started_total",
        "grpc_type,grpc_service,grpc_method",
        "Calls of the certificate service that have begun.",
    ),
    counter(
        "grpc_server_handled_total",
        "grpc_type,grpc_service,grpc_method,grpc_code",
        "Those that have ended.",
    ),
    counter("grpc_server_msg_received_total", "grpc_type,grpc_service,grpc_method", "Their requests."),
    counter("grpc_server_msg_sent_total", "grpc_type,grpc_service,grpc_method", "Their answers."),
    // clusters
    gauge("istiod_managed_clusters", "cluster_type", "Clusters that are read: local, remote."),
    gauge(
        "istiod_remote_cluster_sync_status",
        "cluster,cluster_type,status",
        "1 for the state another cluster is in.",
    ),
    counter(
        "remote_cluster_sync_timeouts_total",
        "",
        "Times that another cluster was not waited for any longer.",
    ),
    counter(
        "remote_cluster_secret_events_total",
        "event",
        "Entries of Secrets that name other clusters, by what became of them.",
    ),
    counter(
        "controller_sync_errors_total",
        "cluster",
        "Lists and watches of a cluster that failed, and were tried again.",
    ),
    counter("pilot_sds_access_review_count", "result", "Questions whether an account may list Secrets."),
    counter("auto_registration_success_total", "", "Workloads outside of Kubernetes that were registered."),
    counter("auto_registration_updates_total", "", "Registrations that were written anew."),
    counter("auto_registration_unregister_total", "", "Registrations that ended with their connection."),
    counter("auto_registration_deletes_total", "", "Registrations that were left over and removed."),
    counter("auto_registration_errors_total", "", "Registrations that could not be written."),
    // the process
    gauge("pilot_info", "version", "Constant 1."),
    gauge("istio_build", "component,tag", "Constant 1."),
    gauge("istiod_uptime_seconds", "", "Seconds since the start."),
    counter("process_cpu_seconds_total", "", "Seconds of processor time."),
    gauge("process_resident_memory_bytes", "", "Memory in use."),
    gauge("process_virtual_memory_bytes", "", "Memory mapped."),
    gauge("process_threads", "", "Threads."),
    gauge("process_open_fds", "", "Open files."),
    gauge("process_start_time_seconds", "", "When it was started, in seconds since 1970."),
];

/// Metrics of Istio's control plane that this one does not have, and why.
pub const ABSENT: &[(&str, &str)] = &[
    (
        "xds_cache_reads, xds_cache_evictions, xds_cache_size, xds_cache_dependent_config_size",
        "What is built is kept as long as a proxy uses it: there is no such cache. /debug/cachez shows what is kept.",
    ),
    (
        "pilot_worker_queue_depth, pilot_worker_queue_duration, pilot_worker_queue_latency",
        "There are no such queues; Istio has them only with ISTIO_ENABLE_CONTROLLER_QUEUE_METRICS.",
    ),
    ("pilot_envoy_filter_status", "Not counted yet; Istio has it only with PILOT_ENVOY_FILTER_STATS."),
    (
        "pilot_k8s_endpoints_with_no_pods",
        "It counts how often such endpoints were looked at; pilot_k8s_endpoints_pending_pod says how many there are.",
    ),
    ("pilot_k8s_proxies_with_no_service_targets, provider_lookup_cluster_failures", "Not counted yet."),
    (
        "pilot_jwks_resolver_network_fetch_success_total, pilot_jwks_resolver_network_fetch_fail_total",
        "Keys of JWT issuers are fetched by proxies.",
    ),
    ("sidecar_injection_*, galley_validation_*, webhook_patch_*", "There are no webhooks yet."),
    ("go_*", "This is no Go program; process_* tells of its memory, threads and processor time."),
];
