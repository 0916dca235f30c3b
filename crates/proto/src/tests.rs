//! What the generated code promises to the other crates.

use prost::Name;

use crate::envoy::config::cluster::v3::Cluster;
use crate::google::protobuf::UInt32Value;

#[test]
fn type_urls_are_those_of_xds() {
    assert_eq!(Cluster::type_url(), "type.googleapis.com/envoy.config.cluster.v3.Cluster");
    assert_eq!(crate::istio::workload::Address::type_url(), "type.googleapis.com/istio.workload.Address");
    assert_eq!(crate::stats::PluginConfig::type_url(), "type.googleapis.com/stats.PluginConfig");
}

#[test]
fn any_packs_under_the_type_url() {
    let any = crate::any(&UInt32Value { value: 7 });
    assert_eq!(any.type_url, "type.googleapis.com/google.protobuf.UInt32Value");
    assert_eq!(any.value.as_ref(), [8, 7]);
}

/// Compiles only where the services that the programs need have both ends.
#[test]
fn services_have_a_server_and_a_client() {
    use crate::envoy::service::discovery::v3 as discovery;
    use crate::envoy::service::secret::v3 as secret;
    use crate::istio::v1::auth;
    fn exists<T>() {}
    exists::<discovery::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer<()>>();
    exists::<discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient<()>>();
    exists::<secret::secret_discovery_service_server::SecretDiscoveryServiceServer<()>>();
    exists::<secret::secret_discovery_service_client::SecretDiscoveryServiceClient<()>>();
    exists::<auth::istio_certificate_service_server::IstioCertificateServiceServer<()>>();
    exists::<auth::istio_certificate_service_client::IstioCertificateServiceClient<()>>();
}
