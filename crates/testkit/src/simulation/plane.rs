//! The control plane under test: mesh, generator and editions, wired as the program wires them, without tasks.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use generate::plan::{EditionOf, OutboundOf};
use generate::{Class, Generator, TypeName};
use mesh::settings::Settings;
use mesh::{Batch, Mesh, World};
use tables::Flagged;
use xds::server::{Interner, Source};
use xds::{Edition, Resource, Sections, TypeUrl};

/// One life of the control plane: it begins with empty memory.
pub(super) struct Plane {
    mesh: Mesh,
    generator: Generator,
    /// Worlds committed, but not yet seen by those who push.
    waiting: VecDeque<(Arc<World>, Vec<Flagged>)>,
    world: Arc<World>,
    editions: RefCell<HashMap<EditionOf, (u64, Arc<Edition>)>>,
    sections: RefCell<Sections<(u64, TypeName, bool)>>,
    pub(super) interner: Arc<Interner>,
}

impl Plane {
    pub(super) fn new(settings: Settings, first: Batch, audit: bool) -> Self {
        let mut mesh = Mesh::new(settings);
        let generator = Generator::new(audit);
        generator.commit(&mesh.commit(first));
        let world = mesh.world();
        Self {
            mesh,
            generator,
            waiting: VecDeque::new(),
            world,
            editions: RefCell::default(),
            sections: RefCell::default(),
            interner: Arc::new(Interner::default()),
        }
    }

    /// Takes edits in. Pushes go on with the old world until [`Plane::publish`].
    pub(super) fn commit(&mut self, batch: Batch, tell: bool) -> Result<(), String> {
        let story = self.mesh.commit(batch);
        if !(story.panics.is_empty() && story.conflicts.is_empty()) {
            return Err(format!("a stage failed: {:?} {:?}", story.panics, story.conflicts));
        }
        let flagged = if tell { vec![self.generator.commit(&story)] } else { Vec::new() };
        self.waiting.push_back((self.mesh.world(), flagged));
        Ok(())
    }

    /// Lets pushes see the oldest world that they have not seen. Gives what the commit had flagged.
    pub(super) fn publish(&mut self) -> Option<Vec<Flagged>> {
        let (world, flagged) = self.waiting.pop_front()?;
        self.world = world;
        Some(flagged)
    }

    pub(super) fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// The edition of a type for a class, and whether it is of the newest world the generator knows of.
    fn edition(&self, class: &Class, of: TypeName) -> (Arc<Edition>, bool, EditionOf) {
        let key = self.generator.key(&self.world, class, of);
        let (built, digest, fresh) = self.generator.edition(&self.world, &key);
        let mut editions = self.editions.borrow_mut();
        if let Some((known, edition)) = editions.get(&key)
            && *known == digest
        {
            return (edition.clone(), fresh, key);
        }
        let revision = tables::Snapshot::revision(&*self.world).0;
        let mut shared = self.sections.borrow_mut();
        let sections = built.sections.iter().map(|made| {
            let name = (made.digest(), of, class.capabilities.virtual_hosts);
            let make = || made.resources().iter().map(|made| resource(class, of, made)).collect();
            shared.get_or_make(name, make)
        });
        let edition = Edition::of(revision, sections.collect());
        editions.insert(key.clone(), (digest, edition.clone()));
        (edition, fresh, key)
    }
}

/// The same resource in the words of `xds`.
pub(super) fn resource(class: &Class, of: TypeName, built: &generate::Resource) -> Resource {
    Resource {
        name: built.name.clone(),
        version: built.version,
        body: built.body.clone(),
        vhds: of == TypeName::Route && generate::routes::travels_apart(class, &built.name),
    }
}

/// What one client sees of the plane, and what it has asked for.
pub(super) struct Seen<'a> {
    pub(super) plane: &'a Plane,
    pub(super) class: &'a Class,
    pub(super) asked: &'a RefCell<Asked>,
}

/// What a connection has asked the generator for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    keys: BTreeMap<TypeName, EditionOf>,
    /// An answer came from a world that was no longer the newest: it must be asked for again.
    pub(super) stale: Cell<bool>,
}

impl Asked {
    /// Whether a commit touched anything that was asked for.
    pub(super) fn touched(&self, class: &Class, flagged: &[Flagged]) -> bool {
        flagged.iter().any(|flagged| {
            flagged.of::<EditionOf>().any(|key| self.keys.get(&key.of) == Some(key))
                || flagged.of::<OutboundOf>().any(|outbound| outbound.0 == *class)
        })
    }
}

impl Source for Seen<'_> {
    fn edition(&self, type_url: &TypeUrl) -> Option<Arc<Edition>> {
        let of = TypeName::from_url(type_url.as_str())?;
        if of == TypeName::VirtualHost && !self.class.capabilities.virtual_hosts {
            return None;
        }
        let (edition, fresh, key) = self.plane.edition(self.class, of);
        let mut asked = self.asked.borrow_mut();
        asked.keys.insert(of, key);
        if !fresh {
            asked.stale.set(true);
        }
        Some(edition)
    }
}
