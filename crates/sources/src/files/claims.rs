//! Which files declare which object: the first of them is the one that counts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use config::{Kind, Object};

use super::FileKey;

/// Names an object among all files.
pub(super) type Id = (Kind, Arc<str>, Arc<str>);

pub(super) fn id(object: &Object) -> Id {
    (object.kind(), object.meta.namespace.clone(), object.meta.name.clone())
}

/// One declaration of an object: which of the file's objects it is. Ordered as declarations win.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) file: Arc<FileKey>,
    pub(super) at: usize,
}

/// Every declaration of every object.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<Id, Vec<Claim>>);

impl Claims {
    /// The declarations of an object, the one that counts first.
    pub(super) fn of(&self, id: &Id) -> &[Claim] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }

    /// A file declares these objects. Their names are added to `touched`.
    pub(super) fn stake(&mut self, file: &FileKey, objects: &[Object], touched: &mut BTreeSet<Id>) {
        let file = Arc::new(file.clone());
        for (at, object) in objects.iter().enumerate() {
            let id = id(object);
            let all = self.0.entry(id.clone()).or_insert_with(|| Vec::with_capacity(1));
            let claim = Claim { file: file.clone(), at };
            let place = all.partition_point(|held| *held < claim);
            all.insert(place, claim);
            touched.insert(id);
        }
    }

    /// A file no longer declares these objects. Their names are added to `touched`.
    pub(super) fn withdraw(&mut self, file: &FileKey, objects: &[Object], touched: &mut BTreeSet<Id>) {
        for object in objects {
            let id = id(object);
            if let Some(all) = self.0.get_mut(&id) {
                all.retain(|claim| *claim.file != *file);
                if all.is_empty() {
                    self.0.remove(&id);
                }
            }
            touched.insert(id);
        }
    }
}
