//! Adding up, and what a crash costs.

use serde_json::json;

use super::*;
use crate::scenario::load_all;

/// Two scenarios of one proxy with two clusters each.
fn scenarios(root: &Path) -> Vec<Scenario> {
    for name in ["one", "two"] {
        let folder = root.join("group").join(name);
        fs::create_dir_all(folder.join("golden")).unwrap();
        fs::write(folder.join("input.yaml"), "").unwrap();
        fs::write(folder.join("features.yaml"), "PILOT_HTTP10: 'true'\n").unwrap();
        fs::write(
            folder.join("proxies.yaml"),
            "- {name: p, type: sidecar, node: {id: x, metadata: {A: 'true'}}}\n",
        )
        .unwrap();
        let golden = json!({"clusters": [{"name": "a", "type": "EDS"}, {"name": "b"}], "nameTable": {}});
        fs::write(folder.join("golden/p.json"), golden.to_string()).unwrap();
    }
    load_all(root, "").unwrap()
}

#[test]
fn a_scenario_is_read_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let one = &scenarios(folder.path())[0];
    assert_eq!(one.id(), "group/one");
    assert_eq!(one.features["PILOT_HTTP10"], "true");
    assert_eq!(one.proxies[0].node["metadata"]["A"], "true");
}

#[test]
fn a_panic_costs_its_scenario_only() {
    let folder = tempfile::tempdir().unwrap();
    let scenarios = scenarios(folder.path());
    let report = run(
        &scenarios,
        &|scenario| match scenario.name.as_str() {
            "one" => panic!("a builder broke"),
            _ => Ok(scenario.golden.clone()),
        },
        None,
    )
    .unwrap();
    assert_eq!(report.failures["group/one"], "panic: a builder broke");
    assert_eq!((report.total().equal, report.total().missing, report.perfect()), (2, 2, 1));
}

#[test]
fn differing_missing_and_extra_resources_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let scenarios = scenarios(folder.path());
    let actual = json!({"clusters": [{"name": "a", "type": "STATIC"}, {"name": "c"}]});
    let report = run(
        &scenarios[..1],
        &|_| Ok(BTreeMap::from([("p".to_owned(), actual.clone())])),
        Some(folder.path()),
    )
    .unwrap();
    let Tally { equal, differ, missing, extra } = report.types["clusters"];
    assert_eq!((equal, differ, missing, extra), (0, 1, 1, 1));
    assert_eq!(report.paths[0].path, "clusters: type");
    assert!(folder.path().join("group/one/p.json").exists());
}
