//! What the control plane hears of the API server: a watch per kind, each as late as it likes, with everything that can
//! become of a watch. What it makes of that is the product's own code; what an honest reader would know by now is noted
//! beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use config::{Kind, Object};
use kube::runtime::watcher::Event;
use sources::Change;
use sources::kubernetes::{Held, Raw};

use super::faults::Sabotage;
use super::pool::SLOTS;
use super::random::Random;
use super::store::{Facts, Standing, Store, Write};
use crate::fixture::CLUSTER;

/// So many writes at most does a list lag behind.
const STALE: usize = 6;

/// What became of watches in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watched {
    /// Events told.
    pub events: usize,
    /// Of these, told twice.
    pub repeats: usize,
    /// Lists begun.
    pub lists: usize,
    /// Lists that ended half way.
    pub halves: usize,
    /// Objects that stood there and were not in a list.
    pub holes: usize,
    /// Objects in lists that did not stand there any more.
    pub ghosts: usize,
}

impl Watched {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.repeats += other.repeats;
        self.lists += other.lists;
        self.halves += other.halves;
        self.holes += other.holes;
        self.ghosts += other.ghosts;
    }
}

/// Where a watch is. Revisions are those it has told until.
enum State {
    Cut,
    Listing { revision: usize, left: Vec<(usize, Rc<Standing>)>, listed: BTreeSet<usize> },
    Watching { revision: usize },
}

/// The watch of a kind.
pub(super) struct Feed {
    pub(super) kind: Kind,
    held: Held,
    state: State,
    /// What an honest reader would know.
    shown: Facts,
    /// A step of it is under way.
    pub(super) awake: bool,
    /// Milliseconds that a step of it takes at most.
    pub(super) latency: u64,
}

impl Feed {
    /// One of each kind that the user has.
    pub(super) fn all(random: &mut Random) -> Vec<Self> {
        let kinds: BTreeSet<Kind> = SLOTS.iter().map(|slot| slot.kind).collect();
        kinds.into_iter().map(|kind| Self::new(kind, random)).collect()
    }

    fn new(kind: Kind, random: &mut Random) -> Self {
        let version = kind.versions().first().copied().unwrap_or_default();
        Self {
            kind,
            held: Held::new(kind, version, &CLUSTER.into(), ""),
            state: State::Cut,
            shown: Facts::new(),
            awake: false,
            latency: if random.percent(10) { 400 } else { 12 },
        }
    }

    /// The connection breaks. What comes next is a list.
    pub(super) fn cut(&mut self) {
        self.state = State::Cut;
    }

    /// Whether there is something left to tell.
    pub(super) fn is_behind(&self, store: &Store) -> bool {
        match &self.state {
            State::Cut | State::Listing { .. } => true,
            State::Watching { revision } => store.since(*revision).iter().any(|write| self.is_of(write.slot)),
        }
    }

    fn is_of(&self, slot: usize) -> bool {
        SLOTS.get(slot).is_some_and(|slot| slot.kind == self.kind)
    }

