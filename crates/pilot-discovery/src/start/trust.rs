//! Who people are, put together: the authority and where it is kept, the judges of tokens, the signers of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::Switches;
use config::mesh::MeshConfig;
use identity::Bundle;
use identity::authority::Limits;
use identity::key::Kind;
use process::clock::Clock;
use process::metrics::Metrics;
use process::retry::Policy;
use sources::kubernetes::Directory;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Failure, own_certificate};
use crate::ca::authenticate::{
    ClientCertificate, ForwardedCertificate, JwtAuthenticator, JwtRule, KubernetesTokens, OwnCluster,
    ReviewCounters, Reviewers, token_review,
};
use crate::ca::impersonation::{NodeAuthorizer, PodsOf};
use crate::ca::keys;
use crate::ca::serving::Signed;
use crate::ca::state::Checks;
use crate::ca::store::InSecret;
use crate::ca::{
    self, Authenticator, Ca, Chain, KubernetesSigner, Others, TrustBundle, TrustDomain, kubernetes_signer,
};
use crate::catalog::MeshCatalog;
use crate::fetch::Fetcher;
use crate::options::Options;
use crate::ports::{self, Stop};
use crate::reports::Reports;

/// Where the root of an external CA is mounted (as security/pkg/pki/ra/common.go: DefaultExtCACertDir).
const EXTERNAL_ROOTS: &str = "./etc/external-ca-cert/root-cert.pem";
/// The roots of the cluster's own signers.
const CLUSTER_ROOTS: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// How long the API server that keeps the authority is waited for.
const AUTHORITY_PATIENCE: Duration = Duration::from_secs(20 * 60);

/// Who we are, and who says who others are.
pub(super) struct Identity {
    pub(super) authority: Ca,
    /// Judges whoever connects.
    pub(super) chain: Arc<Chain>,
    /// Judges whoever asks for a certificate.
    pub(super) chain_of_requests: Arc<Chain>,
    /// Has our own certificate signed by others, if they do that.
    signed: Option<Signed>,
    /// Verify tokens by keys that are fetched.
    tokens: Vec<Arc<JwtAuthenticator>>,
}

impl Identity {
    /// Opens the authority in its store, and reads our own certificate.
    pub(super) async fn open(
        options: &Options,
        clusters: Option<&Directory>,
        mesh: &watch::Receiver<Arc<MeshConfig>>,
        trust_domain: &TrustDomain,
        (clock, metrics): (&Arc<dyn Clock>, &Metrics),
    ) -> Result<Self, Failure> {
        let cluster = clusters.and_then(|clusters| clusters.client(clusters.own()));
        let (authority, signed) =
            open_authority(options, mesh, trust_domain, cluster.as_ref(), clock, metrics).await?;
        let (chain, tokens) = judges(options, &authority, clusters.cloned(), trust_domain, metrics)?;
        let (chain_of_requests, more) = judges_of_requests(options, &chain, trust_domain)?;
        let tokens = tokens.into_iter().chain(more).collect();
        Ok(Self { authority, chain, chain_of_requests, signed, tokens })
    }

    /// Keeps all of it fresh, and whom the authority believes beside itself; tells what cannot be done about it. What is to
    /// be waited for at the end.
    pub(super) fn keep(
        self,
        others: TrustBundle,
        reports: Option<Reports>,
        stopped: &Stop,
    ) -> Vec<JoinHandle<()>> {
        if let Some((signed, tls)) = self.signed.zip(self.authority.tls()) {
            tokio::spawn(signed.keep(tls.clone()));
        }
        tokio::spawn(keep_authority(self.authority, others, reports));
        self.tokens.into_iter().map(|tokens| keep_keys(tokens, stopped.clone())).collect()
    }
}

/// Keeps the authority fresh and whom it believes beside itself, and tells what cannot be done about it.
async fn keep_authority(authority: Ca, others: TrustBundle, reports: Option<Reports>) {
    let tell = |what: &'static str, trouble: Option<&str>| {
        if let Some(reports) = &reports {
            reports.authority(what, trouble);
        }
    };
    tokio::join!(authority.keep(Duration::from_secs(60), tell), others.keep());
}

