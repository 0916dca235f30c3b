//! What a user says laid over what holds by default: every field replaces, a few are merged.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::check::{self, Finding};
use super::{MeshConfig, MeshNetworks, ProxyConfig, default_mesh_config, default_proxy_config};
use crate::decode::schema::Field;
use crate::decode::{Content, Node, Reader, trees};
use crate::object::Origin;
use crate::problem::{Problem, Severity};

/// A value and the warnings on the way to it, or the reasons why there is none.
pub type Outcome<T> = Result<(T, Vec<Problem>), Vec<Problem>>;

/// Lays the YAML of a user over a mesh configuration; `file` is what problems name.
///
/// Every field that is there replaces the one below. Merged are: `defaultConfig` and `defaultProviders` field by
/// field, `extensionProviders` by name, `trustDomainAliases` as a sorted set. The result is checked
/// as a whole, so a base that is refused by itself cannot be built upon.
///
/// # Errors
/// The problems, at least one of them an error, each with its place.
///
/// As `pkg/config/mesh/mesh.go: ApplyMeshConfig`.
pub fn apply_mesh_config(base: &MeshConfig, file: &str, text: &str) -> Outcome<MeshConfig> {
    read(file, text, check::mesh_config, |root, reader| {
        let mut mesh = base.clone();
        mesh.read(root, reader);
        mesh.default_config.clone_from(&base.default_config);
        mesh.default_providers.clone_from(&base.default_providers);
        if let Some(node) = member(root, "defaultConfig", "default_config") {
            let below = base.default_config.clone().unwrap_or_else(default_proxy_config);
            mesh.default_config = Some(again(reader, |reader| merge_proxy_config(&below, node, reader)));
        }
        if let Some(node) = member(root, "defaultProviders", "default_providers") {
            let providers = mesh.default_providers.get_or_insert_default();
            again(reader, |reader| providers.read(node, reader));
        }
        merge_providers(base, &mut mesh);
        let aliases: BTreeSet<String> =
            mesh.trust_domain_aliases.iter().chain(&base.trust_domain_aliases).cloned().collect();
        mesh.trust_domain_aliases = aliases.into_iter().collect();
        mesh
    })
}

/// Providers of the same name replace the provider below, others are added behind.
fn merge_providers(base: &MeshConfig, mesh: &mut MeshConfig) {
    let mut merged = base.extension_providers.clone();
    for provider in mesh.extension_providers.drain(..) {
        match merged.iter_mut().find(|below| below.name == provider.name) {
            Some(below) => below.provider = provider.provider,
            None => merged.push(provider),
        }
    }
    mesh.extension_providers = merged;
}

/// The mesh configuration a text gives over the defaults.
///
/// # Errors
/// See [`apply_mesh_config`].
pub fn parse_mesh_config(file: &str, text: &str) -> Outcome<MeshConfig> {
    apply_mesh_config(&default_mesh_config(), file, text)
}

/// Where the fields of a mesh configuration were written, by their paths in JSON names (`defaultConfig.statusPort`);
/// `None` for a text that is no YAML.
pub fn mesh_config_places(file: &str, text: &str) -> Option<Origin> {
    let root = trees(text).into_iter().next()?.ok()?;
    let mut reader = Reader::new(Arc::from(file));
    MeshConfig::default().read(&root, &mut reader);
    Some(Origin::new(Arc::from(file), root.at, reader.into_parts().0))
}

/// Lays YAML over the settings of a proxy, as the annotation `proxy.istio.io/config` does.
///
/// Every field that is there replaces the one below; `proxyMetadata` is merged by key, and `proxyHeaders` keep
/// what the new ones leave open.
///
/// # Errors
/// The problems, at least one of them an error, each with its place.
///
/// As `pkg/config/mesh/mesh.go: MergeProxyConfig`.
pub fn apply_proxy_config(base: &ProxyConfig, file: &str, text: &str) -> Outcome<ProxyConfig> {
    read(file, text, |_| Vec::new(), |root, reader| merge_proxy_config(base, root, reader))
}

