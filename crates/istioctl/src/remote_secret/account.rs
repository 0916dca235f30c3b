//! The service account of a remote secret: found or created, and its token.

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::READER;

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const FIELD_MANAGER: &str = "istioctl";

/// The account that is wanted.
pub(super) struct Wanted<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// Whether it is created if it is not there.
    pub(super) create: bool,
    /// The token Secret to use; empty for any.
    pub(super) secret: &'a str,
}

/// What a token Secret holds.
pub(super) struct Token {
    /// The cluster's certificate authority, as PEM.
    pub(super) authority: Vec<u8>,
    /// The token; empty if none was asked for.
    pub(super) token: Vec<u8>,
}

/// The credentials of an account, for which its Secret may have to be made and waited for.
pub(super) async fn token(
    client: &Client,
    wanted: &Wanted<'_>,
    with_token: bool,
    (pause, times): (Duration, usize),
) -> anyhow::Result<Token> {
    let account = find_or_create(client, wanted).await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), wanted.namespace);
    let mut secret = if makes_tokens_itself(client).await? {
        legacy(&secrets, &account, wanted).await?
    } else {
        find_or_create_secret(&secrets, &account, wanted).await?
    };
    for _ in 0..times {
        match contents(&secret, with_token) {
            Ok(token) => return Ok(token),
            Err(missing) => eprintln!("Waiting for {missing} to be populated in {}", secret.name_any()),
        }
        tokio::time::sleep(pause).await;
        secret = secrets.get(&secret.name_any()).await?;
    }
    contents(&secret, with_token).or_else(|missing| {
        bail!("no {missing:?} data found in Secret {}/{}", wanted.namespace, secret.name_any())
    })
}

/// Certificate authority and token of a Secret, or which of them is missing.
fn contents(secret: &Secret, with_token: bool) -> Result<Token, &'static str> {
    let of = |key: &'static str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        data.map(|data| data.0.clone()).filter(|data| !data.is_empty()).ok_or(key)
    };
    Ok(Token { authority: of("ca.crt")?, token: if with_token { of("token")? } else { Vec::new() } })
}

/// Kubernetes before 1.24 makes a token for every account.
async fn makes_tokens_itself(client: &Client) -> anyhow::Result<bool> {
    let version = client.apiserver_version().await.context("cannot ask the API server for its version")?;
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
    Ok(matches!((number(&version.major), number(&version.minor)), (Some(1), Some(..24))))
}

async fn find_or_create(client: &Client, wanted: &Wanted<'_>) -> anyhow::Result<ServiceAccount> {
    let Wanted { namespace, name, .. } = *wanted;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    if let Some(account) = accounts.get_opt(name).await.with_context(|| {
        format!(
            "failed retrieving service account {name}.{namespace} required for creating the remote secret"
        )
    })? {
        return Ok(account);
    }
    if !wanted.create {
        bail!(
            "there is no service account {name}.{namespace}, which the remote secret needs: install a minimal Istio \
             profile on the cluster first, or run with --create-service-account=true"
        );
    }
    create_reader(client, namespace).await?;
    let found = accounts.get_opt(name).await?;
    found.with_context(|| {
        format!("only {READER} is created here: create the service account {name}.{namespace} yourself")
    })
}

/// Creates the account that reads a cluster and its rights, as the charts do for the default revision
/// (manifests/charts/base and istio-discovery: `reader-*.yaml`).
async fn create_reader(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces.get_opt(namespace).await?.is_none() {
        let new = Namespace { metadata: named(namespace), ..Namespace::default() };
        namespaces
            .create(&PostParams::default(), &new)
            .await
            .with_context(|| format!("failed creating namespace {namespace}"))?;
    }
    let role = format!("istio-reader-clusterrole-{namespace}");
    let labels = json!({
        "app": "istio-reader", "app.kubernetes.io/name": "istio-reader", "app.kubernetes.io/part-of": "istio",
    });
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": READER, "namespace": namespace, "labels": labels },
    });
    apply(&Api::<ServiceAccount>::namespaced(client.clone(), namespace), READER, &account).await?;
    let rights = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": role, "labels": labels }, "rules": rules(),
    });
    apply(&Api::<ClusterRole>::all(client.clone()), &role, &rights).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": role, "labels": labels },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "name": READER, "namespace": namespace }],
    });
    apply(&Api::<ClusterRoleBinding>::all(client.clone()), &role, &binding).await
}

