//! The API server that tests run on: what it serves, whom it believes, and that it comes back with what it had.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenReview};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::api_server::ApiServer;

fn object<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn virtual_services(client: &Client, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.istio.io", version, "VirtualService");
    Api::namespaced_with(client.clone(), "shop", &ApiResource::from_gvk(&kind))
}

/// Makes the namespace `shop` with the service account `cart`, and a token of it.
async fn cart(client: &Client, audiences: &[&str]) -> String {
    let post = PostParams::default();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&post, &object(json!({"metadata": {"name": "shop"}}))).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "shop");
    accounts.create(&post, &object(json!({"metadata": {"name": "cart"}}))).await.unwrap();
    let asked: TokenRequest = object(json!({"metadata": {}, "spec": {"audiences": audiences}}));
    accounts.create_token_request("cart", &post, &asked).await.unwrap().status.unwrap().token.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_serves_our_kinds_judges_tokens_and_comes_back() {
    let mut server = ApiServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    let post = PostParams::default();

    let token = cart(&client, &["istio-ca"]).await;
    let rule = json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "metadata": {"name": "cart"},
        "spec": {"hosts": ["cart"], "http": [{"route": [{"destination": {"host": "cart"}}]}]},
    });
    virtual_services(&client, "v1beta1").create(&post, &object(rule.clone())).await.unwrap();

    let reviews: Api<TokenReview> = Api::all(client.clone());
    let review = |audience: &str| {
        let asked: TokenReview =
            object(json!({"metadata": {}, "spec": {"token": token, "audiences": [audience]}}));
        let reviews = reviews.clone();
        async move { reviews.create(&PostParams::default(), &asked).await.unwrap().status.unwrap() }
    };
    let believed = review("istio-ca").await;
    assert_eq!(believed.authenticated, Some(true));
    assert_eq!(believed.user.unwrap().username.as_deref(), Some("system:serviceaccount:shop:cart"));
    assert_ne!(review("https://kubernetes.default.svc").await.authenticated, Some(true));

    server.kill();
    assert!(virtual_services(&client, "v1").get("cart").await.is_err(), "nobody answers");
    server.resume().await.unwrap();
    // the same client, the same data, and the version that is preferred
    let kept = virtual_services(&client, "v1").get("cart").await.unwrap();
    assert_eq!(kept.data["spec"], rule["spec"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_may_do_what_roles_say_and_no_more() {
    let server = ApiServer::start().await.unwrap();
    let admin = server.client().await.unwrap();
    let token = cart(&admin, &[]).await;
    let mut config: Config = server.config().await.unwrap();
    config.auth_info.token = Some(token.into());
    let cart = Client::try_from(config).unwrap();
    let refused = Api::<Secret>::namespaced(cart, "shop").get("anything").await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(why) if why.code == 403));
}
