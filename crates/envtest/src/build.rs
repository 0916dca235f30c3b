//! Builds both programs from the module in `module/`, which is written out where it is built.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};

use crate::{Assets, Error, Places, VERSION, find};

/// What is built, file by file. `go.mod` and `go.sum` are those of Kubernetes' own module, its parts by version.
const MODULE: [(&str, &str); 4] = [
    ("go.mod", include_str!("../module/go.mod")),
    ("go.sum", include_str!("../module/go.sum")),
    ("etcd/main.go", include_str!("../module/etcd/main.go")),
    ("kube-apiserver/main.go", include_str!("../module/kube-apiserver/main.go")),
];

/// Where Go's own installer puts it.
const USUAL: &str = "/usr/local/go/bin";

/// Looks, and builds into the cache when nothing is found. `progress` hears a line before whatever takes long.
///
/// Two processes may do this at once: each builds in a folder of its own, and the last move is atomic.
///
/// # Errors
/// When a named folder lacks a program, or nothing is found and cannot be built (no Go, no network).
pub fn find_or_build(places: &Places, progress: &mut dyn FnMut(&str)) -> Result<Assets, Error> {
    match find(places) {
        Err(Error::Missing(_)) => {}
        found => return found,
    }
    let partial = places.cache.join(format!("kubernetes-{VERSION}.partial-{}", id()));
    let built = build(places, &partial, progress).map_err(Error::Build);
    // left over from a try that failed, or what is left of one that worked
    let _ = fs::remove_dir_all(&partial);
    built?;
    find(places)
}

fn build(places: &Places, partial: &Path, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let go = go(places).ok_or_else(|| format!("there is no `go` on the PATH, nor in {USUAL}"))?;
    let (source, programs) = (partial.join("source"), partial.join("programs"));
    let written = write(&source).and_then(|()| fs::create_dir_all(&programs));
    written.map_err(|error| format!("{}: {error}", partial.display()))?;
    progress(&format!(
        "building kube-apiserver {VERSION} and etcd into {} (once; five minutes on two cores)",
        places.built().display()
    ));
    let version = format!(
        "-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION} \
         -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
    );
    let output = Command::new(&go)
        .current_dir(&source)
        .args(["build", "-trimpath", "-ldflags", &version, "-o"])
        .arg(&programs)
        .args(["./etcd", "./kube-apiserver"])
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", go.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().filter(|line| !line.starts_with("go: downloading")).collect();
        return Err(format!("go build: {}", last[last.len().saturating_sub(5)..].join("\n  ")));
    }
    // somebody else may have been quicker: theirs is the same
    fs::rename(&programs, places.built())
        .or_else(|error| if Assets::of(&places.built()).missing().is_none() { Ok(()) } else { Err(error) })
        .map_err(|error| format!("{}: {error}", places.built().display()))
}

fn write(source: &Path) -> io::Result<()> {
    for (name, text) in MODULE {
        let file = source.join(name);
        fs::create_dir_all(file.parent().unwrap_or(source))?;
        fs::write(file, text)?;
    }
    Ok(())
}

fn go(places: &Places) -> Option<PathBuf> {
    envoy::on_path(&places.path, "go").or_else(|| envoy::on_path(&USUAL.into(), "go"))
}
