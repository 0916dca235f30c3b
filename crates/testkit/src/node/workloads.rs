//! Pods of Deployments and ReplicaSets, and the end of what nobody owns.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::kubelet;
use super::listing::{Listing, controller, is_going, place};
use super::namespaces::ACCOUNT;
use super::outcome::Outcome;

const HASH: &str = "pod-template-hash";

/// Letters and digits that make no words, as Kubernetes has them in generated names.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Gives every Deployment a ReplicaSet for its template, and lets those of earlier templates shrink to nothing.
pub(super) async fn deployments(client: &Client, listing: &Listing, outcome: &mut Outcome) {
    for deployment in listing.deployments.iter().filter(|deployment| !is_going(&deployment.metadata)) {
        let (namespace, name) = place(&deployment.metadata);
        let Some(spec) = &deployment.spec else { continue };
        let api: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
        let current = format!("{name}-{}", hash(&spec.template));
        let wanted = spec.replicas.unwrap_or(1);
        let owner = deployment.metadata.uid.as_deref();
        let mut found = false;
        for set in &listing.replica_sets {
            if controller(&set.metadata, "Deployment").map(|owner| owner.uid.as_str()) != owner {
                continue;
            }
            let (_, set_name) = place(&set.metadata);
            found |= set_name == current;
            let wanted = if set_name == current { wanted } else { 0 };
            if replicas(set) != wanted {
                let patch = Patch::Merge(json!({"spec": {"replicas": wanted}}));
                let scaled = api.patch(set_name, &PatchParams::default(), &patch).await;
                outcome.note("ReplicaSet", set_name, scaled);
            }
        }
        if !found && let Some(set) = replica_set(deployment, &current) {
            outcome.note("ReplicaSet", &current, api.create(&PostParams::default(), &set).await);
        }
    }
}

/// The ReplicaSet for a Deployment's present template.
fn replica_set(deployment: &Deployment, name: &str) -> Option<ReplicaSet> {
    let spec = deployment.spec.as_ref()?;
    let mut template = spec.template.clone();
    let mut selector = spec.selector.clone();
    let hash = hash(&spec.template);
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    selector.match_labels.get_or_insert_default().insert(HASH.to_owned(), hash);
    Some(ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: metadata.labels.clone(),
            owner_references: Some(vec![owner("Deployment", &deployment.metadata)]),
            ..ObjectMeta::default()
        },
        spec: Some(k8s_openapi::api::apps::v1::ReplicaSetSpec {
            replicas: spec.replicas,
            selector,
            template: Some(template),
            ..Default::default()
        }),
        ..ReplicaSet::default()
    })
}

/// Makes the pods that a ReplicaSet lacks, and deletes those that it has too many: first what is not ready, then what
/// is youngest.
pub(super) async fn replica_sets(client: &Client, listing: &Listing, outcome: &mut Outcome) {
    for set in listing.replica_sets.iter().filter(|set| !is_going(&set.metadata)) {
        let (namespace, name) = place(&set.metadata);
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let mut own: Vec<&Pod> = listing
            .pods
            .iter()
            .filter(|pod| !is_going(&pod.metadata) && !kubelet::has_ended(pod))
            .filter(|pod| {
                controller(&pod.metadata, "ReplicaSet").map(|owner| &owner.uid) == set.metadata.uid.as_ref()
            })
            .collect();
        let wanted = usize::try_from(replicas(set)).unwrap_or_default();
        for _ in own.len()..wanted {
            let Some(pod) = pod(set) else { break };
            outcome.note("a pod of ReplicaSet", name, api.create(&PostParams::default(), &pod).await);
        }
        own.sort_by_key(|pod| (kubelet::is_ready(pod), Reverse(pod.metadata.creation_timestamp.clone())));
        let surplus = own.len().saturating_sub(wanted);
        for pod in own.into_iter().take(surplus) {
            delete(client, &pod.metadata, outcome).await;
        }
    }
}

/// The next pod of a ReplicaSet.
fn pod(set: &ReplicaSet) -> Option<Pod> {
    let template = set.spec.as_ref()?.template.as_ref()?;
    let mut spec = template.spec.clone()?;
    // admission does this in a cluster, which does not run without controllers
    let account = spec.service_account_name.get_or_insert_with(|| ACCOUNT.to_owned()).clone();
    spec.service_account = Some(account);
    let of_template = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        generate_name: set.metadata.name.as_ref().map(|name| format!("{name}-")),
        owner_references: Some(vec![owner("ReplicaSet", &set.metadata)]),
        labels: of_template.labels,
        annotations: of_template.annotations,
        ..ObjectMeta::default()
    };
    Some(Pod { metadata, spec: Some(spec), status: None })
}

/// Deletes what is controlled by something that is gone.
pub(super) async fn orphans(client: &Client, listing: &Listing, outcome: &mut Outcome) {
    for set in listing.replica_sets.iter().filter(|set| !is_going(&set.metadata)) {
        let Some(owner) = controller(&set.metadata, "Deployment") else { continue };
        if listing.deployments.iter().all(|of| of.metadata.uid.as_ref() != Some(&owner.uid)) {
            let (namespace, name) = place(&set.metadata);
            let api: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
            outcome.note("ReplicaSet", name, api.delete(name, &DeleteParams::background()).await);
        }
    }
    for pod in listing.pods.iter().filter(|pod| !is_going(&pod.metadata)) {
        let Some(owner) = controller(&pod.metadata, "ReplicaSet") else { continue };
        if listing.replica_sets.iter().all(|of| of.metadata.uid.as_ref() != Some(&owner.uid)) {
            delete(client, &pod.metadata, outcome).await;
        }
    }
}

async fn delete(client: &Client, pod: &ObjectMeta, outcome: &mut Outcome) {
    let (namespace, name) = place(pod);
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    outcome.note("pod", name, api.delete(name, &DeleteParams::default()).await);
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn owner(kind: &str, meta: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: kind.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The name of a template: the same for equal ones.
fn hash(template: &PodTemplateSpec) -> String {
    fingerprint(&serde_json::to_string(template).unwrap_or_default(), 10)
}

/// So many letters that stand for a text.
pub(super) fn fingerprint(text: &str, letters: usize) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut letter = || {
        let at = usize::try_from(rest % 27).unwrap_or_default();
        rest /= 27;
        char::from(ALPHABET[at])
    };
    (0..letters).map(|_| letter()).collect()
}