/// Fetches the issuer's keys, as long as the process serves.
fn keep_keys(tokens: Arc<JwtAuthenticator>, stopped: Stop) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            () = keys::keep(tokens, Fetcher::default(), keys::Pace::default()) => {}
            () = ports::stopped(stopped) => {}
        }
    })
}

/// Opens the authority and gets the control plane's own certificate, with what keeps that fresh; an API server that is to
/// keep it and is away is waited for, as
/// pilot/pkg/bootstrap/istio_ca.go: createSelfSignedCACertificateOptions.
async fn open_authority(
    options: &Options,
    mesh: &watch::Receiver<Arc<MeshConfig>>,
    trust_domain: &TrustDomain,
    cluster: Option<&kube::Client>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<(Ca, Option<Signed>), Failure> {
    let (own, signed) = own_certificate::source(options, cluster, mesh, clock).await?;
    let of_state = || authority_options(options, &trust_domain.get(), cluster);
    let state = options.switches.enable_ca_server.then(of_state);
    let deadline = Instant::now() + AUTHORITY_PATIENCE;
    let mut delays = Policy { max: Duration::from_secs(30), ..Policy::default() }.delays();
    loop {
        let (state, own, clock, metrics) = (state.clone(), own.clone(), clock.clone(), metrics.clone());
        let opened = tokio::task::spawn_blocking(move || Ca::open(state, own, clock, &metrics)).await?;
        match opened {
            Err(error) if error.is_temporary() && Instant::now() < deadline => {
                let again = delays.next().unwrap_or_default();
                tracing::warn!(target: "pkica", "{error}; again in {again:.1?}");
                tokio::time::sleep(again).await;
            }
            opened => return Ok((opened?, signed)),
        }
    }
}

/// In a cluster a self-signed root is kept in a Secret, else in a folder.
fn authority_options(options: &Options, trust_domain: &str, cluster: Option<&kube::Client>) -> ca::Options {
    let mut state = ca::Options::in_dir(&options.own_ca, trust_domain);
    let switches = &options.switches;
    if let Some(client) = cluster {
        let (cacerts, runtime) = (switches.use_cacerts_for_self_signed_ca, Handle::current());
        state.store = Arc::new(InSecret::new(client.clone(), &options.namespace, cacerts, runtime));
        state.plugged_may_be_ours = cacerts;
    }
    state.plugged = Some(switches.root_ca_dir.clone().into());
    state.plugged_from_store = switches.use_remote_certs;
    state.multi_root = switches.istio_multiroot_mesh;
    state.revocations = switches.pilot_enable_ca_crl;
    state.grace_percent = switches.citadel_self_signed_root_cert_grace_period_percentile;
    state.root.key = Kind::Rsa(switches.citadel_self_signed_ca_rsa_key_size);
    state.root.ttl = lasts(switches.citadel_self_signed_ca_cert_ttl).unwrap_or(state.root.ttl);
    state.limits = limits_of(switches);
    state.checks = lasts(switches.citadel_self_signed_root_cert_check_interval).map(|every| {
        let jitter = switches.citadel_enable_jitter_for_root_cert_rotator;
        // drawn evenly, as all delays are
        let drawn = Policy { initial: every, max: every, ..Policy::default() }.delays().next();
        Checks { every, first: drawn.filter(|_| jitter).unwrap_or_default() }
    });
    state
}

/// A duration that was given; zero is none.
pub(super) fn lasts(given: config::Duration) -> Option<Duration> {
    given.to_std().filter(|lasts| !lasts.is_zero())
}

/// How long certificates of workloads may live.
fn limits_of(switches: &Switches) -> Limits {
    let limits = Limits::default();
    Limits {
        default_ttl: lasts(switches.default_workload_cert_ttl).unwrap_or(limits.default_ttl),
        max_ttl: lasts(switches.max_workload_cert_ttl).unwrap_or(limits.max_ttl),
    }
}

/// Who judges callers, and of those the one whose keys have to be fetched.
fn judges(
    options: &Options,
    authority: &Ca,
    clusters: Option<Directory>,
    trust_domain: &TrustDomain,
    metrics: &Metrics,
) -> Result<(Arc<Chain>, Option<Arc<JwtAuthenticator>>), Failure> {
    let tokens = token_authenticator(options, trust_domain)?;
    let reviewed = reviewed_tokens(options, clusters, trust_domain, metrics)?;
    Ok((Arc::new(chain_of(options, authority, tokens.clone(), reviewed)), tokens))
}

/// Who believes the tokens of `JWT_RULE`'s issuer, if there is one.
fn token_authenticator(
    options: &Options,
    trust_domain: &TrustDomain,
) -> Result<Option<Arc<JwtAuthenticator>>, Failure> {
    let rule = &options.switches.jwt_rule;
    if rule.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(JwtAuthenticator::of_rule(&JwtRule::parse(rule)?, trust_domain)?)))
}

