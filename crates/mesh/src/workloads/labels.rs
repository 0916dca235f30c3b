//! The labels of workloads: what upstream adds to them, and what it reads from them.

use std::cmp::Ordering;
use std::sync::Arc;

use config::{Shared, label};
use litemap::LiteMap;

use crate::endpoints::Locality;

/// Labels as rows of services hold them.
pub type Labels = LiteMap<Arc<str>, Arc<str>>;

/// The labels that say where a workload is.
const PLACE: [&str; 6] =
    [label::REGION, label::ZONE, label::SUBZONE, label::CLUSTER, label::HOSTNAME, label::NETWORK];

/// The label of a selector by which workloads are looked up; none, if it only asks for places: these are those of many.
pub(crate) fn looked_up(selector: &Labels) -> Option<(&Arc<str>, &Arc<str>)> {
    selector.iter().find(|(name, _)| !PLACE.contains(&&***name))
}

/// Labels as metadata has them, or as rows have them.
pub trait LabelSet {
    /// The value of a label.
    fn value(&self, name: &str) -> Option<&str>;
    /// All of them by name.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)>;

    /// Whether all labels of a selector are among them, with the same values; the empty selector selects everybody.
    fn has_all(&self, selector: &impl LabelSet) -> bool {
        selector.pairs().all(|(name, value)| self.value(name) == Some(value))
    }
}

impl LabelSet for config::Labels {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl LabelSet for Labels {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(|v| &**v)
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl LabelSet for WorkloadLabels {
    fn value(&self, name: &str) -> Option<&str> {
        self.place.get(name).or_else(|| self.own.get(name)).map(String::as_str)
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let (mut own, mut place) = (self.own.iter().peekable(), self.place.iter().peekable());
        std::iter::from_fn(move || {
            let order = match (own.peek(), place.peek()) {
                (Some(own), Some(place)) => own.0.cmp(place.0),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            if order == Ordering::Equal {
                own.next();
            }
            let next = if order == Ordering::Less { own.next() } else { place.next() };
            next.map(|(name, value)| (&**name, &**value))
        })
    }
}

/// The labels of a workload with those that say where it is (as pilot/pkg/serviceregistry/util/label: `AugmentLabels`).
///
/// The first are those of all instances of a deployment, the second those of all instances on a node: both are kept once.
#[derive(Clone, Default)]
pub struct WorkloadLabels {
    own: Shared<config::Labels>,
    /// They go before its own.
    place: Shared<config::Labels>,
}

impl WorkloadLabels {
    /// A workload's own labels, and where it is.
    pub(crate) fn new(own: Shared<config::Labels>, place: &Place<'_>) -> Self {
        let said = own.get(label::NETWORK).is_some_and(|network| !network.is_empty());
        let network = if said { "" } else { place.network };
        let Locality { region, zone, subzone } = place.locality;
        let values = [region, zone, subzone, place.cluster, place.node, network];
        let known = PLACE.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
        let place: config::Labels = known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { own, place: place.into() }
    }

    /// Those by which it is looked up ([`looked_up`]).
    pub(crate) fn to_look_up(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.own.iter().map(|(name, value)| (&**name, &**value));
        own.filter(|(name, _)| !PLACE.contains(name))
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.place.is_empty()
    }
}

impl From<config::Labels> for WorkloadLabels {
    /// Of something that is nowhere.
    fn from(own: config::Labels) -> Self {
        Self { own: own.into(), place: Shared::default() }
    }
}

impl PartialEq for WorkloadLabels {
    fn eq(&self, other: &Self) -> bool {
        (&self.own, &self.place) == (&other.own, &other.place) || self.pairs().eq(other.pairs())
    }
}

impl Eq for WorkloadLabels {}

impl PartialOrd for WorkloadLabels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WorkloadLabels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.pairs().cmp(other.pairs())
    }
}

impl std::fmt::Debug for WorkloadLabels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.pairs()).finish()
    }
}

/// What is added to the labels of a workload, as far as it is not empty.
pub(crate) struct Place<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) network: &'a str,
    pub(crate) node: &'a str,
    pub(crate) locality: &'a Locality,
}

/// Labels of metadata as labels of rows.
pub(crate) fn shared<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Labels {
    let labels = labels.into_iter().map(|(k, v)| (config::text(k), config::text(v)));
    let mut out = Labels::with_capacity(labels.size_hint().0);
    out.extend(labels);
    out
}

/// The locality that a workload's own labels claim (as pkg/model: `GetLocalityLabel`, `SanitizeLocalityLabel`).
pub(crate) fn locality(labels: &config::Labels) -> Option<Locality> {
    let said = labels.get(label::LOCALITY).or_else(|| labels.get(label::ISTIO_LOCALITY))?;
    if said.is_empty() {
        None
    } else if said.contains('/') {
        Some(Locality::parse(said))
    } else {
        Some(Locality::parse(&said.replace('.', "/")))
    }
}

/// The workload name a label claims.
pub(crate) fn workload_name(labels: &config::Labels) -> Option<Arc<str>> {
    labels.get(label::WORKLOAD_NAME).map(|name| config::text(name))
}
