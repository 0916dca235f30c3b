//! The workload of the measurements: 5,000 services, 40 proxy classes that see 1,500 services each, so 120,000
//! memos, and 2,000 connections. Toy builders, so that the bookkeeping shows.

use std::{
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use tables::{Ask, Asking, Commit, Def, Flagged, Input, Level, Memos, Revision, Snapshot, Story, Table};

pub(crate) const SERVICES: u32 = 5_000;
pub(crate) const CLASSES: u32 = 40;
pub(crate) const SEEN: u32 = 1_500;
pub(crate) const CONNECTIONS: u32 = 2_000;

macro_rules! tables {
    ($($def:ident = $order:literal;)*) => { $(
        pub(crate) struct $def;
        impl Level for $def {
            const ORDER: u16 = $order;
            const NAME: &'static str = stringify!($def);
        }
        impl Def for $def {
            type Key = u32;
            type Row = Vec<u64>;
        }
    )* };
}

tables! { Services = 1; Endpoints = 2; Rules = 3; MeshConfig = 4; }

pub(crate) struct World {
    revision: Revision,
    services: Table<Services>,
    endpoints: Table<Endpoints>,
    rules: Table<Rules>,
    mesh_config: Table<MeshConfig>,
}

impl Snapshot for World {
    fn revision(&self) -> Revision {
        self.revision
    }
}

macro_rules! asks {
    ($($ask:ident = $order:literal: $name:literal, $table:ident;)*) => { $(
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub(crate) struct $ask {
            pub(crate) class: u32,
            pub(crate) service: u32,
        }
        impl Level for $ask {
            const ORDER: u16 = $order;
            const NAME: &'static str = $name;
        }
        impl Ask for $ask {
            type World = World;
            type Out = Box<[u8]>;
            fn build(&self, r: &Asking<'_, Self>) -> Box<[u8]> {
                let world = r.world();
                let mesh = world.mesh_config.get(r, &0).map_or(0, |row| row[0]);
                let rule = world.rules.get(r, &self.service).map_or(0, |row| row[0]);
                let own = world.$table.get(r, &self.service).map_or(0, |row| row[0]);
                render($name, [own, rule, mesh, u64::from(self.class)])
            }
            fn digest(out: &Box<[u8]>) -> u64 {
                BuildHasherDefault::<DefaultHasher>::default().hash_one(out)
            }
            fn weight(out: &Box<[u8]>) -> usize {
                out.len()
            }
        }
    )* };
}

asks! {
    ClusterAsk = 10: "cluster", services;
    EndpointsAsk = 11: "endpoints", endpoints;
}

fn render(name: &str, parts: [u64; 4]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(12 * (name.len() + 32));
    for round in 0..12 {
        out.extend_from_slice(name.as_bytes());
        for part in parts {
            out.extend_from_slice(&(part ^ round).to_le_bytes());
        }
    }
    out.into_boxed_slice()
}

/// The services that a class sees.
pub(crate) fn seen(class: u32) -> impl Iterator<Item = u32> {
    (0..SEEN).map(move |i| (class * 617 + i * 3) % SERVICES)
}

#[derive(Default)]
pub(crate) struct Mesh {
    revision: Revision,
    services: Input<Services>,
    endpoints: Input<Endpoints>,
    rules: Input<Rules>,
    mesh_config: Input<MeshConfig>,
}

#[derive(Clone, Copy)]
pub(crate) enum Fact {
    Endpoints(u32, u64),
    Rule(u32, Option<u64>),
    MeshConfig(u64),
}

impl Mesh {
    /// All services; every fifth has a rule.
    pub(crate) fn filled() -> (Self, Story, Arc<World>) {
        let mut mesh = Self { revision: Revision(1), ..Self::default() };
        let mut c = Commit::new(mesh.revision);
        mesh.mesh_config.put(&mut c, 0, Some(vec![7]));
        for s in 0..SERVICES {
            mesh.services.put(&mut c, s, Some(vec![u64::from(s)]));
            mesh.endpoints.put(&mut c, s, Some(vec![1_000 + u64::from(s)]));
            if s % 5 == 0 {
                mesh.rules.put(&mut c, s, Some(vec![u64::from(s)]));
            }
        }
        let world = mesh.world();
        (mesh, c.finish(), world)
    }

    pub(crate) fn commit(&mut self, fact: Fact) -> (Story, Arc<World>) {
        self.revision = self.revision.next();
        let mut c = Commit::new(self.revision);
        match fact {
            Fact::Endpoints(s, v) => self.endpoints.put(&mut c, s, Some(vec![v])),
            Fact::Rule(s, v) => self.rules.put(&mut c, s, v.map(|v| vec![v])),
            Fact::MeshConfig(v) => self.mesh_config.put(&mut c, 0, Some(vec![v])),
        };
        (c.finish(), self.world())
    }

    pub(crate) fn world(&self) -> Arc<World> {
        Arc::new(World {
            revision: self.revision,
            services: self.services.table().clone(),
            endpoints: self.endpoints.table().clone(),
            rules: self.rules.table().clone(),
            mesh_config: self.mesh_config.table().clone(),
        })
    }
}

/// Asks everything that the classes see, and gives the number of memos.
pub(crate) fn fill(memos: &Memos<World>, world: &Arc<World>) -> usize {
    let mut count = 0;
    for class in 0..CLASSES {
        for service in seen(class) {
            memos.get(world, &ClusterAsk { class, service });
            memos.get(world, &EndpointsAsk { class, service });
            count += 2;
        }
    }
    count
}

/// What one commit costs from the flags to the connections to be woken; gives (builders run, connections).
pub(crate) fn push(memos: &Memos<World>, world: &Arc<World>, flagged: &Flagged) -> (usize, usize) {
    let mut wake = HashSet::with_hasher(BuildHasherDefault::<DefaultHasher>::default());
    let mut built = 0;
    let clusters = flagged.of::<ClusterAsk>().map(|a| {
        memos.get(world, a);
        a.class
    });
    let endpoints = flagged.of::<EndpointsAsk>().map(|a| {
        memos.get(world, a);
        a.class
    });
    let mut classes: Vec<u32> = clusters.chain(endpoints).inspect(|_| built += 1).collect();
    classes.sort_unstable();
    classes.dedup();
    for class in classes {
        wake.extend((class..CONNECTIONS).step_by(CLASSES as usize));
    }
    (built, wake.len())
}
