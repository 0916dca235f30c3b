//! Who may what: every kind of caller, each with every proof it can have, against everything that is not for everybody.

use identity::authority::San;
use identity::csr;
use identity::key::{Kind as KeyKind, PrivateKey};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, PostParams};
use proto::google::protobuf::Struct;
use proto::istio::v1::auth::IstioCertificateRequest;
use proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use testkit::api_server::{ApiServer, objects};
use tonic::transport::Channel;

use super::cluster::{apply, namespace, options_of};
use super::upstream_agent::{ask, connect, connect_as, text};
use super::*;

/// The Secret that the Gateway of `shop` names, and the CA certificate in it.
pub(super) const SECRET: &str = "kubernetes://cert";
pub(super) const CA: &str = "kubernetes://cert-cacert";

const GATEWAY: &str = "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: gw, namespace: shop}, spec: {selector: {istio: gw}, \
    servers: [{port: {number: 8443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: MUTUAL, credentialName: cert}}]}}";

/// A pod's account; its pod is `<account>-1`.
pub(super) type Account = (&'static str, &'static str);

pub(super) const GW: Account = ("shop", "gw");
const WEB: Account = ("shop", "web");
const BANK: Account = ("bank", "web");
const AGENT: Account = ("istio-system", "ztunnel");

fn spiffe((namespace, account): Account) -> String {
    format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")
}

/// An API server with the accounts; none of them may list Secrets yet.
pub(super) async fn cluster_of(accounts: &[Account]) -> (ApiServer, kube::Client) {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    for name in ["istio-system", "shop", "bank"] {
        namespace(&client, name).await;
    }
    for (namespace, name) in accounts {
        apply::<ServiceAccount>(&client, namespace, json!({"metadata": {"name": name}})).await;
    }
    (server, client)
}

pub(super) async fn grant(client: &kube::Client, (namespace, account): Account) {
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}]);
    apply::<Role>(client, namespace, json!({"metadata": {"name": "secrets"}, "rules": rules})).await;
    let binding = json!({
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "secrets"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    });
    apply::<RoleBinding>(client, namespace, binding).await;
}

pub(super) async fn token(client: &kube::Client, account: Account) -> String {
    token_of(client, account, json!({"audiences": ["istio-ca"]})).await
}

async fn token_of(client: &kube::Client, (namespace, account): Account, spec: Value) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let asked: TokenRequest = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
    let made = accounts.create_token_request(account, &PostParams::default(), &asked).await.unwrap();
    made.status.unwrap().token.unwrap()
}

/// The control plane of a cluster with a Gateway in `shop`, with edited options, and the roots of its certificates.
pub(super) async fn started_in(
    server: &ApiServer,
    client: &kube::Client,
    folder: &Path,
    edit: impl FnOnce(&mut Options),
) -> (Running, Vec<u8>) {
    let data = json!({"tls.crt": "CHAIN", "tls.key": "KEY", "ca.crt": "ROOT"});
    apply::<Secret>(client, "shop", json!({"metadata": {"name": "cert"}, "stringData": data})).await;
    objects::apply(client, GATEWAY).await.unwrap();
    let plain = format!("--grpcAddr=unix://{}", folder.join("xds.sock").display());
    let mut options = options_of(server, folder, &plain);
    options.secret_access_pace = Duration::from_millis(200);
    edit(&mut options);
    let running = start(options).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    let root = secrets.get("istio-ca-secret").await.unwrap().data.unwrap()["root-cert.pem"].0.clone();
    (running, root)
}

/// A connection and the headers of its calls.
pub(super) struct Caller {
    channel: Channel,
    headers: http::HeaderMap,
}

impl Caller {
    pub(super) async fn with(root: &[u8], running: &Running, token: Option<&str>) -> Self {
        let bearer = token.map(|token| format!("Bearer {token}").parse().unwrap());
        let bearer = bearer.map(|value| (http::header::AUTHORIZATION, value));
        Self { channel: connect(root, running).await, headers: bearer.into_iter().collect() }
    }

    /// A certificate with the names in it, or how the call ended.
    async fn certificate(
        &self,
        wanted: Account,
        impersonated: Option<Account>,
    ) -> Result<(Vec<String>, String, PrivateKey), String> {
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let csr = csr::make(&key, &[San::Uri(spiffe(wanted))]).unwrap();
        let fields = impersonated.map(|who| ("ImpersonatedIdentity".to_owned(), text(&spiffe(who))));
        let metadata = Some(Struct { fields: fields.into_iter().collect() });
        let mut request =
            tonic::Request::new(IstioCertificateRequest { csr, validity_duration: 3600, metadata });
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(self.headers.clone());
        let mut service = IstioCertificateServiceClient::new(self.channel.clone());
        let answer = service.create_certificate(request).await.map_err(|status| code(&status))?;
        let leaf = answer.into_inner().cert_chain.swap_remove(0);
        let parsed = identity::cert::parse_chain(&leaf).unwrap();
        Ok((parsed[0].uris().iter().map(ToString::to_string).collect(), leaf, key))
    }

