//! A mesh settled on disk, with programs that only wait.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Local, Names, Plan, Ports};
use crate::up::allocate::Allocator;
use crate::up::children::Starter;
use crate::up::control::Join;
use crate::up::paths::Paths;
use crate::up::record::Record;
use crate::up::{meshfile, sample};

/// Does what `istioctl enter` does to its arguments, and no more.
pub(in crate::up) const ENTER: &str =
    "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";
const WAIT: &str = "#!/bin/sh\nexec sleep 60\n";

/// Writes a program, by a process of its own: what this one has open for writing, a process that another test just starts
/// has as well until it becomes its program, and nobody can run it meanwhile.
pub(in crate::up) fn script(path: &Path, text: &str) {
    let write = r#"printf %s "$1" >"$2" && chmod 755 "$2""#;
    let written = Command::new("/bin/sh").args(["-c", write, "sh", text]).arg(path).status().unwrap();
    assert!(written.success(), "{} is not written", path.display());
}

pub(super) fn settled(directory: &Path, names: Names) -> Local {
    settle(directory, names, &[]).unwrap()
}

/// The sample with other files in its folder.
fn settle(directory: &Path, names: Names, files: &[(&str, &str)]) -> anyhow::Result<Local> {
    let paths = Paths::new(directory, None);
    paths.create().unwrap();
    let folder_path = sample::write(&paths).unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder_path.join(name), text).unwrap());
    let file = meshfile::read(&folder_path).unwrap();
    script(&directory.join("istioctl"), ENTER);
    let starter = Starter {
        own: directory.join("istioctl"),
        instance: format!("settled-{}", std::process::id()),
        logs: paths.logs(),
    };
    let plan = Plan {
        paths,
        folder_path,
        file,
        starter,
        binaries: directory.to_owned(),
        envoy: directory.join("envoy"),
        stock: true,
        names,
        ports: Ports { gateway: 18080, gateway_tls: 18443, ..Ports::default() },
        gateway_bind: std::net::Ipv4Addr::LOCALHOST,
    };
    Local::settle(plan, Allocator::new().unwrap())
}

fn generated(local: &Local) -> Vec<String> {
    let entries = fs::read_dir(local.plan.paths.generated()).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_workload_of_the_sample_gets_objects_and_names_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let local = settled(directory.path(), Names::Hosts);
    assert_eq!(generated(&local).len(), 7, "six workloads and the gateway");
    assert!(local.serves_gateway());
    assert!(local.privileged_services().is_empty());
    let inbound: std::collections::BTreeSet<_> =
        local.inhabitants.values().map(|i| i.place.inbound).collect();
    assert_eq!(inbound.len(), 6, "an address each");
    let reviews = &local.inhabitants["reviews-v1.default"];
    let hosts = fs::read_to_string(local.plan.paths.hosts("reviews-v1.default")).unwrap();
    assert!(hosts.contains(&format!("{} ratings ratings.default", reviews.place.egress)), "{hosts}");
    let env = local.app_env("reviews-v1.default");
    assert_eq!(env["PORT"], reviews.place.ports[0].app.to_string());
    assert!(!env.contains_key("http_proxy"), "names are enough");
}

#[test]
fn ports_that_cannot_be_listened_on_and_policies_that_would_loop_are_known_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = "workloads: [{name: web, ports: {9080: 9080}}]\n";
    let service = "kind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
    let files = [("mesh.yaml", mesh), ("web.yaml", service)];
    let local = settle(directory.path(), Names::Hosts, &files).unwrap();
    assert_eq!(local.privileged_services(), ["web.default:80"]);
    let kept = local.services_at_kept_ports();
    assert!(kept.contains(&"reviews.default:9080".to_owned()), "{kept:?}");

    let directory = tempfile::tempdir().unwrap();
    let mesh = "meshConfig: {outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}\n";
    let error = settle(directory.path(), Names::Hosts, &[("mesh.yaml", mesh)]).err().unwrap().to_string();
    assert!(error.contains("ALLOW_ANY or REGISTRY_ONLY"), "{error}");
}

