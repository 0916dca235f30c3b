//! `export`: the folder's objects as a cluster can take them.

use std::path::Path;

use anyhow::bail;
use serde_json::Value;

use super::folder::{Folder, Object};

/// Prints what is portable, says on stderr what is not and why.
///
/// # Errors
/// If there is no such folder, or nothing in it.
pub fn run(folder: Option<&Path>) -> anyhow::Result<()> {
    let path = match (folder, super::running_document()) {
        (Some(folder), _) => folder.to_owned(),
        (None, Some(document)) => document.folder.into(),
        (None, None) => bail!("no mesh is running here: name a folder, or start one with `istioctl up`"),
    };
    if !path.is_dir() {
        bail!("{} is not a folder", path.display());
    }
    let folder = Folder::read(&path);
    let (portable, left_out) = sort(&folder);
    for (object, why) in &left_out {
        eprintln!(
            "left out {}/{} ({}:{}): {why}",
            object.kind(),
            object.name(),
            object.file.display(),
            object.line
        );
    }
    if path.join(super::meshfile::NAME).exists() {
        eprintln!(
            "left out {}: it says which local commands are which workloads; a cluster has Deployments",
            super::meshfile::NAME
        );
    }
    if portable.is_empty() {
        bail!("{} has no objects for a cluster", path.display());
    }
    let documents: Vec<&str> = portable.iter().map(|object| object.text.as_str()).collect();
    print!("{}", documents.join("---\n"));
    Ok(())
}

/// The objects a cluster can take (once per document), and the others with the reason.
fn sort(folder: &Folder) -> (Vec<&Object>, Vec<(&Object, &'static str)>) {
    let (mut portable, mut left_out): (Vec<&Object>, Vec<_>) = (Vec::new(), Vec::new());
    for object in folder.objects() {
        match reason(&object.value) {
            Some(why) => left_out.push((object, why)),
            None if portable
                .last()
                .is_some_and(|last| last.file == object.file && last.line == object.line) => {}
            None => portable.push(object),
        }
    }
    (portable, left_out)
}

fn is_loopback(value: &Value) -> bool {
    value.as_str().is_some_and(|address| address.starts_with("127.") || address == "::1")
}

/// Why an object makes no sense on a cluster.
fn reason(object: &Value) -> Option<&'static str> {
    let spec = &object["spec"];
    let any = |list: &Value, test: &dyn Fn(&Value) -> bool| {
        list.as_array().is_some_and(|items| items.iter().any(test))
    };
    if object["metadata"]["labels"][super::generated::MARK] == "true" {
        return Some("istioctl generated it for this machine");
    }
    match object["kind"].as_str()? {
        "WorkloadEntry" if is_loopback(&spec["address"]) => {
            Some("its address is this machine's own loopback")
        }
        "EndpointSlice" if any(&object["endpoints"], &|e| any(&e["addresses"], &is_loopback)) => {
            Some("Kubernetes refuses loopback addresses in an EndpointSlice")
        }
        "Pod" if is_loopback(&object["status"]["podIP"]) => {
            Some("its address is this machine's own loopback")
        }
        "ServiceEntry" if any(&spec["endpoints"], &|e| is_loopback(&e["address"])) => {
            Some("its endpoints are on this machine's own loopback")
        }
        "Sidecar"
            if any(&spec["ingress"], &|l| is_loopback(&l["bind"]) || l["captureMode"] == "NONE")
                || any(&spec["egress"], &|l| is_loopback(&l["bind"]) || l["captureMode"] == "NONE") =>
        {
            Some("captureMode NONE and loopback binds would switch the pods' capture off")
        }
        "Service" if object["metadata"]["name"] == super::generated::GATEWAY => {
            Some("the gateway's chart brings its own")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