    /// The same, as a cell: `own` is a certificate for the account and nobody else.
    async fn certified(&self, own: Account, wanted: Account, impersonated: Option<Account>) -> String {
        match self.certificate(wanted, impersonated).await {
            Ok((names, ..)) if names == [spiffe(own)] => "own".to_owned(),
            Ok((names, ..)) => names.join(","),
            Err(code) => code,
        }
    }

    pub(super) fn stream(&self, variant: Variant, node: Node) -> Stream {
        Stream::new(self.channel.clone(), variant, node, self.headers.clone())
    }

    /// A sidecar of the account, at its clusters.
    async fn sidecar(&self, account: Account) -> Result<Stream, String> {
        let mut stream = self.stream(Variant::Delta, node("sidecar", account));
        stream.send(ask(Variant::Delta, &TypeUrl::Cluster, &[], None));
        let response = next(&mut stream).await?;
        stream.answer(&response, None, &[]);
        Ok(stream)
    }

    /// A gateway of the account that wants the Secret and its CA certificate.
    fn gateway(&self, account: Account) -> Stream {
        let mut stream = self.stream(Variant::Delta, node("router", account));
        stream.send(ask(Variant::Delta, &TypeUrl::Secret, &[SECRET, CA], None));
        stream
    }

    /// Whether a gateway of the account gets the Secret.
    async fn secret(&self, running: &Running, account: Account) -> String {
        let before = denied(running).await;
        let mut stream = self.gateway(account);
        if account.0 != "shop" {
            // the Gateway is not for it, so nobody is asked about it
            return match next(&mut stream).await {
                Ok(response) if response.resources.is_empty() => "none".to_owned(),
                Ok(response) => format!("{:?}", response.resources),
                Err(code) => code,
            };
        }
        match held_or_denied(running, &mut stream, before).await {
            Ok(true) => "served".to_owned(),
            Ok(false) => "withheld".to_owned(),
            Err(code) => code,
        }
    }

    /// What of a debug page a caller sees.
    async fn page(&self, account: Account, page: &str) -> String {
        let mut stream = self.stream(Variant::Sotw, node("sidecar", account));
        stream.send(ask(Variant::Sotw, &TypeUrl::parse("istio.io/debug"), &[page], None));
        match next(&mut stream).await {
            Ok(answer) if answer.resources[0].body.starts_with(b"Proxy not connected") => "hidden".to_owned(),
            Ok(answer) if matches!(answer.resources[0].body.first(), Some(b'{' | b'[')) => "seen".to_owned(),
            Ok(answer) => String::from_utf8_lossy(&answer.resources[0].body).into_owned(),
            Err(code) => code,
        }
    }
}

fn code(status: &tonic::Status) -> String {
    format!("{:?}", status.code())
}

async fn next(stream: &mut Stream) -> Result<RawResponse, String> {
    let next = tokio::time::timeout(Duration::from_secs(120), stream.next()).await.expect("no answer");
    next.map_err(|status| code(&status)).map(|response| response.expect("the stream ended"))
}

fn pod((namespace, account): Account) -> String {
    format!("{account}-1.{namespace}")
}

pub(super) fn node(kind: &str, account: Account) -> Node {
    let labels = Struct { fields: [("istio".to_owned(), text("gw"))].into() };
    let mut fields: std::collections::BTreeMap<_, _> =
        [("CLUSTER_ID", "Kubernetes"), ("NAMESPACE", account.0), ("SERVICE_ACCOUNT", account.1)]
            .map(|(key, value)| (key.to_owned(), text(value)))
            .into();
    let labels = proto::google::protobuf::value::Kind::StructValue(labels);
    fields.insert("LABELS".to_owned(), proto::google::protobuf::Value { kind: Some(labels) });
    let (pod, namespace) = (pod(account), account.0);
    let id = format!("{kind}~10.1.0.5~{pod}~{namespace}.svc.cluster.local");
    Node { id, metadata: Some(Struct { fields }), ..Node::default() }
}

