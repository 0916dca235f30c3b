//! Pages about what one proxy is given: the resources of its editions as JSON, with the field names of upstream's pages.

use std::sync::Arc;

use generate::{Class, TypeName};
use serde_json::{Value, json};
use xds::{Edition, TypeUrl};

use crate::catalog::MeshCatalog;
use crate::events::timestamp;

const DUMPS: &str = "type.googleapis.com/envoy.admin.v3.";

/// One resource with its name and version; private keys are left out.
struct Shown {
    name: String,
    version: String,
    body: Value,
}

/// The resources of an edition, each with its `@type`.
fn resources(catalog: &MeshCatalog, class: &Class, of: TypeName) -> Vec<Shown> {
    let edition: Arc<Edition> = catalog.edition_of(class, of);
    let one = |resource: &xds::Resource| {
        let any =
            proto::google::protobuf::Any { type_url: of.url().to_owned(), value: resource.body.clone() };
        let mut body = proto::reflect::any_to_camel_json(&any);
        if of == TypeName::Secret {
            redact(&mut body);
        }
        Shown { name: resource.name.to_string(), version: resource.wire_version(), body }
    };
    edition.iter().map(one).collect()
}

/// Takes private keys out of a secret (as Envoy does in its own dumps).
fn redact(secret: &mut Value) {
    // "[redacted]"
    let nothing = json!({ "inlineBytes": "W3JlZGFjdGVkXQ==" });
    for part in ["/tlsCertificate/privateKey", "/genericSecret/secret"] {
        if let Some(key) = secret.pointer_mut(part) {
            key.clone_from(&nothing);
        }
    }
    if let Some(keys) = secret.pointer_mut("/sessionTicketKeys/keys").and_then(Value::as_array_mut) {
        keys.fill(nothing);
    }
}

/// Puts virtual hosts that travel apart (`<route>/<host>`) before those of their route, as Envoy shows what it has.
fn join_hosts(route: &mut Shown, hosts: &[Shown]) {
    let prefix = format!("{}/", route.name);
    let apart = hosts.iter().filter(|host| host.name.starts_with(&prefix));
    let mut all: Vec<Value> = apart
        .map(|host| {
            let mut body = host.body.clone();
            body.as_object_mut().map(|fields| fields.remove("@type"));
            body
        })
        .collect();
    if all.is_empty() {
        return;
    }
    all.extend(route.body["virtualHosts"].as_array().into_iter().flatten().cloned());
    route.body["virtualHosts"] = all.into();
}

/// The dump of a proxy in the form of Envoy's admin interface (as pilot/pkg/xds/debug.go: `connectionConfigDump`): every
/// section, also an empty one, but endpoints only if they are asked for. The bootstrap, which we never see, is empty.
pub(super) fn config_dump(catalog: &MeshCatalog, class: &Class, endpoints: bool) -> Value {
    let now = timestamp(std::time::SystemTime::now());
    let section = |name: &str, of: TypeName, list: &str, item: &dyn Fn(Shown) -> Value| {
        let items: Vec<Value> = resources(catalog, class, of).into_iter().map(item).collect();
        let mut section = json!({ "@type": format!("{DUMPS}{name}") });
        if !items.is_empty() {
            section[list] = items.into();
        }
        section
    };
    let with_version = |mut section: Value, of: TypeName| {
        section["versionInfo"] = catalog.edition_of(class, of).revision().to_string().into();
        section
    };
    let under = |key: &'static str| {
        let now = &now;
        move |Shown { version, body, .. }: Shown| {
            let mut item = json!({ "versionInfo": version, "lastUpdated": now });
            item[key] = body;
            item
        }
    };
    let clusters =
        section("ClustersConfigDump", TypeName::Cluster, "dynamicActiveClusters", &under("cluster"));
    let listeners = section("ListenersConfigDump", TypeName::Listener, "dynamicListeners", &|shown| {
        let name = shown.name.clone();
        json!({ "name": name, "activeState": under("listener")(shown) })
    });
    let mut hosts = match class.capabilities.virtual_hosts {
        true => resources(catalog, class, TypeName::VirtualHost),
        false => Vec::new(),
    };
    hosts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let routes = section("RoutesConfigDump", TypeName::Route, "dynamicRouteConfigs", &|mut shown| {
        join_hosts(&mut shown, &hosts);
        under("routeConfig")(shown)
    });
    let secrets = section("SecretsConfigDump", TypeName::Secret, "dynamicActiveSecrets", &|shown| {
        let name = shown.name.clone();
        let mut item = under("secret")(shown);
        item["name"] = name.into();
        item
    });
    let extensions = section("EcdsConfigDump", TypeName::Extension, "ecdsFilters", &under("ecdsFilter"));
    let endpoints = endpoints.then(|| {
        let list = "dynamicEndpointConfigs";
        section("EndpointsConfigDump", TypeName::Endpoint, list, &under("endpointConfig"))
    });
    let mut configs = vec![
        json!({ "@type": format!("{DUMPS}BootstrapConfigDump") }),
        with_version(clusters, TypeName::Cluster),
    ];
    configs.extend(endpoints);
    configs.extend([
        with_version(listeners, TypeName::Listener),
        json!({ "@type": format!("{DUMPS}ScopedRoutesConfigDump") }),
        routes,
        secrets,
        extensions,
    ]);
    json!({ "configs": configs })
}

/// The resources of some types as upstream shows them by themselves: `types` are short names or type URLs, separated by
/// commas.
pub(super) fn of_types(catalog: &MeshCatalog, class: &Class, types: &str) -> Value {
    let wanted = types.split(',').map(str::trim).filter(|name| !name.is_empty());
    let wanted = wanted.filter_map(|name| TypeName::from_url(TypeUrl::from_short(name).as_str()));
    let all: Value = wanted.flat_map(|of| resources(catalog, class, of)).map(|shown| shown.body).collect();
    json!({ "configs": all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_travel_apart_are_shown_in_their_route() {
        let shown = |name: &str, body: Value| Shown { name: name.to_owned(), version: String::new(), body };
        let hosts = [
            shown("8/b", json!({"@type": "x", "name": "8/b"})),
            shown("80/a", json!({"@type": "x", "name": "80/a"})),
        ];
        let mut route = shown("80", json!({"name": "80", "virtualHosts": [{"name": "allow_any"}]}));
        join_hosts(&mut route, &hosts);
        assert_eq!(route.body["virtualHosts"], json!([{"name": "80/a"}, {"name": "allow_any"}]));
        let mut other = shown("9", json!({"name": "9"}));
        join_hosts(&mut other, &hosts);
        assert_eq!(other.body, json!({"name": "9"}), "nothing is added where nothing is");
    }
}
