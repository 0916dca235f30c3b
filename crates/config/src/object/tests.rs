//! Order and shape of objects.

use super::*;
use crate::decode::documents;

#[test]
fn age_then_name_then_namespace_decide_the_order() {
    let meta = |creation, name: &str, namespace: &str| {
        let mut meta = Meta::new(Kind::VirtualService, namespace, name);
        meta.creation = creation;
        meta
    };
    let mut all =
        [meta(2, "a", "a"), meta(1, "b", "b"), meta(1, "b", "a"), meta(1, "a", "c"), meta(0, "z", "z")];
    all.sort_by(Meta::by_age);
    let names: Vec<String> = all.iter().map(|m| format!("{}{}{}", m.creation, m.name, m.namespace)).collect();
    assert_eq!(names, ["0zz", "1ac", "1ba", "1bb", "2aa"]);
}

#[test]
fn an_object_shown_and_read_again_is_the_same() {
    let text = "apiVersion: networking.istio.io/v1beta1\nkind: Gateway\nmetadata: {name: g, namespace: a, labels: {x: z}, creationTimestamp: \"2024-02-29T12:30:15Z\", uid: u, generation: 3}\nspec: {servers: [{hosts: [\"*\"], port: {number: 80, name: http, protocol: HTTP}}]}\nstatus: {x: 1}\n";
    let object = documents("f", text).objects.remove(0);
    let shown = object.to_value();
    assert_eq!(shown.get("apiVersion").and_then(Value::as_str), Some("networking.istio.io/v1"));
    let again = documents("f", &shown.to_string()).objects.remove(0);
    let mut meta = again.meta.as_ref().clone();
    meta.origin = object.meta.origin.clone();
    assert_eq!((meta, again.spec, again.status), (object.meta.as_ref().clone(), object.spec, object.status));
}