/// How often an API server said that an account may not list Secrets.
pub(super) async fn denied(running: &Running) -> u64 {
    let text = get(running, 3, "/metrics").await.unwrap();
    let line = text.lines().find_map(|line| {
        line.strip_prefix("pilot_sds_access_review_count_total{result=\"denied\"} ")
            .or_else(|| line.strip_prefix("pilot_sds_access_review_count{result=\"denied\"} "))
    });
    line.map_or(0, |count| count.trim().parse().unwrap())
}

/// Reads until the Secret comes, or until the API server has said more often than `before` that it must not.
pub(super) async fn held_or_denied(
    running: &Running,
    stream: &mut Stream,
    before: u64,
) -> Result<bool, String> {
    let has = |response: &RawResponse| response.resources.iter().any(|r| r.name == SECRET);
    let found = testkit::eventually(
        "the Secret, or the word that it is not given",
        Duration::from_secs(60),
        async || match tokio::time::timeout(Duration::from_millis(100), stream.next()).await {
            Ok(Ok(Some(response))) => {
                stream.answer(&response, None, &[]);
                has(&response).then_some(Ok(true))
            }
            Ok(Ok(None)) => Some(Err("ended".to_owned())),
            Ok(Err(status)) => Some(Err(code(&status))),
            Err(_) => (denied(running).await > before).then_some(Ok(false)),
        },
    );
    found.await.unwrap()
}

/// Reads until a response of secrets is as wanted.
pub(super) async fn secrets_until(stream: &mut Stream, wanted: impl Fn(&RawResponse) -> bool) -> RawResponse {
    loop {
        let response = next(stream).await.unwrap();
        stream.answer(&response, None, &[]);
        if wanted(&response) {
            return response;
        }
    }
}

pub(super) fn names(response: &RawResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_has_its_secret_as_long_as_its_account_may_list_secrets() {
    let (server, client) = cluster_of(&[GW]).await;
    let folder = tempfile::tempdir().unwrap();
    let (running, root) = started_in(&server, &client, folder.path(), |_| {}).await;
    let caller = Caller::with(&root, &running, Some(&token(&client, GW).await)).await;

    let before = denied(&running).await;
    let mut stream = caller.gateway(GW);
    let first = next(&mut stream).await.unwrap();
    assert_eq!(names(&first), [CA], "what is no secret is given to all");
    stream.answer(&first, None, &[]);
    assert_eq!(held_or_denied(&running, &mut stream, before).await, Ok(false));

    grant(&client, GW).await;
    let given = secrets_until(&mut stream, |response| !response.resources.is_empty()).await;
    assert_eq!(names(&given), [SECRET]);
    // a second one of the account has it, and so does the class
    let mut second = caller.gateway(GW);
    secrets_until(&mut second, |response| names(response).contains(&SECRET)).await;

    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), "shop");
    bindings.delete("gw", &DeleteParams::default()).await.unwrap();
    let taken = secrets_until(&mut stream, |response| !response.removed.is_empty()).await;
    assert_eq!((names(&taken), taken.removed.as_slice()), (vec![], [SECRET.to_owned()].as_slice()));

    // who did not prove who it is has nothing, whatever it says it is
    let channel = dial::unix(folder.path().join("xds.sock"))(0).await.unwrap();
    let mut stream = Caller { channel, headers: http::HeaderMap::new() }.gateway(GW);
    assert_eq!(names(&next(&mut stream).await.unwrap()), [""; 0]);
    running.stop(Duration::from_secs(10)).await;
}

/// What the columns of the matrix are.
const COLUMNS: &str = "own certificate, impersonating, foreign name in the CSR, xDS as itself, xDS as another, \
    the gateway's Secret, the page of all, the page of its own proxy, the page of another namespace's";