/// Who judges callers of the certificate service: those who judge all callers, and outside of Kubernetes whoever believes
/// the tokens of `TOKEN_ISSUER`, whose keys have to be fetched. As pilot/pkg/bootstrap/istio_ca.go: RunCA.
pub(super) fn judges_of_requests(
    options: &Options,
    chain: &Arc<Chain>,
    trust_domain: &TrustDomain,
) -> Result<(Arc<Chain>, Option<Arc<JwtAuthenticator>>), Failure> {
    let switches = &options.switches;
    if switches.token_issuer.is_empty() || options.in_cluster {
        return Ok((chain.clone(), None));
    }
    let audiences = match switches.audience.as_str() {
        "" => token_review::Rules::audiences(&switches.token_audiences),
        audience => vec![audience.to_owned()],
    };
    let rule = JwtRule { issuer: switches.token_issuer.clone(), audiences, ..JwtRule::default() };
    let tokens = Arc::new(JwtAuthenticator::of_rule(&rule, trust_domain)?);
    Ok((Arc::new(chain.with(tokens.clone())), Some(tokens)))
}

/// As pilot/pkg/bootstrap/server.go: who is asked first what a caller is worth.
fn chain_of(
    options: &Options,
    authority: &Ca,
    tokens: Option<Arc<JwtAuthenticator>>,
    reviewed: Option<KubernetesTokens>,
) -> Chain {
    let mut chain: Vec<Arc<dyn Authenticator>> =
        vec![Arc::new(ClientCertificate::new(authority.live().clone()))];
    chain.extend(tokens.map(|tokens| tokens as Arc<dyn Authenticator>));
    chain.extend(reviewed.map(|tokens| Arc::new(tokens) as Arc<dyn Authenticator>));
    let switches = &options.switches;
    if !switches.trusted_gateway_cidr.is_empty() {
        let (forwarded, wrong) = ForwardedCertificate::new(&switches.trusted_gateway_cidr);
        for network in wrong {
            tracing::warn!("TRUSTED_GATEWAY_CIDR: {network:?} is not a network; it is left out");
        }
        chain.push(Arc::new(forwarded));
    }
    Chain::new(chain)
}

/// Has the API servers of all clusters say who may list Secrets there, or that of our own if Secrets of others are not
/// served (as pilot/pkg/credentials/kube/multicluster.go: `Authorize` without a controller). Without any nobody is asked.
pub(super) fn judge_secrets(
    options: &Options,
    catalog: &MeshCatalog,
    clusters: Option<&Directory>,
    metrics: &Metrics,
) {
    let Some(clusters) = clusters.cloned() else { return };
    let reviewers: Arc<dyn Reviewers> = match options.switches.pilot_enable_remote_credentials_controller {
        true => Arc::new(clusters),
        false => Arc::new(OwnCluster(clusters)),
    };
    catalog.judge_secrets(reviewers, options.cluster_aliases.clone(), options.secret_access_pace, metrics);
}

/// Who believes the tokens that the API server believes, if there is one.
fn reviewed_tokens(
    options: &Options,
    clusters: Option<Directory>,
    trust_domain: &TrustDomain,
    metrics: &Metrics,
) -> Result<Option<KubernetesTokens>, Failure> {
    let Some(clusters) = clusters else { return Ok(None) };
    let rules = token_review::Rules {
        own: options.cluster.clone(),
        aliases: options.cluster_aliases.clone(),
        audiences: token_review::Rules::audiences(&options.switches.token_audiences),
        limit: options.review_limit,
    };
    let counters = ReviewCounters::register(metrics);
    let new = KubernetesTokens::new(Arc::new(clusters), rules, trust_domain, counters);
    Ok(Some(new.map_err(|_| "no random numbers for the memory of token reviews")?))
}

