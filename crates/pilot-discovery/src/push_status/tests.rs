//! What is counted of a mesh.

use mesh::Mesh;

use super::*;
use crate::catalog::tests::{batch, catalog, settings};

const MESH: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: served, namespace: default}
spec:
  hosts: [served.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: selects, namespace: default}
spec:
  hosts: [selects.example]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: more, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: nobody}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: names, namespace: default}
spec:
  hosts: [names.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  workloadSelector: {labels: {app: nobody}}
";

#[test]
fn the_present_world_is_counted() {
    let mut mesh = Mesh::new(settings());
    let (catalog, _) = catalog(&mesh);
    let status = PushStatus::of(&catalog);
    assert_eq!(status.status(), Some(Status::default()));
    let story = mesh.commit(batch(MESH));
    catalog.publish(&story, mesh.world());
    let counted = Status { without_endpoints: 2, without_names: 1 };
    assert_eq!(status.status(), Some(counted));
    drop(catalog);
    assert_eq!(status.status(), None);
}

#[test]
fn the_page_names_what_is_counted() {
    let mut mesh = Mesh::new(settings());
    mesh.commit(batch(MESH));
    let expected = json!({
        "pilot_eds_no_instances": { "outbound|80||selects.example": {}, "outbound|81||selects.example": {} },
        "pilot_dns_cluster_without_endpoints": { "outbound|80||names.example": {} },
    });
    assert_eq!(page(&mesh.world()), expected);
}