/// Nobody impersonates, for no account is trusted to. The agent of nodes lives in the control plane's namespace, which sees every
/// page.
const EXPECTED: &str = "
gateway: own, Unauthenticated, own, served, PermissionDenied, served, PermissionDenied, seen, hidden
gateway by certificate: own, Unauthenticated, own, served, PermissionDenied, served, PermissionDenied, seen, hidden
pod: own, Unauthenticated, own, served, PermissionDenied, withheld, PermissionDenied, seen, hidden
pod by certificate: own, Unauthenticated, own, served, PermissionDenied, withheld, PermissionDenied, seen, hidden
foreign pod: own, Unauthenticated, own, served, PermissionDenied, none, PermissionDenied, seen, hidden
foreign pod by certificate: own, Unauthenticated, own, served, PermissionDenied, none, PermissionDenied, seen, hidden
node agent: own, Unauthenticated, own, served, PermissionDenied, none, seen, seen, seen
node agent by certificate: own, Unauthenticated, own, served, PermissionDenied, none, seen, seen, seen
other cluster: Unauthenticated, Unauthenticated, Unauthenticated, Unauthenticated, Unauthenticated, Unauthenticated, \
Unauthenticated, Unauthenticated, Unauthenticated
nobody: Unauthenticated, Unauthenticated, Unauthenticated, Unauthenticated, Unauthenticated, Unauthenticated, \
Unauthenticated, Unauthenticated, Unauthenticated
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_what_is_theirs_and_nothing_else() {
    let (server, client) = cluster_of(&[GW, WEB, BANK, AGENT]).await;
    let (_elsewhere, other) = cluster_of(&[WEB]).await;
    grant(&client, GW).await;
    let folder = tempfile::tempdir().unwrap();
    let (running, root) = started_in(&server, &client, folder.path(), |_| {}).await;
    let mut connected = Vec::new();
    for account in [GW, BANK] {
        let caller = Caller::with(&root, &running, Some(&token(&client, account).await)).await;
        connected.push(caller.sidecar(account).await.unwrap());
    }

    let others = token(&other, WEB).await;
    let mut matrix = String::new();
    // gateways first: what the API server denies afterwards is about others
    for (name, account, token) in [
        ("gateway", GW, Some(token(&client, GW).await)),
        ("pod", WEB, Some(token(&client, WEB).await)),
        ("foreign pod", BANK, Some(token(&client, BANK).await)),
        ("node agent", AGENT, Some(token(&client, AGENT).await)),
        ("other cluster", WEB, Some(others)),
        ("nobody", WEB, None),
    ] {
        let by_token = Caller::with(&root, &running, token.as_deref()).await;
        let certificate = by_token.certificate(account, None).await;
        matrix += &format!("{name}: {}\n", row(&by_token, &running, account).await);
        if let Ok((_, leaf, key)) = certificate {
            let chain = CertificateDer::pem_slice_iter(leaf.as_bytes()).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(key.to_pkcs8_pem().as_bytes()).unwrap();
            let channel = connect_as(&root, &running, Some((chain, key))).await;
            let by_certificate = Caller { channel, headers: http::HeaderMap::new() };
            matrix += &format!("{name} by certificate: {}\n", row(&by_certificate, &running, account).await);
        }
    }
    assert_eq!(matrix.trim(), EXPECTED.trim(), "{COLUMNS}\n{matrix}");
    drop(connected);
    running.stop(Duration::from_secs(10)).await;
}

/// One caller, in all columns.
async fn row(caller: &Caller, running: &Running, account: Account) -> String {
    let other = if account == GW { BANK } else { GW };
    let hidden = if account.0 == "shop" { BANK } else { GW };
    let own = caller.sidecar(account).await;
    let impostor = caller.sidecar(other).await.map(|_| "served".to_owned());
    let cells = [
        caller.certified(account, account, None).await,
        caller.certified(account, account, Some(other)).await,
        caller.certified(account, other, None).await,
        own.as_ref().map_or_else(Clone::clone, |_| "served".to_owned()),
        impostor.unwrap_or_else(|code| code),
        caller.secret(running, account).await,
        caller.page(account, "syncz").await,
        caller.page(account, &format!("edsz?proxyID={}", pod(account))).await,
        caller.page(account, &format!("edsz?proxyID={}", pod(hidden))).await,
    ];
    cells.join(", ")
}

