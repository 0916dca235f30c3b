//! The user's side: random edits of the objects that stand in the API server.

use std::sync::Arc;

use config::Object;
use config::decode::rfc3339;
use serde::Deserialize as _;
use serde_json::{Value, json};
use sources::kubernetes::Raw;

use super::pool::{FOUNDATION, SLOTS};
use super::random::Random;
use super::store::{Standing, Store};

/// The user, and what was written so far.
#[derive(Default)]
pub(super) struct User {
    pub(super) store: Store,
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
        user.store.begin();
        user
    }

    /// Changes something. Says what, in words.
    pub(super) fn edit(&mut self, random: &mut Random) -> String {
        let slot = FOUNDATION + random.below(SLOTS.len() - FOUNDATION);
        match self.store.facts().get(&slot).map(|standing| standing.object.meta.to_string()) {
            Some(gone) if random.percent(30) => {
                self.store.write(slot, None);
                format!("delete {gone}")
            }
            Some(_) if random.percent(20) => self.touch(slot),
            _ => self.put(slot, random),
        }
    }

    fn put(&mut self, slot: usize, random: &mut Random) -> String {
        let variants = SLOTS.get(slot).map_or(&[][..], |slot| &slot.variants);
        let at = random.below(variants.len());
        let Some(variant) = variants.get(at) else { return "nothing".to_owned() };
        let (mut object, mut tree) = (variant.object.clone(), variant.tree.clone());
        self.count += 1;
        let meta = Arc::make_mut(&mut object.meta);
        // An object keeps its age while it stands; created again it is young.
        let old = self.store.facts().get(&slot);
        meta.creation = old.map_or(self.count, |old| old.object.meta.creation);
        tree["metadata"]["creationTimestamp"] = json!(rfc3339(meta.creation));
        let told = format!("put {} #{at}", object.meta);
        self.set(slot, object, tree);
        told
    }

    /// Metadata that means nothing to any proxy.
    fn touch(&mut self, slot: usize) -> String {
        let Some(old) = self.store.facts().get(&slot) else { return "nothing".to_owned() };
        let (mut object, mut tree) = (old.object.clone(), old.tree.clone());
        self.count += 1;
        let note = self.count.to_string();
        tree["metadata"]["annotations"]["note"] = json!(note);
        Arc::make_mut(&mut object.meta).annotations.edit(|annotations| {
            annotations.insert("note".to_owned(), note);
        });
        let told = format!("annotate {}", object.meta);
        self.set(slot, object, tree);
        told
    }

    #[expect(clippy::expect_used, reason = "a mistake in the pool fails every seed")]
    fn set(&mut self, slot: usize, mut object: Object, mut tree: Value) {
        let version = (self.store.revision() + 1).to_string();
        tree["metadata"]["resourceVersion"] = json!(version);
        Arc::make_mut(&mut object.meta).resource_version = version;
        let raw = Raw::deserialize(&tree).expect("an object with metadata");
        self.store.write(slot, Some(Standing { object, tree, raw }));
    }
}
