//! Proxies that connect as agents do: over TLS, to a control plane whose root they have, with a token of their account.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, PostParams};
use proto::envoy::config::core::v3::Node;
use proto::google::protobuf::{Value, value::Kind};
use serde_json::json;
use testkit::api_server::objects;
use testkit::check;
use testkit::scripted::Scripted;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use xds::client::{Config, dial};

use crate::replica::Replica;

/// Tokens for the control plane, no two alike, of an account that is made.
pub(crate) async fn tokens(client: &Client, namespace: &str, account: &str, count: usize) -> Vec<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let made = serde_json::from_value(json!({"metadata": {"name": account}})).unwrap();
    accounts.create(&PostParams::default(), &made).await.unwrap();
    let asked: TokenRequest =
        serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": ["istio-ca"]}})).unwrap();
    let made = stream::iter(0..count).map(|_| async {
        let made = accounts.create_token_request(account, &PostParams::default(), &asked).await.unwrap();
        made.status.unwrap().token.unwrap()
    });
    let mut tokens: Vec<String> = made.buffer_unordered(32).collect().await;
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), count, "no two are alike");
    tokens
}

/// Who trusts the root that control planes of the cluster sign with.
pub(crate) async fn trusting(client: &Client) -> Arc<ClientConfig> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    let root = secrets.get("istio-ca-secret").await.unwrap().data.unwrap()["root-cert.pem"].0.clone();
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&root) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// The node of a proxy that runs as this account.
pub(crate) fn node(kind: &str, ip: &str, pod: &str, namespace: &str, account: &str) -> Node {
    let mut node = check::node(kind, ip, pod, namespace, &[("app", account)]);
    let account = Value { kind: Some(Kind::StringValue(account.to_owned())) };
    node.metadata.get_or_insert_default().fields.insert("SERVICE_ACCOUNT".to_owned(), account);
    node
}

/// A proxy with this token.
pub(crate) fn proxy(plane: &Replica, trust: &Arc<ClientConfig>, node: Node, token: &str) -> Scripted {
    let name = Some("istiod.istio-system.svc".to_owned());
    let mut config = Config::new(dial::tls(vec![plane.secure.to_string()], trust.clone(), name), node);
    let bearer: http::HeaderValue = format!("Bearer {token}").parse().unwrap();
    config.headers = Arc::new(move || [(http::header::AUTHORIZATION, bearer.clone())].into_iter().collect());
    Scripted::of(config)
}

/// Lets an account list the Secrets of its namespace, as gateways' accounts may.
pub(crate) async fn may_read_secrets(client: &Client, namespace: &str, account: &str) {
    let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}]);
    let role = serde_json::from_value(json!({"metadata": {"name": "secrets"}, "rules": rules})).unwrap();
    roles.create(&PostParams::default(), &role).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    let binding = json!({
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "secrets"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    });
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
}

/// The namespaces of a mesh.
pub(crate) async fn namespaces(client: &Client, names: &[&str]) {
    let texts: Vec<String> = names
        .iter()
        .map(|name| format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"))
        .collect();
    objects::apply(client, &texts.join("\n---\n")).await.unwrap();
}