fn merge_proxy_config(base: &ProxyConfig, node: &Node, reader: &mut Reader) -> ProxyConfig {
    let mut config = base.clone();
    config.read(node, reader);
    let mut metadata = base.proxy_metadata.clone();
    metadata.append(&mut config.proxy_metadata);
    config.proxy_metadata = metadata;
    if let (Some(new), Some(below)) = (&mut config.proxy_headers, &base.proxy_headers) {
        if new.forwarded_client_cert.is_absent() {
            new.forwarded_client_cert = below.forwarded_client_cert;
        }
        fill(&mut new.request_id, &below.request_id);
        fill(&mut new.attempt_count, &below.attempt_count);
        fill(&mut new.server, &below.server);
        fill(&mut new.envoy_debug_headers, &below.envoy_debug_headers);
    }
    config
}

fn fill<T: Clone>(slot: &mut Option<T>, below: &Option<T>) {
    if slot.is_none() {
        slot.clone_from(below);
    }
}

/// The networks of a mesh, whose gateways may have a host for an address if `hosts` says so (`RESOLVE_HOSTNAME_GATEWAYS`).
///
/// # Errors
/// The problems, at least one of them an error, each with its place.
///
/// As `pkg/config/mesh/mesh.go: ParseMeshNetworks`.
pub fn parse_mesh_networks(file: &str, text: &str, hosts: bool) -> Outcome<MeshNetworks> {
    read(
        file,
        text,
        |networks| check::mesh_networks(networks, hosts),
        |root, reader| {
            let mut networks = MeshNetworks::default();
            networks.read(root, reader);
            networks
        },
    )
}

/// Reads the only document of a text; an empty text is an empty object.
fn read<T>(
    file: &str,
    text: &str,
    check: impl FnOnce(&T) -> Vec<Finding>,
    build: impl FnOnce(&Node, &mut Reader) -> T,
) -> Outcome<T> {
    let mut documents = trees(text).into_iter();
    let root = match documents.next() {
        None => Node { at: crate::decode::Mark::default(), content: Content::Object(Vec::new()) },
        Some(Ok(root)) => root,
        Some(Err(error)) => {
            let mut problem = Problem::new(Severity::Error, file, error.message);
            (problem.line, problem.column, problem.hint) = (error.at.line, error.at.column, error.hint);
            return Err(vec![problem]);
        }
    };
    let mut reader = Reader::new(Arc::from(file));
    if let Some(Ok(second)) = documents.next() {
        reader.warn(second.at, "only the first document is read", "remove the others");
    }
    let value = build(&root, &mut reader);
    let failed = reader.failed();
    let (places, mut problems) = reader.into_parts();
    if failed {
        return Err(problems);
    }
    let origin = Origin::new(Arc::from(file), root.at, places);
    let findings = check(&value);
    let refused = !findings.is_empty();
    problems.extend(findings.into_iter().map(|finding| refusal(&origin, finding)));
    if refused { Err(problems) } else { Ok((value, problems)) }
}

/// A finding with the place of the field, or of the nearest part of its path that was written.
fn refusal(origin: &Origin, (field, message, hint): Finding) -> Problem {
    let at = origin.nearest(&field);
    let (severity, hint) = (Severity::Error, hint.to_owned());
    let object = String::new();
    Problem { file: at.file, line: at.line, column: at.column, object, field, message, hint, severity }
}

/// Reads a part a second time: what is wrong with it was told the first time.
fn again<T>(reader: &mut Reader, read: impl FnOnce(&mut Reader) -> T) -> T {
    let mut silent = Reader::new(Arc::from(""));
    let value = read(&mut silent);
    debug_assert!(!silent.failed() || reader.failed(), "the first reading saw the same errors");
    value
}

/// The member of an object by its JSON or its snake-case name, unless it is null.
fn member<'n>(root: &'n Node, json: &str, snake: &str) -> Option<&'n Node> {
    root.get(json).or_else(|| root.get(snake)).filter(|node| !node.is_null())
}

#[cfg(test)]
mod tests;
