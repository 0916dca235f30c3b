//! Folders of YAML and JSON files: what they say as a whole, and how that differs from what was told before.
//!
//! Nothing here waits: [`Folder::load`] reads everything that changed since the last call and says what is different.
//! When to call it again is the business of [`crate::watch`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::decode::{self, Decoded};
use config::{Kind, Meta, Object, Origin, Problem, Severity};
use mesh::{Batch, ObjectKey};

use crate::change::{Change, Edit, What};

mod claims;
pub(crate) mod walk;

#[cfg(test)]
mod tests;

use claims::{Claim, Claims, Id, id};
use walk::{Single, Stamp};

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

/// Which file: the root it stands in, and its path. The order in which files win.
type FileKey = (usize, PathBuf);

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
    files: BTreeMap<FileKey, File>,
    claims: Claims,
    /// Whether links were seen: then a path may stand for another one.
    links: bool,
    /// What was told: each object from the first file that has it.
    told: HashMap<Id, Object>,
}

/// What a look at the disk found; see [`Folder::look`].
#[derive(Debug, Default)]
pub struct Look {
    /// Sorted; only those that are another one now, or whose objects are to stay.
    seen: Vec<(FileKey, Stamp)>,
    gone: Vec<FileKey>,
    problems: Vec<Problem>,
    unfinished: bool,
    links: bool,
}

impl Look {
    /// Whether files are gone or emptied that held objects: editors and `mv` do that for moments, so it is worth to look
    /// again before believing it.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }
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
        let (files, told) = (BTreeMap::new(), HashMap::new());
        Self { roots, cluster, files, claims: Claims::default(), links: false, told }
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

    /// Looks at the disk: which files are new, other ones or gone. `moved` are the paths that something is known to have
    /// happened to; without them everything is looked at.
    ///
    /// # Errors
    /// A folder that was never read cannot be. (One that was readable before is a problem in the look.)
    pub fn look(&self, moved: Option<&BTreeSet<PathBuf>>) -> Result<Look, Unreadable> {
        match moved.and_then(|paths| self.look_at(paths)) {
            Some(look) => Ok(look),
            None => self.look_everywhere(),
        }
    }

    /// A look at single files; `None` if that is not all there is to look at: folders and links stand for others.
    fn look_at(&self, paths: &BTreeSet<PathBuf>) -> Option<Look> {
        if self.links {
            return None;
        }
        let mut look = Look::default();
        for path in paths {
            let (rank, root) =
                self.roots.iter().enumerate().find(|(_, root)| path.starts_with(&root.path))?;
            if walk::is_below_hidden(&root.path, path) {
                return None;
            }
            let key = (rank, path.clone());
            let known = self.files.get(&key);
            let held = known.is_some_and(|file| !file.objects.is_empty());
            match walk::single(path) {
                Single::File(stamp) if known.is_some_and(|file| file.stamp == stamp) => {}
                Single::File(stamp) => {
                    look.unfinished |= stamp.is_empty() && held;
                    look.seen.push((key, stamp));
                }
                Single::Absent if known.is_some() => {
                    look.unfinished |= held;
                    look.gone.push(key);
                }
                Single::Absent if self.is_folder(&key) => return None,
                Single::Ignored | Single::Absent => {}
                Single::Other => return None,
            }
        }
        Some(look)
    }

    /// Whether files were read below a path.
    fn is_folder(&self, key: &FileKey) -> bool {
        let next = self.files.range(key..).next();
        next.is_some_and(|((rank, path), _)| *rank == key.0 && path.starts_with(&key.1))
    }

