//! Who gives the control plane's own certificate (`PILOT_CERT_PROVIDER`, and files that win over it).

use std::path::Path;
use std::sync::Arc;

use config::mesh::MeshConfig;
use identity::authority::San;
use process::clock::Clock;
use tokio::sync::watch;

use super::{Failure, trust};
use crate::ca::serving::{Files, Signed, Source, Wanted, default_names};
use crate::ca::{self, Own};
use crate::options::Options;

/// Whoever it is, and what keeps it fresh if that takes asking others. As pilot/pkg/bootstrap/server.go: initIstiodCerts.
///
/// # Errors
/// It was asked for in vain.
pub(super) async fn source(
    options: &Options,
    cluster: Option<&kube::Client>,
    mesh: &watch::Receiver<Arc<MeshConfig>>,
    clock: &Arc<dyn Clock>,
) -> Result<(Option<Own>, Option<Signed>), Failure> {
    let own = |source| Some(Own { source, policy: options.tls.clone() });
    let switches = &options.switches;
    if let Some(files) = options.certificate.clone().or_else(|| Files::well_known(Path::new("."))) {
        tracing::info!(target: "serverca", "the certificate of the control plane is that of {}", files.cert.display());
        return Ok((own(Source::Files(files)), None));
    }
    match switches.pilot_cert_provider.as_str() {
        "istiod" if switches.enable_ca_server => Ok((own(Source::Authority(names_of(options))), None)),
        "kubernetes" => Err(
            "PILOT_CERT_PROVIDER=kubernetes is no longer possible: Kubernetes signs no such certificates. \
                             Use istiod, or k8s.io/<signer>"
                .into(),
        ),
        provider => match provider.strip_prefix("k8s.io/") {
            Some(signer) => {
                let signed = signed(options, signer, cluster, mesh, clock).await?;
                Ok((own(signed.source()), Some(signed)))
            }
            None => {
                tracing::warn!(target: "serverca", "the control plane has no certificate (PILOT_CERT_PROVIDER={provider}, ENABLE_CA_SERVER={}): nothing is served over TLS", switches.enable_ca_server);
                Ok((None, None))
            }
        },
    }
}

async fn signed(
    options: &Options,
    signer: &str,
    cluster: Option<&kube::Client>,
    mesh: &watch::Receiver<Arc<MeshConfig>>,
    clock: &Arc<dyn Clock>,
) -> Result<Signed, Failure> {
    let client = cluster
        .ok_or("PILOT_CERT_PROVIDER=k8s.io/... needs the API server of a cluster, and there is none")?;
    // others do not vouch for names of this machine
    let ours = |name: &San| match name {
        San::Dns(host) => host != "localhost",
        San::Ip(ip) => !ip.is_loopback(),
        San::Uri(_) => true,
    };
    let ttl = trust::lasts(options.switches.citadel_self_signed_ca_cert_ttl);
    let wanted = Wanted {
        signer: signer.to_owned(),
        names: names_of(options).into_iter().filter(ours).collect(),
        key: options.tls.key(),
        ttl: ttl.unwrap_or_else(|| identity::authority::SelfSigned::of("").ttl),
    };
    let signed = Signed::begin(client.clone(), wanted, mesh.clone(), clock.clone()).await;
    Ok(signed.map_err(ca::Error::from)?)
}

fn names_of(options: &Options) -> Vec<San> {
    let switches = &options.switches;
    let more: Vec<String> =
        switches.istiod_custom_host.split(',').map(|host| host.trim().to_owned()).collect();
    default_names(&options.namespace, &switches.revision, &more)
}