/// The certificate service, if there is an authority.
pub(super) fn service_of(
    authority: &Ca,
    judges: Arc<Chain>,
    options: &Options,
    catalog: &Arc<MeshCatalog>,
    signer: Option<Arc<KubernetesSigner>>,
) -> Option<ca::Service> {
    let service = authority.service(judges)?;
    Some(with_nodes(service, options, catalog).with_signer(signer))
}

/// Lets the accounts of `CA_TRUSTED_NODE_ACCOUNTS` have certificates of what runs beside them.
fn with_nodes(service: ca::Service, options: &Options, catalog: &Arc<MeshCatalog>) -> ca::Service {
    let list = &options.switches.ca_trusted_node_accounts;
    if list.is_empty() {
        return service;
    }
    let (nodes, wrong) =
        NodeAuthorizer::new(list, Arc::new(PodsOf::new(catalog.clone(), options.cluster.as_str())));
    for item in wrong {
        tracing::warn!("CA_TRUSTED_NODE_ACCOUNTS: {item:?} is not namespace/name; it is left out");
    }
    service.with_nodes(nodes)
}

/// The roots of others, shown in the authority and told to agents where several roots are wanted. As
/// pilot/pkg/bootstrap/server.go: initWorkloadTrustBundle.
pub(super) fn bundle(
    options: &Options,
    authority: &Ca,
    of_signer: Option<Bundle>,
    mesh: watch::Receiver<Arc<MeshConfig>>,
    catalog: &MeshCatalog,
) -> TrustBundle {
    let given = Others { anywhere: of_signer.unwrap_or_default(), ..Others::default() };
    let multi_root = options.switches.istio_multiroot_mesh;
    let bundle = TrustBundle::new(authority.live().clone(), given, multi_root, mesh);
    if multi_root {
        catalog.tell_anchors(authority.live());
    }
    bundle
}

/// Who signs for workloads instead of our authority, if somebody does, and its roots if they are known beforehand. As
/// pilot/pkg/bootstrap/istio_ca.go: createIstioRA.
pub(super) fn signer_of(
    options: &Options,
    cluster: Option<kube::Client>,
    catalog: &Arc<MeshCatalog>,
    clock: Arc<dyn Clock>,
) -> Result<(Option<Arc<KubernetesSigner>>, Option<Bundle>), Failure> {
    let switches = &options.switches;
    match switches.external_ca.as_str() {
        "" => return Ok((None, None)),
        "ISTIOD_RA_KUBERNETES_API" => {}
        other => return Err(format!("EXTERNAL_CA={other}: want ISTIOD_RA_KUBERNETES_API, or nothing").into()),
    }
    let client = cluster.ok_or("EXTERNAL_CA needs the API server of a cluster, and there is none")?;
    let domain = switches.cert_signer_domain.clone();
    let roots = external_roots(&domain)?;
    let limits = limits_of(switches);
    let rules = kubernetes_signer::Rules {
        signer: switches.k8s_signer.clone(),
        domain,
        roots: roots.clone(),
        limits,
        patience: kubernetes_signer::PATIENCE,
    };
    let catalog = catalog.clone();
    let root_of = move |signer: &str| {
        let world = catalog.world();
        kubernetes_signer::root_in(&world.settings.peek(&())?.mesh, signer)
    };
    let signer = KubernetesSigner::new(client, rules, Box::new(root_of), clock);
    Ok((Some(Arc::new(signer)), roots))
}

/// The roots of external signers: a mounted file, else those of the cluster's own signers, unless callers name signers.
fn external_roots(domain: &str) -> Result<Option<Bundle>, Failure> {
    let read = |path: &str| match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Bundle::from_pem(&text).map_err(|error| format!("{path}: {error}"))?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{path}: {error}")),
    };
    match read(EXTERNAL_ROOTS)? {
        None if domain.is_empty() => {
            let missing = || {
                format!("{EXTERNAL_ROOTS}: no root of the external CA; mount one, or set CERT_SIGNER_DOMAIN")
            };
            Ok(Some(read(CLUSTER_ROOTS)?.ok_or_else(missing)?))
        }
        found => Ok(found),
    }
}