    fn look_everywhere(&self) -> Result<Look, Unreadable> {
        let (mut problems, mut links) = (Vec::new(), false);
        let mut seen: Vec<(FileKey, Stamp)> = Vec::new();
        for (rank, root) in self.roots.iter().enumerate() {
            match walk::files(&root.path, &mut problems) {
                Ok(found) => {
                    links |= found.links;
                    seen.extend(found.files.into_iter().map(|(path, stamp)| ((rank, path), stamp)));
                }
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
        Ok(Look { problems, links, ..self.compare(seen) })
    }

    /// What is different between the files that were read and all that are there, both in one order.
    fn compare(&self, seen: Vec<(FileKey, Stamp)>) -> Look {
        let mut look = Look::default();
        let mut held = self.files.iter().peekable();
        for (key, stamp) in seen {
            while let Some((gone, file)) = held.next_if(|(known, _)| **known < key) {
                look.unfinished |= !file.objects.is_empty();
                look.gone.push(gone.clone());
            }
            match held.next_if(|(known, _)| **known == key) {
                Some((_, file)) if file.stamp == stamp => continue,
                Some((_, file)) => look.unfinished |= stamp.is_empty() && !file.objects.is_empty(),
                None => {}
            }
            look.seen.push((key, stamp));
        }
        for (gone, file) in held {
            look.unfinished |= !file.objects.is_empty();
            look.gone.push(gone.clone());
        }
        look
    }

    /// Reads everything that is different on disk; see [`Folder::take`].
    ///
    /// # Errors
    /// As [`Folder::look`].
    pub fn load(&mut self) -> Result<Change, Unreadable> {
        let look = self.look(None)?;
        Ok(self.take(look))
    }

    /// Reads what a look found and says what is different from what was told before. A document that cannot be read
    /// leaves the object's last good version in place; so does a file or folder that the system does not let us read. A
    /// file that is gone takes its objects with it.
    pub fn take(&mut self, look: Look) -> Change {
        self.links |= look.links;
        let mut problems = look.problems;
        let mut touched: BTreeSet<Id> = BTreeSet::new();
        for key in look.gone {
            if let Some(file) = self.files.remove(&key) {
                self.claims.withdraw(&key, &file.objects, &mut touched);
            }
        }
        for (key, stamp) in look.seen {
            self.read(key, stamp, &mut problems, &mut touched);
        }
        let mut change = self.settle(&touched, &mut problems);
        change.problems = problems;
        change.files = self.files.len();
        change
    }

    /// Reads one file again.
    fn read(&mut self, key: FileKey, stamp: Stamp, problems: &mut Vec<Problem>, touched: &mut BTreeSet<Id>) {
        let name = key.1.display().to_string();
        let old = self.files.remove(&key).map(|file| file.objects).unwrap_or_default();
        self.claims.withdraw(&key, &old, touched);
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
        let objects: Vec<Object> =
            if generated { objects.into_iter().map(marked).collect() } else { objects };
        self.claims.stake(&key, &objects, touched);
        self.files.insert(key, File { stamp, objects });
    }

    /// What the files now say of the objects that were touched, against what was told of them.
    fn settle(&mut self, touched: &BTreeSet<Id>, problems: &mut Vec<Problem>) -> Change {
        let (mut batch, mut edits) = (Batch::default(), Vec::new());
        let mut found: Vec<(&Claim, Id)> = Vec::new();
        let mut gone = Vec::new();
        for id in touched {
            match self.claims.of(id) {
                [] => gone.extend(self.told.remove(id)),
                [first, others @ ..] => {
                    problems.extend(others.iter().filter_map(|other| self.duplicate(first, other)));
                    found.push((first, id.clone()));
                }
            }
        }
        // in the order of the files: that is the order in which they are told
        found.sort_by(|a, b| a.0.cmp(b.0));
        for (claim, id) in found {
            let Some(object) = self.claimed(claim) else { continue };
            let old = self.told.get(&id);
            if old == Some(object) {
                continue;
            }
            batch.put(&self.cluster, object.clone());
            if old.is_none_or(|old| !says_the_same(old, object)) {
                let what = if old.is_none() { What::Added } else { What::Changed };
                edits.push(Edit { object: object.meta.clone(), what });
            }
            let object = object.clone();
            self.told.insert(id, object);
        }
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
        Change { batch, edits, ..Change::default() }
    }

    fn claimed(&self, claim: &Claim) -> Option<&Object> {
        self.files.get(&*claim.file)?.objects.get(claim.at)
    }

    /// What is to be said of a second declaration. A program's gives way to a user's without a word.
    fn duplicate(&self, first: &Claim, other: &Claim) -> Option<Problem> {
        let object = self.claimed(other)?;
        let said = !marked_by_program(object) || first.file == other.file;
        said.then(|| duplicate(self.claimed(first).unwrap_or(object), object))
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
        meta.annotations.edit(|annotations| {
            annotations.insert(GENERATED.to_owned(), "true".to_owned());
        });
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
