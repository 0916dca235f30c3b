//! Where what a proxy is given comes from: each resource with its pieces, each piece with the object, field and place
//! in a file, or with the default that holds.

use std::sync::Arc;

use config::{Kind, Location, Meta, Spec};
use generate::provenance::{Piece, Place, Places, Written};
use generate::{Class, TypeName};
use serde_json::{Map, Value, json};
use tables::Snapshot as _;
use tokio::sync::watch;
use xds::TypeUrl;

use crate::catalog::{MeshCatalog, type_name};
use crate::objects::Objects;

/// What was written, as far as this process knows.
pub(super) struct Texts<'a> {
    /// The objects.
    pub(super) objects: &'a Objects,
    /// The places in the mesh configuration.
    pub(super) mesh: &'a watch::Receiver<Option<Arc<config::Origin>>>,
}

impl Written for Texts<'_> {
    fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<(Arc<Meta>, Option<Spec>)> {
        self.objects.find(kind, namespace, name)
    }

    fn mesh_config(&self) -> Option<Arc<config::Origin>> {
        self.mesh.borrow().clone()
    }
}

/// The types that a list of short names or type URLs means, separated by commas; all for an empty list.
///
/// # Errors
/// The first name that is no type of resource that is made here.
pub(super) fn types(names: &str) -> Result<Vec<TypeName>, String> {
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Ok(TypeName::ALL.to_vec());
    }
    names
        .into_iter()
        .map(|name| type_name(&TypeUrl::from_short(name)).ok_or_else(|| name.to_owned()))
        .collect()
}

/// The provenance of a proxy's resources of these types; only of the resource `name`, unless that is empty. `None` if
/// the proxy has no resource of that name.
pub(super) fn page(
    catalog: &MeshCatalog,
    texts: &Texts<'_>,
    class: &Class,
    types: &[TypeName],
    name: &str,
) -> Option<Value> {
    let world = catalog.world();
    let generator = catalog.generator();
    let places = Places::new(texts);
    let mut out = Vec::new();
    for of in types {
        let explained = generator.explain(&world, &generator.key(&world, class, *of));
        for resource in explained.edition.resources().filter(|r| name.is_empty() || *r.name == *name) {
            let pieces = explained.pieces.get(&resource.name).map_or(&[][..], Vec::as_slice);
            out.push(json!({
                "type": of.url(),
                "name": &*resource.name,
                "version": format!("{:016x}", resource.version),
                "pieces": pieces.iter().map(|p| piece(p, &places.of(&p.origin))).collect::<Vec<_>>(),
            }));
        }
    }
    let found = name.is_empty() || !out.is_empty();
    found.then(|| json!({ "proxy": &*class.name, "revision": world.revision().0, "resources": out }))
}

fn piece(piece: &Piece, place: &Place) -> Value {
    let mut out = Map::new();
    out.insert("path".to_owned(), piece.path.as_str().into());
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    match place {
        Place::Object { kind, namespace, name, field, at } => {
            put("kind", kind.name().into());
            put("namespace", (**namespace).into());
            put("name", (**name).into());
            put("field", field.as_str().into());
            at.iter().for_each(|at| locate(&mut out, at));
        }
        Place::MeshConfig { field, at } => {
            put("meshConfig", field.as_ref().into());
            match at {
                Some(at) => locate(&mut out, at),
                None => drop(put("default", format!("{field} of the built-in MeshConfig").into())),
            }
        }
        Place::Proxy(field) => drop(put("proxy", field.as_ref().into())),
        Place::Default(which) => drop(put("default", which.as_ref().into())),
    }
    out.into()
}

fn locate(out: &mut Map<String, Value>, at: &Location) {
    out.insert("file".to_owned(), (*at.file).into());
    if at.line > 0 {
        out.insert("line".to_owned(), at.line.into());
        out.insert("column".to_owned(), at.column.into());
    }
}
