//! The certificate service's metrics, under upstream's names (security/pkg/server/ca/monitoring.go).

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use identity::Certificate;
use process::clock::Clock;
use process::metrics::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use xds::server::code_name;

use super::live::Live;

/// The counters of the service. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    pub(super) requests: Counter,
    pub(super) authentication_failures: Counter,
    pub(super) csr_errors: Counter,
    pub(super) id_errors: Counter,
    pub(super) sign_errors: Family<Vec<(String, String)>, Counter>,
    pub(super) successes: Counter,
    calls: Calls,
}

/// The labels of a gRPC call.
type Call = [(&'static str, &'static str); 3];

/// Calls of the certificate service, under the names of gRPC's own counters; as upstream, whose interceptors count calls
/// of one message and no streams.
#[derive(Debug, Clone, Default)]
struct Calls {
    started: Family<Call, Counter>,
    handled: Family<[(&'static str, &'static str); 4], Counter>,
    received: Family<Call, Counter>,
    sent: Family<Call, Counter>,
}

/// The one call there is.
const CALL: Call = [
    ("grpc_type", "unary"),
    ("grpc_service", "istio.v1.auth.IstioCertificateService"),
    ("grpc_method", "CreateCertificate"),
];

impl Counters {
    /// Registers the counters, and the gauges about the life of `live`'s certificates.
    pub fn register(metrics: &Metrics, live: &Live, clock: Arc<dyn Clock>) -> Self {
        let counters = Self::default();
        let counter = |name: &str, help: &str, counter: &Counter| {
            metrics.register(name, help, counter.clone());
        };
        counter(
            "citadel_server_csr_count",
            "The number of CSRs received by the CA server",
            &counters.requests,
        );
        counter(
            "citadel_server_authentication_failure_count",
            "The number of authentication failures",
            &counters.authentication_failures,
        );
        counter(
            "citadel_server_csr_parsing_err_count",
            "The number of CSRs that could not be read",
            &counters.csr_errors,
        );
        counter(
            "citadel_server_id_extraction_err_count",
            "The number of callers whose identity could not be read",
            &counters.id_errors,
        );
        counter(
            "citadel_server_success_cert_issuance_count",
            "The number of certificates issued",
            &counters.successes,
        );
        let help = "The number of CSRs that could not be signed";
        metrics.register("citadel_server_csr_sign_err_count", help, counters.sign_errors.clone());
        counters.calls.register(metrics);
        metrics.register_collector(Expiry { live: live.clone(), clock });
        counters
    }

    /// Counts a call that has begun, with its message.
    pub(super) fn begun(&self) {
        self.calls.started.get_or_create(&CALL).inc();
        self.calls.received.get_or_create(&CALL).inc();
    }

    /// Counts how a call ended.
    pub(super) fn ended(&self, code: tonic::Code) {
        let [of, service, method] = CALL;
        self.calls.handled.get_or_create(&[of, service, method, ("grpc_code", code_name(code))]).inc();
        if code == tonic::Code::Ok {
            self.calls.sent.get_or_create(&CALL).inc();
        }
    }

    /// Counts a failure to sign under upstream's `error` label.
    pub(super) fn sign_error(&self, kind: &str) {
        self.sign_errors.get_or_create(&vec![("error".to_string(), kind.to_string())]).inc();
    }
}

impl Calls {
    fn register(&self, metrics: &Metrics) {
        let help = "Calls of one message that have begun";
        metrics.register("grpc_server_started_total", help, self.started.clone());
        let help = "Calls of one message that have ended, by code";
        metrics.register("grpc_server_handled_total", help, self.handled.clone());
        let help = "Messages of such calls that were received";
        metrics.register("grpc_server_msg_received_total", help, self.received.clone());
        let help = "Messages of such calls that were sent";
        metrics.register("grpc_server_msg_sent_total", help, self.sent.clone());
    }
}

/// The gauges that change with the clock.
#[derive(Debug)]
struct Expiry {
    live: Live,
    clock: Arc<dyn Clock>,
}

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.clock.now();
        let mut both = |prefix: &str, what: &str, cert: &Certificate| {
            let end = seconds(cert.not_after());
            let pairs = [
                ("timestamp", format!("The unix timestamp, in seconds, when the {what} will expire"), end),
                (
                    "seconds",
                    format!("The seconds before the {what} will expire; negative if it has"),
                    end - seconds(now),
                ),
            ];
            for (suffix, help, value) in pairs {
                let gauge = ConstGauge::new(value);
                let name = format!("citadel_server_{prefix}_expiry_{suffix}");
                gauge.encode(encoder.encode_descriptor(&name, &help, None, gauge.metric_type())?)?;
            }
            Ok(())
        };
        let Some(authority) = self.live.authority() else { return Ok(()) };
        if let Some(root) = authority.bundle().roots().first() {
            both("root_cert", "root cert", root)?;
        }
        match authority.chain().first() {
            Some(cert) => both("cert_chain", "cert chain", cert),
            None => Ok(()),
        }
    }
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
