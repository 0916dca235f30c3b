//! Pages about services: their addresses in each cluster, what is exported and imported.

use serde_json::{Value, json};

use super::*;

const OBJECTS: &str = r#"
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop, labels: {team: a}}, spec: {clusterIP: 10.0.0.1, selector: {app: cart}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: alias, namespace: shop}, spec: {type: ExternalName, externalName: cart.shop.svc.cluster.local}}
---
{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ServiceExport, metadata: {name: cart, namespace: shop}}
---
{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ServiceImport, metadata: {name: cart, namespace: shop}, spec: {ips: [241.0.0.1]}}
---
{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ServiceExport, metadata: {name: gone, namespace: shop}}
"#;

async fn shown(running: &Running, page: &str) -> Value {
    serde_json::from_str(&get(running, 3, page).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_addresses_by_cluster_and_what_is_exported_and_imported() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), OBJECTS).unwrap();
    let switches = [("ENABLE_MCS_SERVICE_DISCOVERY", "true"), ("ENABLE_MCS_HOST", "true")];
    let running = started_with(folder.path(), "", &switches).await;

    let services = shown(&running, "/debug/registryz").await;
    let of =
        |host: &str| services.as_array().unwrap().iter().find(|s| s["hostname"] == host).cloned().unwrap();
    let cart = of("cart.shop.svc.cluster.local");
    assert_eq!(cart["clusterVIPs"], json!({"Addresses": {"Kubernetes": ["10.0.0.1"]}}));
    assert_eq!(cart["Attributes"]["LabelSelectors"], json!({"app": "cart"}));
    assert_eq!(cart["Attributes"]["Aliases"][0]["Hostname"], "alias.shop.svc.cluster.local");
    let common = of("cart.shop.svc.clusterset.local");
    assert_eq!(common["clusterVIPs"], json!({"Addresses": {"Kubernetes": ["241.0.0.1"]}}));

    let always = "AlwaysDiscoverable";
    let policies = json!({"cart.shop.svc.cluster.local": always, "cart.shop.svc.clusterset.local": always});
    let row = |name: &str, is_imported: bool, vip: &str, policies: Value| {
        json!({
            "Cluster": "Kubernetes", "Name": name, "Namespace": "shop", "Exported": true,
            "Imported": is_imported, "ClusterSetVIP": vip, "Discoverability": policies,
        })
    };
    let wanted = json!([row("cart", true, "241.0.0.1", policies), row("gone", false, "", json!({}))]);
    assert_eq!(shown(&running, "/debug/mcsz").await, wanted);
    running.stop(Duration::from_secs(10)).await;
}
