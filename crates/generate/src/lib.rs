//! generate - from (World, proxy) to Envoy configuration, encoded.
//! In: a World and what a proxy says of itself. Out: editions of resources (name, version, bytes), shared by class.
//! Here: builders that get their key and their reads, nothing else; the only room that speaks Envoy.
//! Never here: input rows, discovery messages, sockets, the clock.
//! Start reading at: plan.rs

pub mod addresses;
pub mod authentication;
mod authorization;
mod catalog;
pub mod clusters;
pub mod encoded;
pub mod endpoints;
pub mod filters;
mod findings;
pub mod gateways;
pub mod listeners;
pub mod names;
pub mod plan;
pub mod provenance;
pub mod proxy;
pub mod routes;
pub mod scope;
pub mod secrets;
pub mod telemetry;

pub use catalog::{Class, Generator};
pub use encoded::{Resource, Section, TypeName};
pub use findings::Finding;
pub use plan::Edition;
pub use proxy::{Proxy, ProxyKind};

/// The mesh's settings row; defaults before the first commit.
pub(crate) fn settings<'a, L: tables::Level>(
    r: &tables::Reads<L>,
    world: &'a mesh::World,
) -> &'a mesh::settings::Settings {
    static NONE: std::sync::LazyLock<mesh::settings::Settings> =
        std::sync::LazyLock::new(mesh::settings::Settings::default);
    world.settings.get(r, &()).map_or(&*NONE, |s| s)
}
