//! Folders of YAML and JSON files: what they say as a whole, and how that differs from what was told before.
//!
//! Nothing here waits: [`Folder::load`] reads everything that changed since the last call and says what is different.
//! When to call it again is the business of [`crate::watch`].

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::decode::{self, Decoded};
use config::{Kind, Meta, Object, Origin, Problem, Severity};
use mesh::{Batch, ObjectKey};

use crate::change::{Change, Edit, What};

mod walk;

#[cfg(test)]
mod tests;

use walk::Stamp;

/// Annotation of objects that a program wrote for a user.
pub const GENERATED: &str = "meltemi.dev/generated";

/// A folder to read.
#[derive(Debug, Clone)]
pub struct Root {
    /// Where.
    pub path: PathBuf,
    /// Whether its objects are written by a program: they are marked, and give way to a user's.
    pub generated: bool,
}

/// Names an object among all files.
type Id = (Kind, Arc<str>, Arc<str>);

fn id(object: &Object) -> Id {
    (object.kind(), object.meta.namespace.clone(), object.meta.name.clone())
}

/// One file as it was read last.
#[derive(Debug)]
struct File {
    stamp: Stamp,
    objects: Vec<Object>,
}

/// The folders, and what was told of them.
#[derive(Debug)]
pub struct Folder {
    roots: Vec<Root>,
    cluster: Arc<str>,
    /// By root, then by path: the order in which files win.
    files: BTreeMap<(usize, PathBuf), File>,
    /// What was told: each object from the first file that has it.
    told: HashMap<Id, Object>,
}

/// Why a folder cannot be read at all.
#[derive(Debug)]
pub struct Unreadable {
    /// Which.
    pub path: PathBuf,
    /// The system's reason.
    pub source: std::io::Error,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read the folder {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for Unreadable {}

impl Folder {
    /// Of `roots`, the first with the highest rank; its objects are told as those of `cluster`. Nothing is read yet.
    #[must_use]
    pub fn new(roots: Vec<Root>, cluster: Arc<str>) -> Self {
        Self { roots, cluster, files: BTreeMap::new(), told: HashMap::new() }
    }

    /// The folders.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// An object as it was told last.
    #[must_use]
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.told.get(&(kind, Arc::from(namespace), Arc::from(name)))
    }

    /// Every object as it was told last, in no order.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.told.values()
    }

    /// Whether a look at the disk finds files gone or emptied that held objects: editors and `mv` do that for moments,
    /// so it is worth to look again before believing it.
    #[must_use]
    pub fn looks_unfinished(&self) -> bool {
        let held = self.files.iter().filter(|(_, file)| !file.objects.is_empty());
        held.into_iter().any(|((_, path), _)| Stamp::of(path).is_none_or(|stamp| stamp.is_empty()))
    }

    /// Reads what changed on disk and says what is different from what was told before. A document that cannot be read
    /// leaves the object's last good version in place; so does a file or folder that the system does not let us read. A
    /// file that is gone takes its objects with it.
    ///
    /// # Errors
    /// A folder that was never read cannot be. (One that was readable before is a problem in the change.)
    pub fn load(&mut self) -> Result<Change, Unreadable> {
        let mut problems = Vec::new();
        let mut changed = false;
        let mut seen: BTreeMap<(usize, PathBuf), Stamp> = BTreeMap::new();
        for (rank, root) in self.roots.iter().enumerate() {
            match walk::files(&root.path, &mut problems) {
                Ok(files) => seen.extend(files.into_iter().map(|(path, stamp)| ((rank, path), stamp))),
                Err(source) => {
                    let path = root.path.clone();
                    // a generated folder may come later
                    let known = root.generated || self.files.keys().any(|(of, _)| *of == rank);
                    if !known {
                        return Err(Unreadable { path, source });
                    }
                    if source.kind() != std::io::ErrorKind::NotFound {
                        let text = format!("cannot read the folder: {source}");
                        problems.push(Problem::new(Severity::Error, &path.display().to_string(), text));
                        let kept = self.files.iter().filter(|((of, _), _)| *of == rank);
                        seen.extend(kept.map(|(key, file)| (key.clone(), file.stamp)));
                    }
                }
            }
        }
        self.files.retain(|key, _| {
            let stays = seen.contains_key(key);
            changed |= !stays;
            stays
        });
        for (key, stamp) in seen {
            if self.files.get(&key).is_some_and(|file| file.stamp == stamp) {
                continue;
            }
            changed = true;
            self.read(key, stamp, &mut problems);
        }
        let mut change = if changed { self.compare(&mut problems) } else { Change::default() };
        change.problems = problems;
        change.files = self.files.len();
        Ok(change)
    }

