//! The numbers that resources say, as an Envoy would read them.

use std::time::Duration;

use proto::envoy::config::cluster::v3::Cluster;
use proto::envoy::config::core::v3::{Address, address};
use proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, lb_endpoint::HostIdentifier};
use proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost, route};

use super::objects::{Named, Of, milliseconds, named, number_of};

/// What a resource says of an object: every number in it, in order.
pub(super) type Said<'a> = (Named<'a>, Vec<u64>);

/// The host of a name such as `outbound|80||s1.churn.svc.cluster.local`.
fn host(name: &str) -> Option<&str> {
    name.strip_prefix("outbound|80||")
}

pub(super) fn endpoints<'a>(name: &'a str, assignment: &ClusterLoadAssignment) -> Option<Said<'a>> {
    let object = named(Of::Endpoints, host(name)?)?;
    let endpoints = assignment.endpoints.iter().flat_map(|group| &group.lb_endpoints);
    let numbers = endpoints.filter_map(|endpoint| {
        let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else { return None };
        address_of(endpoint.address.as_ref()?)
    });
    Some((object, numbers.collect()))
}

fn address_of(address: &Address) -> Option<u64> {
    let Some(address::Address::SocketAddress(socket)) = &address.address else { return None };
    socket.address.parse().ok().map(number_of)
}

pub(super) fn cluster<'a>(name: &'a str, cluster: &Cluster) -> Option<Said<'a>> {
    let object = named(Of::Rule, host(name)?)?;
    let timeout = cluster.connect_timeout.as_ref().map(|timeout| milliseconds(time(timeout)));
    let thresholds = cluster.circuit_breakers.iter().flat_map(|breakers| &breakers.thresholds);
    let connections = thresholds.filter_map(|threshold| threshold.max_connections.as_ref());
    let connections = connections.map(|most| u64::from(most.value));
    Some((object, timeout.into_iter().chain(connections).collect()))
}

pub(super) fn routes(configuration: &RouteConfiguration) -> Vec<Said<'_>> {
    configuration.virtual_hosts.iter().filter_map(virtual_host).collect()
}

fn virtual_host(host: &VirtualHost) -> Option<Said<'_>> {
    let object = named(Of::Route, host.name.rsplit_once(':')?.0)?;
    let numbers = host.routes.iter().flat_map(|route| match &route.action {
        Some(route::Action::Route(action)) => {
            let retries = action.retry_policy.as_ref().and_then(|policy| policy.per_try_timeout.as_ref());
            action.timeout.iter().chain(retries).map(|timeout| milliseconds(time(timeout))).collect()
        }
        _ => Vec::new(),
    });
    Some((object, numbers.collect()))
}

fn time(duration: &proto::google::protobuf::Duration) -> Duration {
    let whole = Duration::from_secs(u64::try_from(duration.seconds).unwrap_or_default());
    whole + Duration::from_nanos(u64::try_from(duration.nanos).unwrap_or_default())
}
