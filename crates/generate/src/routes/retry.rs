//! Retry policies (as pilot/pkg/networking/core/route/retry/retry.go).

use config::networking::HttpRetry;
use proto::envoy::config::route::v3::{RetryPolicy, retry_policy};
use proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use proto::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

use crate::encoded::{duration, u32_value};

/// Conditions of the default policy towards upstreams.
const OUTBOUND: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
/// Conditions of the policy towards the own workload.
const INBOUND: &str = "reset-before-request";

fn other_hosts() -> Vec<retry_policy::RetryHostPredicate> {
    vec![retry_policy::RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".into(),
        config_type: Some(retry_policy::retry_host_predicate::ConfigType::TypedConfig(proto::any(
            &PreviousHostsPredicate::default(),
        ))),
    }]
}

/// The policy of a route; `None` when retries are switched off. With a consistent hash the host stays the same.
pub(super) fn outbound(settings: Option<&HttpRetry>, hashed: bool) -> Option<RetryPolicy> {
    let mut out = RetryPolicy {
        num_retries: u32_value(2),
        retry_on: OUTBOUND.into(),
        host_selection_retry_max_attempts: 5,
        retry_host_predicate: if hashed { Vec::new() } else { other_hosts() },
        ..RetryPolicy::default()
    };
    let Some(settings) = settings else { return Some(out) };
    let attempts = u32::try_from(settings.attempts).ok().filter(|a| *a > 0)?;
    out.num_retries = u32_value(attempts);
    if !settings.retry_on.is_empty() {
        (out.retry_on, out.retriable_status_codes) = conditions(&settings.retry_on);
    }
    out.per_try_timeout = settings.per_try_timeout.map(duration);
    if let Some(ignore) = settings.retry_ignore_previous_hosts {
        out.retry_host_predicate = if ignore { other_hosts() } else { Vec::new() };
    }
    if settings.retry_remote_localities == Some(true) {
        out.retry_priority = Some(retry_policy::RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".into(),
            config_type: Some(retry_policy::retry_priority::ConfigType::TypedConfig(proto::any(
                &PreviousPrioritiesConfig { update_frequency: 2 },
            ))),
        });
    }
    out.retry_back_off = settings.backoff.map(|d| retry_policy::RetryBackOff {
        base_interval: Some(duration(d)),
        ..retry_policy::RetryBackOff::default()
    });
    Some(out)
}

/// The policy towards the own workload: only what never reached it.
pub(super) fn inbound() -> RetryPolicy {
    RetryPolicy { num_retries: u32_value(2), retry_on: INBOUND.into(), ..RetryPolicy::default() }
}

/// Splits status codes from named conditions.
fn conditions(retry_on: &str) -> (String, Vec<u32>) {
    let mut names = Vec::new();
    let mut codes = Vec::new();
    for part in retry_on.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        match part.parse::<u32>() {
            Ok(code) if is_status(code) => codes.push(code),
            _ => names.push(part),
        }
    }
    let mut on = names.join(",");
    if !codes.is_empty() && !on.contains("retriable-status-codes") {
        on.push_str(",retriable-status-codes");
    }
    (on, codes)
}

/// Codes that have a name in Go's net/http.
fn is_status(code: u32) -> bool {
    matches!(code, 100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451 | 500..=508 | 510 | 511)
}
