//! What a source has to tell: facts to commit, complaints, and the edits behind them.

use std::sync::Arc;

use config::{Kind, Meta, Object, Problem};
use mesh::{Batch, ObjectKey};

use crate::verdict::Verdict;

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Added,
    /// It says something else than before.
    Changed,
    /// It is gone.
    Removed,
}

impl What {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// One object that a user edited.
#[derive(Debug, Clone)]
pub struct Edit {
    /// Who it is, and where it stands (or stood).
    pub object: Arc<Meta>,
    /// What became of it.
    pub what: What,
}

/// Something is different from what was told before.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// For the mesh. May be empty: then only problems have changed.
    pub batch: Batch,
    /// Everything that is wrong with files that were read again for this change.
    pub problems: Vec<Problem>,
    /// The objects in the batch that say something else, not those that only moved to another line.
    pub edits: Vec<Edit>,
    /// What became of objects of our own cluster, in order; some of them are not in the batch.
    pub verdicts: Vec<Verdict>,
    /// How many files are read in all.
    pub files: usize,
    /// How many objects of API servers are refused now; `None` if that is as before.
    pub refused: Option<usize>,
    /// How many objects and documents of files are, and texts of mesh configuration; `None` if that is as before.
    pub refused_documents: Option<usize>,
}

impl Change {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.problems.is_empty() && self.verdicts.is_empty()
    }

    /// Appends a later change.
    pub fn merge(&mut self, later: Self) {
        merge_batch(&mut self.batch, later.batch);
        self.problems.extend(later.problems);
        self.edits.extend(later.edits);
        self.verdicts.extend(later.verdicts);
        self.files = self.files.max(later.files);
        self.refused = later.refused.or(self.refused);
        self.refused_documents = later.refused_documents.or(self.refused_documents);
    }
}

/// Appends a later batch.
pub(crate) fn merge_batch(earlier: &mut Batch, later: Batch) {
    for (kind, key) in later.removes {
        remove(earlier, kind, key);
    }
    for (cluster, object) in later.puts {
        put(earlier, &cluster, object);
    }
    earlier.hosts.extend(later.hosts);
    if later.settings.is_some() {
        earlier.settings = later.settings;
    }
}

/// Appends an object that is there now. A batch is applied removals first, so one that comes back is no longer removed.
pub(crate) fn put(batch: &mut Batch, cluster: &Arc<str>, object: Object) {
    let kind = object.kind();
    batch.removes.retain(|(of, key)| *of != kind || !is(key, cluster, &object.meta));
    batch.put(cluster, object);
}

/// Appends that an object is gone: what was put of it is no longer put.
pub(crate) fn remove(batch: &mut Batch, kind: Kind, key: ObjectKey) {
    batch.puts.retain(|(cluster, object)| object.kind() != kind || !is(&key, cluster, &object.meta));
    batch.removes.push((kind, key));
}

fn is(key: &ObjectKey, cluster: &Arc<str>, meta: &Meta) -> bool {
    key.name == meta.name && key.namespace == meta.namespace && key.cluster == *cluster
}
