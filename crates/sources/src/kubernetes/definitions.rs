//! Which custom kinds an API server has, in which version; they may come and go while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use config::Kind;
use futures_util::StreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use tokio::sync::mpsc;

use super::watch::{self, Trouble};

type Definition = PartialObjectMeta<CustomResourceDefinition>;

/// A definition that is there may take this long until its kind is served; then it is looked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// With nothing new, what is served is looked at this often: a definition may gain or lose a version.
const ROUTINE: Duration = Duration::from_secs(300);

/// What is told of definitions.
#[derive(Debug)]
pub(crate) enum Defined {
    /// All kinds that are served, each as it is to be asked for.
    Kinds(BTreeMap<Kind, ApiResource>),
    /// It cannot be found out.
    Failed(Trouble),
}

/// Which kinds a user wants nothing to be known of (`PILOT_IGNORE_RESOURCES` and `PILOT_INCLUDE_RESOURCES`; as
/// pkg/kube/kclient/crdwatcher.go: filterPilotResources).
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Names of definitions, separated by commas; `*.` before a suffix means all names with it.
    pub ignored: String,
    /// Of those, the ones that are wanted all the same.
    pub included: String,
}

impl Wanted {
    fn has(&self, name: &str) -> bool {
        let listed = |list: &str| {
            list.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .any(|item| item.strip_prefix("*.").map_or(item == name, |suffix| name.ends_with(suffix)))
        };
        !listed(&self.ignored) || listed(&self.included)
    }
}

/// Custom kinds, and for each in which versions of its group it may be served, the preferred one first.
pub(crate) type Sought = BTreeMap<Kind, Vec<ApiResource>>;

/// The name of the definition of a kind that is served so.
fn name(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

/// Follows the definitions of `kinds`, and tells all that are served whenever that has changed.
pub(crate) async fn follow<T>(
    client: Client,
    kinds: Sought,
    wanted: Wanted,
    streaming: bool,
    tell: mpsc::Sender<T>,
    wrap: impl Fn(Defined) -> T,
) {
    let named = kinds.iter().filter_map(|(kind, resources)| Some((name(resources.first()?), *kind)));
    let known: BTreeMap<String, Kind> = named.filter(|(name, _)| wanted.has(name)).collect();
    // without their bodies, which are large
    let definitions: Api<Definition> = Api::all(client.clone());
    let mut events = std::pin::pin!(watch::events(definitions, watch::config(streaming)));
    let mut seen = Seen::default();
    let mut told = None;
    let mut pause = ROUTINE;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = tokio::time::sleep(pause), if seen.complete => None,
        };
        let event = match event.transpose() {
            Ok(event) => event,
            Err(error) => {
                if tell.send(wrap(Defined::Failed(Trouble::of(&error)))).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if event.is_some_and(|event| !seen.take(event, &known)) {
            continue;
        }
        let served = served(&client, &kinds, &seen.there).await;
        let missing = served.as_ref().is_none_or(|served| served.len() < seen.there.len());
        pause = if missing { AGAIN } else { ROUTINE };
        let Some(served) = served else { continue };
        if told.as_ref() == Some(&served) {
            continue;
        }
        told = Some(served.clone());
        if tell.send(wrap(Defined::Kinds(served))).await.is_err() {
            return;
        }
    }
}

/// The definitions that are there.
#[derive(Default)]
struct Seen {
    there: BTreeSet<Kind>,
    listed: Option<BTreeSet<Kind>>,
    complete: bool,
}

impl Seen {
    /// Whether that leaves something to find out.
    fn take(&mut self, event: Event<Definition>, known: &BTreeMap<String, Kind>) -> bool {
        let kind = |definition: &Definition| {
            known.get(definition.metadata.name.as_deref().unwrap_or_default()).copied()
        };
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                false
            }
            Event::InitApply(definition) => {
                self.listed.get_or_insert_default().extend(kind(&definition));
                false
            }
            Event::InitDone => {
                self.there = self.listed.take().unwrap_or_default();
                self.complete = true;
                true
            }
            Event::Apply(definition) => {
                self.there.extend(kind(&definition));
                kind(&definition).is_some() && self.complete
            }
            Event::Delete(definition) => {
                kind(&definition).is_some_and(|kind| self.there.remove(&kind)) && self.complete
            }
        }
    }
}

/// Of these kinds those that are served, each in the version that is preferred; `None` if the API server does not say.
async fn served(
    client: &Client,
    sought: &Sought,
    there: &BTreeSet<Kind>,
) -> Option<BTreeMap<Kind, ApiResource>> {
    let mut resources: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut served = BTreeMap::new();
    for (kind, possible) in sought.iter().filter(|(kind, _)| there.contains(kind)) {
        for resource in possible {
            let group_version = resource.api_version.as_str();
            if !resources.contains_key(group_version) {
                let plurals = match client.list_api_group_resources(group_version).await {
                    Ok(list) => list.resources.into_iter().map(|resource| resource.name).collect(),
                    Err(kube::Error::Api(status)) if status.code == 404 => BTreeSet::new(),
                    Err(error) => {
                        tracing::debug!(target: "kube", "what {group_version} has is not known: {error}");
                        return None;
                    }
                };
                resources.insert(group_version, plurals);
            }
            if resources.get(group_version).is_some_and(|plurals| plurals.contains(&resource.plural)) {
                served.insert(*kind, resource.clone());
                break;
            }
        }
    }
    Some(served)
}