#[test]
fn the_gateways_url_is_where_this_machine_reaches_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut local = settled(directory.path(), Names::Hosts);
    assert_eq!(local.gateway_url(), "http://127.0.0.1:18080");
    local.plan.gateway_bind = std::net::Ipv4Addr::UNSPECIFIED;
    assert_eq!(local.gateway_url(), "http://127.0.0.1:18080", "it is reached here all the same");
    local.plan.gateway_bind = std::net::Ipv4Addr::new(192, 0, 2, 7);
    assert_eq!(local.gateway_url(), "http://192.0.2.7:18080");
}

#[test]
fn without_private_names_a_program_gets_the_proxy_of_the_services_common_port() {
    let directory = tempfile::tempdir().unwrap();
    let local = settled(directory.path(), Names::HttpProxy);
    let egress = local.inhabitants["reviews-v1.default"].place.egress;
    assert_eq!(local.app_env("reviews-v1.default")["http_proxy"], format!("http://{egress}:9080"));
}

#[test]
fn a_service_that_appears_in_the_folder_gets_its_name_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let mut local = settled(directory.path(), Names::Hosts);
    let text = "kind: Service\nmetadata: {name: extra, namespace: shop}\nspec: {ports: [{port: 7000}]}\n";
    fs::write(local.plan.folder_path.join("extra.yaml"), text).unwrap();
    local.folder_changed().unwrap();
    for id in local.inhabitants.keys() {
        let hosts = fs::read_to_string(local.plan.paths.hosts(id)).unwrap();
        assert!(hosts.contains(" extra.shop extra.shop.svc"), "{id}");
    }
}

#[tokio::test]
async fn a_process_joins_with_the_selectors_labels_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut local = settled(directory.path(), Names::Hosts);
    script(&directory.path().join("pilot-agent"), WAIT);
    let join =
        Join { namespace: "default".to_owned(), service_account: "cart".to_owned(), ..Join::default() };
    let cart = Join { name: "cart".to_owned(), port: Some(3000), ..join.clone() };
    let answer = local.join(&cart).unwrap();
    assert_eq!((answer.env["PORT"].as_str(), answer.hosts.is_some()), ("3000", true));
    let objects = fs::read_to_string(local.plan.paths.generated().join("cart.default.yaml")).unwrap();
    assert!(objects.contains("kind: Service\n") && objects.contains("http: 18000"), "{objects}");
    assert!(
        fs::read_to_string(local.plan.paths.hosts("details-v1.default")).unwrap().contains(" cart.default")
    );
    assert!(local.join(&cart).unwrap_err().to_string().contains("already"));
    let labels = [("app", "reviews"), ("version", "v4")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let reviews = Join { name: "reviews-v4".to_owned(), labels, ..join };
    assert!(local.join(&reviews).unwrap().notes[0].contains("reviews.default"));

    local.remember().unwrap();
    let record = Record::read(&local.plan.paths).unwrap();
    assert_eq!((record.processes.len(), record.document.proxies.len()), (2, 9));
    for id in ["cart.default", "reviews-v4.default"] {
        for running in local.leave(id) {
            running.stop().await;
        }
    }
    assert_eq!(generated(&local).len(), 7);
    assert!(record.processes.iter().all(|process| !process.lives()));
    assert!(!fs::read_to_string(local.plan.paths.hosts("details-v1.default")).unwrap().contains("cart"));
}

#[tokio::test]
async fn a_failed_join_leaves_no_object_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut local = settled(directory.path(), Names::Hosts);
    let name = "cart".to_owned();
    let join =
        Join { name, namespace: "default".to_owned(), service_account: "cart".to_owned(), ..Join::default() };
    assert!(local.join(&join).unwrap_err().to_string().contains("pilot-agent belongs beside istioctl"));
    assert_eq!(generated(&local).len(), 7);
    assert!(!local.inhabitants.contains_key("cart.default"));
}

#[tokio::test]
async fn a_process_that_ends_during_the_start_is_reported_with_its_output() {
    let directory = tempfile::tempdir().unwrap();
    let mut local = settled(directory.path(), Names::Hosts);
    script(&directory.path().join("pilot-agent"), "#!/bin/sh\necho out of order\nexit 4\n");
    local.start_agent("details-v1.default").unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let message = loop {
        if let Some(found) = local.casualty() {
            break found;
        }
        assert!(std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    };
    assert!(message.contains("exit status: 4") && message.contains("out of order"), "{message}");
}