    /// What an honest reader would know.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Object> {
        self.shown.values().map(|standing| &standing.object)
    }

    /// Everything until it is complete, as at the start.
    pub(super) fn catch_up(&mut self, store: &Store, random: &mut Random, watched: &mut Watched) -> Change {
        let mut change = Change::default();
        while !matches!(self.state, State::Watching { .. }) {
            change.merge(self.step(store, random, watched, None));
        }
        change
    }

    /// A chunk of what is left to tell, and what it changes.
    pub(super) fn step(
        &mut self,
        store: &Store,
        random: &mut Random,
        watched: &mut Watched,
        sabotage: Option<Sabotage>,
    ) -> Change {
        let events = match std::mem::replace(&mut self.state, State::Cut) {
            State::Cut => vec![self.list(store, random, watched)],
            State::Listing { .. } if random.percent(8) => {
                watched.halves += 1;
                let believed = sabotage == Some(Sabotage::BelieveHalves);
                believed.then_some(Event::InitDone).into_iter().collect()
            }
            State::Listing { revision, left, listed } => self.list_on(revision, left, listed, random),
            State::Watching { revision } => self.follow(revision, store, random, watched),
        };
        watched.events += events.len();
        let mut change = Change::default();
        let mut complete = false;
        for event in events {
            complete |= self.held.hear(event, &mut change);
        }
        if complete && sabotage == Some(Sabotage::KeepUnlisted) {
            change.batch.removes.clear();
        }
        change
    }

    /// A list begins: of the present, or of what a replica of the API server that lags behind takes for it.
    fn list(&mut self, store: &Store, random: &mut Random, watched: &mut Watched) -> Event<Raw> {
        let revision = store.earlier(if random.percent(35) { random.below(STALE + 1) } else { 0 });
        let stood = store.at(revision);
        let mine = |facts: &Facts| {
            facts.keys().copied().filter(|slot| self.is_of(*slot)).collect::<BTreeSet<usize>>()
        };
        let (listed, now) = (mine(&stood), mine(store.facts()));
        watched.lists += 1;
        watched.holes += now.difference(&listed).count();
        watched.ghosts += listed.difference(&now).count();
        let mut left: Vec<_> =
            listed.iter().filter_map(|slot| Some((*slot, stood.get(slot)?.clone()))).collect();
        for at in (1..left.len()).rev() {
            left.swap(at, random.below(at + 1));
        }
        self.state = State::Listing { revision, left, listed };
        Event::Init
    }

    fn list_on(
        &mut self,
        revision: usize,
        mut left: Vec<(usize, Rc<Standing>)>,
        listed: BTreeSet<usize>,
        random: &mut Random,
    ) -> Vec<Event<Raw>> {
        let mut events = Vec::new();
        for _ in 0..=random.below(4) {
            let Some((slot, standing)) = left.pop() else {
                // an honest reader knows now what is gone
                self.shown.retain(|slot, _| listed.contains(slot));
                self.state = State::Watching { revision };
                events.push(Event::InitDone);
                return events;
            };
            events.push(Event::InitApply(standing.raw.clone()));
            self.shown.insert(slot, standing);
        }
        self.state = State::Listing { revision, left, listed };
        events
    }

    fn follow(
        &mut self,
        mut revision: usize,
        store: &Store,
        random: &mut Random,
        watched: &mut Watched,
    ) -> Vec<Event<Raw>> {
        let mut events = Vec::new();
        let most = 1 + random.below(4);
        for write in store.since(revision) {
            if events.len() >= most {
                break;
            }
            revision += 1;
            if !self.is_of(write.slot) {
                continue;
            }
            let times = if random.percent(20) { 2 } else { 1 };
            watched.repeats += times - 1;
            events.extend((0..times).filter_map(|_| event(write)));
            match &write.stands {
                Some(standing) => drop(self.shown.insert(write.slot, standing.clone())),
                None => drop(self.shown.remove(&write.slot)),
            }
        }
        self.state = State::Watching { revision };
        events
    }
}

fn event(write: &Write) -> Option<Event<Raw>> {
    Some(match (&write.stands, &write.before) {
        (Some(standing), _) => Event::Apply(standing.raw.clone()),
        (None, before) => Event::Delete(before.as_ref()?.raw.clone()),
    })
}

/// What the mesh was told, by what it is.
#[derive(Default)]
pub(super) struct Told(BTreeMap<(Kind, Arc<str>, Arc<str>), Object>);

impl Told {
    /// A batch is committed: removals first, as a mesh does.
    pub(super) fn take(&mut self, batch: &mesh::Batch) {
        for (kind, key) in &batch.removes {
            self.0.remove(&(*kind, key.namespace.clone(), key.name.clone()));
        }
        for (_, object) in &batch.puts {
            let meta = &object.meta;
            self.0.insert((object.kind(), meta.namespace.clone(), meta.name.clone()), object.clone());
        }
    }

    /// Compares it with what the watches have shown, of which nothing is left to commit.
    ///
    /// # Errors
    /// The first object that differs.
    pub(super) fn compare(&self, feeds: &[Feed]) -> Result<(), String> {
        let mut expected = 0;
        for shown in feeds.iter().flat_map(Feed::shown) {
            expected += 1;
            let meta = &shown.meta;
            let told = self.0.get(&(shown.kind(), meta.namespace.clone(), meta.name.clone()));
            match told {
                None => return Err(format!("the watch showed {meta}, and the mesh was not told")),
                Some(told) if !same(told, shown) => {
                    return Err(format!("the mesh was told another {meta} than the watch showed last"));
                }
                Some(_) => {}
            }
        }
        if expected == self.0.len() {
            return Ok(());
        }
        let shown: BTreeSet<_> = feeds.iter().flat_map(Feed::shown).map(|o| o.meta.to_string()).collect();
        let extra = self.0.values().map(|object| object.meta.to_string()).find(|name| !shown.contains(name));
        Err(format!("the mesh has {}, which the watch says is gone", extra.unwrap_or_default()))
    }
}

/// Whether they say the same, wherever it was read; their versions alone are told to nobody.
fn same(one: &Object, other: &Object) -> bool {
    let (a, b) = (&one.meta, &other.meta);
    let meta = a.creation == b.creation && a.labels == b.labels && a.annotations == b.annotations;
    meta && one.spec == other.spec && one.status == other.status
}
