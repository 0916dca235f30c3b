//! What is right: builds from scratch, to compare proxies with at the end and to excuse what the user asked for.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use generate::{Class, Generator, TypeName};
use mesh::settings::Settings;
use mesh::{Batch, Mesh, World};
use xds::Resource;

use super::plane;
use super::proxy::{Dangling, Proxy, is_wildcard};
use super::random::Random;
use super::references;
use super::store::Facts;
use crate::check::Output;
use crate::fixture::CLUSTER;

type Built = Rc<BTreeMap<Arc<str>, Resource>>;

/// All worlds of a run that proxies may have heard of.
#[derive(Default)]
pub(super) struct Judge {
    worlds: Vec<Arc<World>>,
    built: HashMap<(usize, Class), Rc<BTreeMap<TypeName, Built>>>,
}

impl Judge {
    pub(super) fn saw(&mut self, world: &Arc<World>) {
        self.worlds.push(world.clone());
    }

    fn at(&mut self, index: usize, class: &Class) -> Rc<BTreeMap<TypeName, Built>> {
        let world = &self.worlds[index];
        let built = self.built.entry((index, class.clone()));
        built.or_insert_with(|| Rc::new(build(&Generator::new(false), world, class))).clone()
    }

    /// Whether some world of the run was without it. A removal waits for the end of its round; what comes back before
    /// that was never gone for the proxy, and is sent again.
    pub(super) fn was_gone(&mut self, class: &Class, of: TypeName, name: &str) -> bool {
        (0..self.worlds.len()).any(|index| !self.at(index, class)[&of].contains_key(name))
    }

    /// Whether some world of the run itself has it so: a route to a host that nobody declared.
    pub(super) fn excuses(&mut self, class: &Class, dangling: &Dangling) -> bool {
        let (of, name, version) = &dangling.from;
        (0..self.worlds.len()).rev().any(|index| {
            let built = self.at(index, class);
            let there = built[of].get(name).is_some_and(|resource| resource.version == *version);
            there && !built[&dangling.to.0].contains_key(&*dangling.to.1)
        })
    }
}

fn build(generator: &Generator, world: &Arc<World>, class: &Class) -> BTreeMap<TypeName, Built> {
    let output = Output::with(generator, world, class);
    let of = |of| {
        let resources = output.resources(of).into_iter().map(|made| plane::resource(class, of, made));
        (of, Rc::new(resources.map(|r| (r.name.clone(), r)).collect()))
    };
    TypeName::ALL.into_iter().map(of).collect()
}

/// The world of these facts, told at once and in another order.
pub(super) fn from_scratch(settings: Settings, facts: &Facts, random: &mut Random) -> Arc<World> {
    let mut batch = Batch::default();
    for standing in facts.values() {
        batch.put(&CLUSTER.into(), standing.object.clone());
    }
    for at in (1..batch.puts.len()).rev() {
        batch.puts.swap(at, random.below(at + 1));
    }
    let mut mesh = Mesh::new(settings);
    mesh.commit(batch);
    mesh.world()
}

/// Compares what a proxy holds with what it would get if everything began now.
pub(super) fn compare(generator: &Generator, world: &Arc<World>, proxy: &Proxy) -> Result<(), String> {
    let built = build(generator, world, &proxy.class);
    for (of, names) in &proxy.subscribed {
        let held = proxy.of(*of);
        let due = |name: &str| match of {
            TypeName::VirtualHost => proxy.has_place_for(name),
            _ => is_wildcard(*of) || names.contains(name),
        };
        for (name, resource) in built[of].iter().filter(|(name, _)| due(name)) {
            if proxy.refuses(*of, resource.version) {
                continue;
            }
            let Some(has) = held.get(name) else {
                return Err(format!("{} does not hold {of:?} {name}", proxy.name));
            };
            if has.resource.version != resource.version || has.resource.body != resource.body {
                return Err(format!(
                    "{} holds another {of:?} {name} than a build from scratch gives",
                    proxy.name
                ));
            }
        }
        for name in held.keys().filter(|name| !built[of].contains_key(*name)) {
            let excused = proxy.picky.is_some() || (proxy.variant == xds::Variant::Sotw && !is_wildcard(*of));
            if !excused {
                return Err(format!("{} still holds {of:?} {name}", proxy.name));
            }
        }
    }
    for (name, resource) in &*built[&TypeName::Cluster] {
        // Every cluster that wants endpoints has an assignment, be it an empty one.
        let wants = references::of(TypeName::Cluster, resource)?.endpoints.clone();
        if let Some(missing) = wants.filter(|n| !built[&TypeName::Endpoint].contains_key(&**n)) {
            return Err(format!("no endpoints {missing} are built for cluster {name} of {}", proxy.name));
        }
    }
    hosts(proxy)?;
    if let Some(name) = proxy.warming.iter().next().filter(|_| proxy.picky.is_none()) {
        return Err(format!("{} waits for endpoints {name} of a cluster it was sent", proxy.name));
    }
    Ok(())
}

/// Nobody waits for virtual hosts, and a new stream would begin with true claims.
fn hosts(proxy: &Proxy) -> Result<(), String> {
    if let Some(route) = proxy.hosts.awaited().next() {
        return Err(format!("{}: the listener of {route} still waits for virtual hosts", proxy.name));
    }
    let orphan = proxy.hosts.claims().find(|name| !proxy.of(TypeName::VirtualHost).contains_key(*name));
    match orphan.filter(|_| proxy.picky.is_none()) {
        Some(name) => {
            Err(format!("{} would claim the virtual host {name}, which it does not use", proxy.name))
        }
        None => Ok(()),
    }
}