/// Writes the pod of an account on a node; a token that is bound to it.
async fn pod_on(client: &kube::Client, account: Account, node: &str) -> String {
    let name = format!("{}-1", account.1);
    let containers = json!([{"name": "c", "image": "i"}]);
    let spec = json!({"serviceAccountName": account.1, "nodeName": node, "containers": containers});
    apply::<Pod>(client, account.0, json!({"metadata": {"name": name}, "spec": spec})).await;
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": name});
    token_of(client, account, json!({"audiences": ["istio-ca"], "boundObjectRef": bound})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_trusted_with_nodes_gets_certificates_of_what_runs_on_its_own() {
    let (server, client) = cluster_of(&[GW, WEB, BANK, AGENT]).await;
    let agent = pod_on(&client, AGENT, "n1").await;
    let web = pod_on(&client, WEB, "n1").await;
    pod_on(&client, GW, "n1").await;
    pod_on(&client, BANK, "n2").await;
    let folder = tempfile::tempdir().unwrap();
    let trust = |options: &mut Options| {
        "istio-system/ztunnel,nonsense".clone_into(&mut options.switches.ca_trusted_node_accounts);
    };
    let (running, root) = started_in(&server, &client, folder.path(), trust).await;
    let bound = Caller::with(&root, &running, Some(&agent)).await;
    assert_eq!(bound.certified(AGENT, AGENT, Some(GW)).await, spiffe(GW), "it runs beside it");
    assert_eq!(bound.certified(AGENT, AGENT, None).await, "own");
    assert_eq!(bound.certified(AGENT, AGENT, Some(BANK)).await, "Unauthenticated", "on another node");
    assert_eq!(bound.certified(AGENT, AGENT, Some(("shop", "none"))).await, "Unauthenticated", "nowhere");
    let unbound = Caller::with(&root, &running, Some(&token(&client, AGENT).await)).await;
    assert_eq!(unbound.certified(AGENT, AGENT, Some(GW)).await, "Unauthenticated", "of no pod");
    let neighbour = Caller::with(&root, &running, Some(&web)).await;
    assert_eq!(neighbour.certified(WEB, WEB, Some(GW)).await, "Unauthenticated", "not trusted");

    // what has left the node is no longer given
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    pods.delete("gw-1", &DeleteParams::default().grace_period(0)).await.unwrap();
    let refused = testkit::eventually("the pod is gone", Duration::from_secs(60), async || {
        (bound.certified(AGENT, AGENT, Some(GW)).await == "Unauthenticated").then_some(())
    });
    refused.await.unwrap();
    running.stop(Duration::from_secs(10)).await;
}

/// What the control plane has asked API servers about tokens.
async fn reviews(running: &Running) -> Vec<String> {
    let metrics = get(running, 3, "/metrics").await.unwrap();
    let lines = metrics.lines().filter(|line| line.starts_with("citadel_server_token_review_count{"));
    lines.map(str::to_owned).collect()
}

/// In the order of pilot/pkg/bootstrap/server.go: `NewServer`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_several_proofs_is_who_the_certificate_says_then_the_token_then_a_gateway() {
    let (server, client) = cluster_of(&[WEB, BANK]).await;
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let issuer = identity::token::Issuer::new("https://issuer.example", &key).unwrap();
    let rule = json!({"issuer": "https://issuer.example", "audiences": ["istio-ca"], "jwks": issuer.jwks()});
    let folder = tempfile::tempdir().unwrap();
    let (running, root) = started_in(&server, &client, folder.path(), |options| {
        options.switches.jwt_rule = rule.to_string();
        // whoever calls from this machine is trusted as soon as anybody is
        "192.0.2.0/24".clone_into(&mut options.switches.trusted_gateway_cidr);
    })
    .await;

    let by_token = Caller::with(&root, &running, Some(&token(&client, WEB).await)).await;
    let (_, leaf, key) = by_token.certificate(WEB, None).await.unwrap();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(leaf.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.to_pkcs8_pem().as_bytes()).unwrap();
    let (with, without) =
        (connect_as(&root, &running, Some((chain, key))).await, connect(&root, &running).await);
    let (cart, gateway): (Account, Account) = (("shop", "cart"), ("shop", "forwarded"));
    let (now, hour) = (std::time::SystemTime::now(), Duration::from_secs(3600));
    let header = |name: &'static str, value: String| (name, value.parse::<http::HeaderValue>().unwrap());
    let bearer = |token: String| Some(header("authorization", format!("Bearer {token}")));
    let reviewed = bearer(token(&client, BANK).await);
    let minted = bearer(issuer.mint(cart.0, cart.1, "istio-ca", hour, now).unwrap());
    let forwarded = Some(header("x-forwarded-client-cert", format!("URI={}", spiffe(gateway))));

    let none = None;
    for (channel, token, forwarded, who) in [
        (&with, &none, &none, WEB),
        (&without, &reviewed, &none, BANK),
        (&without, &minted, &none, cart),
        (&without, &none, &forwarded, gateway),
        (&with, &reviewed, &none, WEB),
        (&with, &minted, &none, WEB),
        (&with, &none, &forwarded, WEB),
        (&without, &reviewed, &forwarded, BANK),
        (&without, &minted, &forwarded, cart),
    ] {
        let proofs = token.iter().chain(forwarded).cloned();
        let headers = proofs.map(|(name, value)| (http::HeaderName::from_static(name), value)).collect();
        let before = reviews(&running).await;
        let caller = Caller { channel: channel.clone(), headers };
        let (names, ..) = caller.certificate(who, None).await.unwrap();
        assert_eq!(names, [spiffe(who)], "{token:?} {forwarded:?}");
        if who == cart {
            assert_eq!(reviews(&running).await, before, "nobody else is asked about that token");
        }
    }
    running.stop(Duration::from_secs(10)).await;
}