    /// Reads one file again.
    fn read(&mut self, key: (usize, PathBuf), stamp: Stamp, problems: &mut Vec<Problem>) {
        let name = key.1.display().to_string();
        let old = self.files.remove(&key).map(|file| file.objects).unwrap_or_default();
        let objects = match std::fs::read_to_string(&key.1) {
            Ok(text) => {
                let decoded = decode::documents(&name, &text);
                let objects = keep_last_good(&decoded, old, problems);
                problems.extend(decoded.problems);
                objects
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                let text = format!("cannot read the file: {error}; what it said before stays in place");
                problems.push(Problem::new(Severity::Error, &name, text));
                old
            }
        };
        let generated = self.roots.get(key.0).is_some_and(|root| root.generated);
        let objects = if generated { objects.into_iter().map(marked).collect() } else { objects };
        self.files.insert(key, File { stamp, objects });
    }

    /// What all files say together, against what was told.
    fn compare(&mut self, problems: &mut Vec<Problem>) -> Change {
        let mut now: HashMap<Id, Object> = HashMap::with_capacity(self.told.len());
        let mut order = Vec::new();
        for object in self.files.values().flat_map(|file| &file.objects) {
            let id = id(object);
            if let Some(first) = now.get(&id) {
                let same_file = first.meta.origin.file == object.meta.origin.file;
                problems.extend((!marked_by_program(object) || same_file).then(|| duplicate(first, object)));
                continue;
            }
            order.push(id.clone());
            now.insert(id, object.clone());
        }
        let (mut batch, mut edits) = (Batch::default(), Vec::new());
        for id in &order {
            let Some(object) = now.get(id) else { continue };
            let old = self.told.get(id);
            if old == Some(object) {
                continue;
            }
            batch.put(&self.cluster, object.clone());
            if old.is_none_or(|old| !says_the_same(old, object)) {
                let what = if old.is_none() { What::Added } else { What::Changed };
                edits.push(Edit { object: object.meta.clone(), what });
            }
        }
        let mut gone: Vec<&Object> =
            self.told.iter().filter(|(id, _)| !now.contains_key(*id)).map(|(_, o)| o).collect();
        gone.sort_by_key(|object| id(object));
        for object in gone {
            let meta = &object.meta;
            let key = ObjectKey {
                cluster: self.cluster.clone(),
                namespace: meta.namespace.clone(),
                name: meta.name.clone(),
            };
            batch.removes.push((object.kind(), key));
            edits.push(Edit { object: meta.clone(), what: What::Removed });
        }
        self.told = now;
        Change { batch, edits, ..Change::default() }
    }
}

/// The objects of a file that was read again; those whose documents are refused now stay as they were.
fn keep_last_good(decoded: &Decoded, old: Vec<Object>, problems: &mut Vec<Problem>) -> Vec<Object> {
    let mut objects = decoded.objects.clone();
    let errors: Vec<&Problem> = decoded.problems.iter().filter(|p| p.is_error()).collect();
    if errors.is_empty() {
        return objects;
    }
    // a document that is no YAML does not say which object it was
    let nameless = errors.iter().any(|p| !p.object.contains(' '));
    for last in old {
        let name = last.meta.to_string();
        let there = objects.iter().any(|object| id(object) == id(&last));
        if !there && (nameless || errors.iter().any(|p| p.object == name)) {
            let mut note = Problem::new(
                Severity::Info,
                &last.meta.origin.file,
                "the version before the error stays in place",
            );
            note.object = name;
            problems.push(note);
            objects.push(last);
        }
    }
    objects
}

fn duplicate(first: &Object, object: &Object) -> Problem {
    let (origin, other) = (&object.meta.origin, first.meta.origin.nearest(""));
    Problem {
        line: origin.at.line,
        column: origin.at.column,
        object: object.meta.to_string(),
        hint: "remove one of them".to_owned(),
        ..Problem::new(
            Severity::Warning,
            &origin.file,
            format!("{} is declared at {other} already; that one is used", object.meta),
        )
    }
}

fn marked_by_program(object: &Object) -> bool {
    object.meta.annotations.contains_key(GENERATED)
}

fn marked(mut object: Object) -> Object {
    if !marked_by_program(&object) {
        let mut meta = (*object.meta).clone();
        meta.annotations.insert(GENERATED.to_owned(), "true".to_owned());
        object.meta = Arc::new(meta);
    }
    object
}

/// Whether two versions of an object differ at most in where they stand.
fn says_the_same(old: &Object, new: &Object) -> bool {
    let placeless = |meta: &Meta| Meta { origin: Origin::default(), ..meta.clone() };
    old.spec == new.spec && old.status == new.status && placeless(&old.meta) == placeless(&new.meta)
}

/// Whether a path names a file that would be read.
#[must_use]
pub fn is_read(path: &Path) -> bool {
    walk::is_read(path)
}
