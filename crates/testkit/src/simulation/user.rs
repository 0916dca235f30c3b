//! The user's side: the objects that stand in the mesh, and random edits of them.

use std::sync::Arc;

use config::Object;

use super::plane::{Edits, Facts};
use super::pool::{FOUNDATION, SLOTS};
use super::random::Random;

/// The user, and the intake that gathers edits into batches.
#[derive(Default)]
pub(super) struct User {
    pub(super) facts: Facts,
    pub(super) pending: Edits,
    /// Ages of objects, and numbers for what is written into metadata.
    count: i64,
}

impl User {
    /// A mesh to begin with: what every mesh has, and about half of the rest.
    pub(super) fn new(random: &mut Random) -> Self {
        let mut user = Self::default();
        for slot in 0..SLOTS.len() {
            if slot < FOUNDATION || random.percent(55) {
                user.put(slot, random);
            }
        }
        user.pending.clear();
        user
    }

    /// Changes something. Says what, in words.
    pub(super) fn edit(&mut self, random: &mut Random) -> String {
        let slot = FOUNDATION + random.below(SLOTS.len() - FOUNDATION);
        match self.facts.contains_key(&slot) {
            true if random.percent(30) => {
                let gone = self.facts.remove(&slot);
                self.pending.insert(slot, None);
                format!("delete {}", gone.map(|o| o.meta.to_string()).unwrap_or_default())
            }
            true if random.percent(20) => self.touch(slot),
            _ => self.put(slot, random),
        }
    }

    fn put(&mut self, slot: usize, random: &mut Random) -> String {
        let variants = SLOTS.get(slot).map_or(&[][..], |slot| &slot.variants);
        let at = random.below(variants.len());
        let Some(mut object) = variants.get(at).cloned() else { return "nothing".to_owned() };
        self.count += 1;
        let meta = Arc::make_mut(&mut object.meta);
        // An object keeps its age while it stands; created again it is young.
        meta.creation = self.facts.get(&slot).map_or(self.count, |old| old.meta.creation);
        meta.resource_version = self.count.to_string();
        let told = format!("put {} #{at}", object.meta);
        self.set(slot, object);
        told
    }

    /// Metadata that means nothing to any proxy.
    fn touch(&mut self, slot: usize) -> String {
        let Some(mut object) = self.facts.get(&slot).cloned() else { return "nothing".to_owned() };
        self.count += 1;
        let meta = Arc::make_mut(&mut object.meta);
        let note = self.count.to_string();
        meta.annotations.edit(|annotations| {
            annotations.insert("note".to_owned(), note);
        });
        meta.resource_version = self.count.to_string();
        let told = format!("annotate {}", object.meta);
        self.set(slot, object);
        told
    }

    fn set(&mut self, slot: usize, object: Object) {
        self.pending.insert(slot, Some(object.clone()));
        self.facts.insert(slot, object);
    }

    /// Takes the edits gathered so far.
    pub(super) fn take(&mut self) -> Edits {
        std::mem::take(&mut self.pending)
    }
}