fn named(name: &str) -> kube::api::ObjectMeta {
    kube::api::ObjectMeta { name: Some(name.to_owned()), ..kube::api::ObjectMeta::default() }
}

async fn apply<K>(api: &Api<K>, name: &str, object: &Value) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let applied = api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await;
    applied
        .map(drop)
        .with_context(|| format!("cannot apply {} {name}", object["kind"].as_str().unwrap_or_default()))
}

/// What a control plane reads of a cluster.
fn rules() -> Value {
    let read = ["get", "list", "watch"];
    json!([
        {
            "apiGroups": [
                "config.istio.io", "security.istio.io", "networking.istio.io", "authentication.istio.io",
                "rbac.istio.io", "telemetry.istio.io", "extensions.istio.io",
            ],
            "resources": ["*"], "verbs": read,
        },
        {
            "apiGroups": [""], "verbs": read,
            "resources": [
                "endpoints", "pods", "services", "nodes", "replicationcontrollers", "namespaces", "secrets",
                "configmaps",
            ],
        },
        { "apiGroups": ["networking.x-k8s.io", "gateway.networking.k8s.io"], "resources": ["gateways"], "verbs": read },
        { "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": read },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read },
        {
            "apiGroups": ["multicluster.x-k8s.io"], "resources": ["serviceexports"],
            "verbs": ["get", "list", "watch", "create", "delete"],
        },
        { "apiGroups": ["multicluster.x-k8s.io"], "resources": ["serviceimports"], "verbs": read },
        { "apiGroups": ["apps"], "resources": ["replicasets"], "verbs": read },
        { "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] },
        { "apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"] },
    ])
}

/// The token Secret that is named, or one that there is, or a new one.
async fn find_or_create_secret(
    secrets: &Api<Secret>,
    account: &ServiceAccount,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Secret> {
    let name = account.name_any();
    let is_of = |secret: &Secret| {
        secret.type_.as_deref() == Some(TYPE) && secret.annotations().get(ACCOUNT) == Some(&name)
    };
    if !wanted.secret.is_empty() {
        let place = format!("{}/{}", wanted.namespace, wanted.secret);
        let secret = secrets.get(wanted.secret).await;
        let secret = secret.with_context(|| format!("could not get specified secret {place}"))?;
        if !is_of(&secret) {
            bail!("secret {place} does not reference ServiceAccount {name}");
        }
        return Ok(secret);
    }
    let of_type = ListParams::default().fields(&format!("type={TYPE}"));
    let all = secrets.list(&of_type).await;
    let all = all.with_context(|| format!("failed listing secrets in {}", wanted.namespace))?;
    if let Some(found) = all.items.into_iter().find(is_of) {
        return Ok(found);
    }
    let mut metadata = named(&format!("{name}-istio-remote-secret-token"));
    metadata.annotations = Some([(ACCOUNT.to_owned(), name)].into());
    let new = Secret { metadata, type_: Some(TYPE.to_owned()), ..Secret::default() };
    secrets
        .create(&PostParams::default(), &new)
        .await
        .context("cannot create a token for the service account")
}

/// The token that an old API server made.
async fn legacy(
    secrets: &Api<Secret>,
    account: &ServiceAccount,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Secret> {
    let names: Vec<&str> =
        account.secrets.iter().flatten().filter_map(|secret| secret.name.as_deref()).collect();
    let name = match names[..] {
        [] => bail!("no secret found in the service account {}", account.name_any()),
        _ if !wanted.secret.is_empty() => match names.iter().find(|name| **name == wanted.secret) {
            Some(name) => *name,
            None => bail!("provided secret does not exist: {}", wanted.secret),
        },
        [name] => name,
        _ => bail!(
            "wrong number of secrets ({}) in serviceaccount {}/{}, please use --secret-name to specify one",
            names.len(),
            wanted.namespace,
            wanted.name
        ),
    };
    Ok(secrets.get(name).await?)
}
