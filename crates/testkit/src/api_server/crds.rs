//! CustomResourceDefinitions of every custom kind the mesh reads, without schemas: what the mesh makes of a field is what
//! is tested, not what an API server would refuse.

use anyhow::{Result, anyhow};
use config::Kind;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition,
};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::PATIENCE;
use crate::eventually;

/// Applies them and waits until their kinds are served.
pub(super) async fn define(client: &Client) -> Result<()> {
    let all: Api<CustomResourceDefinition> = Api::all(client.clone());
    let manager = PatchParams::apply("testkit").force();
    let kinds = || Kind::ALL.iter().filter(|kind| kind.is_configuration() && !kind.group().is_empty());
    for kind in kinds() {
        let definition = definition(*kind, kind.group(), kind.versions());
        all.patch(&name(*kind), &manager, &Patch::Apply(&definition)).await?;
    }
    for kind in kinds() {
        until_served(&all, &name(*kind)).await?;
    }
    Ok(())
}

/// Defines one more kind, perhaps in another group than its own, and waits until it is served.
///
/// # Errors
/// What the API server refuses.
pub async fn define_in(client: &Client, kind: Kind, group: &str, version: &str) -> Result<()> {
    let all: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{}.{group}", kind.plural());
    let definition = definition(kind, group, &[version]);
    all.patch(&name, &PatchParams::apply("testkit").force(), &Patch::Apply(&definition)).await?;
    until_served(&all, &name).await
}

async fn until_served(all: &Api<CustomResourceDefinition>, name: &str) -> Result<()> {
    let served = async || {
        let status = all.get(name).await.ok()?.status?;
        let established = |condition: &CustomResourceDefinitionCondition| {
            condition.type_ == "Established" && condition.status == "True"
        };
        status.conditions?.iter().any(established).then_some(())
    };
    eventually(&format!("{name} is served"), PATIENCE, served).await.map_err(|late| anyhow!(late))
}

fn name(kind: Kind) -> String {
    format!("{}.{}", kind.plural(), kind.group())
}

fn definition(kind: Kind, group: &str, versions: &[&str]) -> serde_json::Value {
    let stored = versions.first().copied().unwrap_or_default();
    let versions: Vec<_> = versions
        .iter()
        .map(|version| {
            json!({
                "name": version,
                "served": true,
                "storage": *version == stored,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                "subresources": {"status": {}},
            })
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{group}", kind.plural()),
            // groups of Kubernetes' own community are approved by name; these are copies for a test
            "annotations": {"api-approved.kubernetes.io": "unapproved, a copy for tests"},
        },
        "spec": {
            "group": group,
            "scope": if kind.namespaced() { "Namespaced" } else { "Cluster" },
            "names": {
                "kind": kind.name(),
                "plural": kind.plural(),
                "singular": kind.name().to_lowercase(),
            },
            "versions": versions,
        },
    })
}
