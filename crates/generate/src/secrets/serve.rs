//! Secrets that the control plane serves to gateways: certificates and CA bundles from Secrets and ConfigMaps
//! (as pilot/pkg/xds/sds.go).

use std::sync::Arc;

use config::Kind;
use mesh::gateways::Credential;
use mesh::{MaterialKey, ObjectKey, World};
use proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret,
};
use tables::{Level, Reads};

use super::CA_SUFFIX;
use crate::encoded::{Resource, TypeName};
use crate::provenance::{self, Origin};
use crate::proxy::Proxy;

/// Where a resource name leads.
struct Reference {
    config_map: bool,
    /// To the proxy's own cluster first.
    own_cluster: bool,
    namespace: Arc<str>,
    name: String,
}

/// `kubernetes://[ns/]name[-cacert]`, `kubernetes-gateway://ns/name`, `configmap://ns/name[-cacert]`
/// (as pilot/pkg/model/credentials/resource.go: `ParseResourceName`).
fn parse(resource: &str, own: &Arc<str>) -> Option<Reference> {
    let split = |rest: &str| match rest.split_once('/') {
        Some((namespace, name)) => (Arc::from(namespace), name.to_owned()),
        None => (own.clone(), rest.to_owned()),
    };
    if let Some(rest) = resource.strip_prefix("kubernetes://") {
        let (namespace, name) = split(rest);
        return Some(Reference { config_map: false, own_cluster: true, namespace, name });
    }
    if let Some(rest) = resource.strip_prefix("kubernetes-gateway://") {
        let (namespace, name) = rest.split_once('/')?;
        let (namespace, name) = (namespace.into(), name.to_owned());
        return Some(Reference { config_map: false, own_cluster: false, namespace, name });
    }
    let (namespace, name) = resource.strip_prefix("configmap://")?.split_once('/')?;
    let (namespace, name) = (namespace.into(), name.to_owned());
    Some(Reference { config_map: true, own_cluster: false, namespace, name })
}

/// The namespace that a resource name leads to, for a proxy of namespace `own`; `None` for other names.
pub(crate) fn namespace_of(resource: &str, own: &Arc<str>) -> Option<Arc<str>> {
    parse(resource, own).map(|r| r.namespace)
}

/// The secret of this name for a proxy, if it may have it: secrets of its own namespace and CA bundles in ConfigMaps.
/// References across namespaces need a grant, which only Gateway API gives. A Secret is looked for in the proxy's cluster,
/// then in the config cluster; what a Gateway of the Gateway API or a ConfigMap names stands in the latter alone
/// (as pilot/pkg/credentials/kube/multicluster.go: `AggregateController`).
pub fn resource<L: Level>(r: &Reads<L>, world: &World, proxy: &Proxy, name: &str) -> Option<Resource> {
    let reference = parse(name, &proxy.namespace)?;
    if !reference.config_map && reference.namespace != proxy.namespace {
        return None;
    }
    let ours = &crate::settings(r, world).cluster;
    let first = (reference.own_cluster && proxy.cluster != *ours).then_some(&proxy.cluster);
    first.into_iter().chain([ours]).find_map(|cluster| of_cluster(r, world, cluster, &reference, name))
}

/// What a cluster has under the name, if it is what is asked for.
fn of_cluster<L: Level>(
    r: &Reads<L>,
    world: &World,
    cluster: &Arc<str>,
    reference: &Reference,
    name: &str,
) -> Option<Resource> {
    let read = |n: &str| {
        let (cluster, namespace) = (cluster.clone(), reference.namespace.clone());
        let object = ObjectKey { cluster, namespace, name: n.into() };
        let row = world.credentials.get(r, &MaterialKey { config_map: reference.config_map, object })?;
        provenance::resource(
            r,
            TypeName::Secret,
            || name,
            || {
                let kind = if reference.config_map { Kind::ConfigMap } else { Kind::Secret };
                provenance::note(r, || ("", Origin::field(kind, (&reference.namespace, n), "data")));
            },
        );
        Some(row)
    };
    let plain = reference.name.strip_suffix(CA_SUFFIX);
    if reference.config_map {
        let row = read(plain.unwrap_or(&reference.name))?;
        return authority(name, row);
    }
    match plain {
        // A secret `name-cacert` of its own wins over the `ca.crt` of `name`.
        Some(base) => {
            authority(name, read(&reference.name).filter(|c| !c.ca.is_empty()).or_else(|| read(base))?)
        }
        None => certificate(name, read(&reference.name)?),
    }
}

fn inline(bytes: &[u8]) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(bytes.to_vec())), ..DataSource::default() }
}

fn authority(name: &str, row: &Credential) -> Option<Resource> {
    if row.ca.is_empty() {
        return None;
    }
    let context = CertificateValidationContext {
        trusted_ca: Some(inline(&row.ca)),
        crl: (!row.crl.is_empty()).then(|| inline(&row.crl)),
        ..CertificateValidationContext::default()
    };
    Some(Resource::encode(
        name,
        &Secret { name: name.into(), r#type: Some(secret::Type::ValidationContext(context)) },
    ))
}

fn certificate(name: &str, row: &Credential) -> Option<Resource> {
    if row.chain.is_empty() || row.key.is_empty() {
        return None;
    }
    let certificate = TlsCertificate {
        certificate_chain: Some(inline(&row.chain)),
        private_key: Some(inline(&row.key)),
        ocsp_staple: (!row.staple.is_empty()).then(|| inline(&row.staple)),
        ..TlsCertificate::default()
    };
    Some(Resource::encode(
        name,
        &Secret { name: name.into(), r#type: Some(secret::Type::TlsCertificate(certificate)) },
    ))
}
