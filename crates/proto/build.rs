//! Generates the Rust code: Envoy's API from the committed descriptor set, Istio's few wire messages from `protos/`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;
use protox::Compiler;
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, IncludeFileResolver};

const ENVOY: &str = "descriptors/envoy-1.40.0.fds";
const PROTOS: &str = "protos";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ENVOY}");
    println!("cargo:rerun-if-changed={PROTOS}");
    println!("cargo:rerun-if-changed=build.rs");

    let envoy = prost_types::FileDescriptorSet::decode(fs::read(ENVOY)?.as_slice())?;
    let all = with_own_protos(envoy)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.fds"), all.encode_to_vec())?;

    let mut config = prost_build::Config::new();
    config
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        .compile_well_known_types()
        // An encoded resource is shared by many connections.
        .bytes([".google.protobuf.Any"])
        // Equal messages must be equal bytes: versions are content hashes.
        .btree_map(["."])
        .disable_comments(["."])
        .include_file("packages.rs");
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .build_transport(false)
        .compile_fds_with_config(all, config)?;
    Ok(())
}

/// The set with the files of `protos/` behind it; these may import any file of the set.
fn with_own_protos(
    mut set: prost_types::FileDescriptorSet,
) -> Result<prost_types::FileDescriptorSet, Box<dyn Error>> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(DescriptorSetFileResolver::new(set.clone()));
    resolver.add(IncludeFileResolver::new(PROTOS.into()));
    let mut compiler = Compiler::with_file_resolver(resolver);
    for file in own_protos(Path::new(PROTOS))? {
        compiler.open_file(&file)?;
    }
    set.file.extend(compiler.file_descriptor_set().file);
    Ok(set)
}

/// Names of the hand-written files, sorted.
fn own_protos(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|extension| extension == "proto") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
