//! The objects that are edited, each with its number in two places.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use config::Kind;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::Edited;

/// A kind whose edits proxies see, each in resources of another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Of {
    /// An EndpointSlice: endpoints.
    Endpoints,
    /// A DestinationRule: a cluster.
    Rule,
    /// A VirtualService: a virtual host.
    Route,
}

/// One object: its kind, and the namespace and number of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    pub(super) of: Of,
    pub(super) namespace: &'static str,
    pub(super) service: u16,
}

/// The same as a resource names it.
pub(super) type Named<'a> = (Of, &'a str, u16);

impl Object {
    /// All that are edited.
    pub(super) fn all(namespace: &'static str, services: u16, edited: Edited) -> Vec<Self> {
        let kinds = match edited {
            Edited::All => &[Of::Endpoints, Of::Rule, Of::Route][..],
            Edited::Endpoints => &[Of::Endpoints],
        };
        let of =
            |of: &Of| (0..services).map(|service| Self { of: *of, namespace, service }).collect::<Vec<_>>();
        kinds.iter().flat_map(of).collect()
    }

    pub(super) fn is(&self, named: Named<'_>) -> bool {
        (self.of, self.namespace, self.service) == named
    }
}

/// What a resource about a host such as `s3.churn.svc.cluster.local` is about; `None` for other hosts.
pub(super) fn named(of: Of, host: &str) -> Option<Named<'_>> {
    let (name, rest) = host.split_once('.')?;
    let (namespace, _) = rest.split_once(".svc")?;
    Some((of, namespace, name.strip_prefix('s')?.parse().ok()?))
}

/// The two addresses that say this number.
pub(super) fn addresses(number: u64) -> [Ipv4Addr; 2] {
    let [.., high, middle, low] = number.to_be_bytes();
    [Ipv4Addr::new(20, high, middle, low), Ipv4Addr::new(30, high, middle, low)]
}

/// The number that an address says.
pub(super) fn number_of(address: Ipv4Addr) -> u64 {
    let [_, high, middle, low] = address.octets();
    u64::from_be_bytes([0, 0, 0, 0, 0, high, middle, low])
}

/// The duration that says a number, and back.
pub(super) fn duration(number: u64) -> String {
    format!("{number}ms")
}

/// The number of milliseconds.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is there before anything is numbered.
pub(super) async fn prepare(client: &Client, namespace: &str, services: u16) -> Result<()> {
    put(client, Kind::Namespace, "", namespace, json!({})).await?;
    for service in 0..services {
        let name = format!("s{service}");
        let spec =
            json!({"ports": [{"name": "http", "port": 80, "targetPort": 8080}], "selector": {"app": name}});
        put(client, Kind::Service, namespace, &name, json!({ "spec": spec })).await?;
    }
    Ok(())
}

/// Writes the object with this number.
pub(super) async fn write(client: &Client, object: Object, number: u64) -> Result<()> {
    let name = format!("s{}", object.service);
    let namespace = object.namespace;
    let host = format!("{name}.{namespace}.svc.cluster.local");
    match object.of {
        Of::Endpoints => {
            let endpoints: Vec<Value> = addresses(number)
                .iter()
                .map(|address| json!({"addresses": [address.to_string()], "conditions": {"ready": true}}))
                .collect();
            let slice = json!({
                "metadata": {"labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "endpoints": endpoints,
                "ports": [{"name": "http", "port": 8080}],
            });
            put(client, Kind::EndpointSlice, namespace, &format!("{name}-1"), slice).await
        }
        Of::Rule => {
            let tcp = json!({"connectTimeout": duration(number), "maxConnections": number});
            let spec = json!({"host": host, "trafficPolicy": {"connectionPool": {"tcp": tcp}}});
            put(client, Kind::DestinationRule, namespace, &name, json!({ "spec": spec })).await
        }
        Of::Route => {
            let route = json!({
                "route": [{"destination": {"host": host}}],
                "timeout": duration(number),
                "retries": {"attempts": 2, "perTryTimeout": duration(number)},
            });
            let spec = json!({"hosts": [host], "http": [route]});
            put(client, Kind::VirtualService, namespace, &name, json!({ "spec": spec })).await
        }
    }
}

async fn put(client: &Client, kind: Kind, namespace: &str, name: &str, mut object: Value) -> Result<()> {
    let api_version = kind.api_version();
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind.name());
    object["metadata"]["name"] = json!(name);
    let resource = ApiResource {
        group: kind.group().to_owned(),
        version: api_version.rsplit('/').next().unwrap_or_default().to_owned(),
        api_version,
        kind: kind.name().to_owned(),
        plural: kind.plural().to_owned(),
    };
    let api: Api<DynamicObject> = match kind.namespaced() {
        true => Api::namespaced_with(client.clone(), namespace, &resource),
        false => Api::all_with(client.clone(), &resource),
    };
    api.patch(name, &PatchParams::apply("churn").force(), &Patch::Apply(&object)).await?;
    Ok(())
}
