//! The command that is run, without running it.

use super::*;

#[test]
fn the_seeds_reach_the_test_and_the_test_exists() {
    let command = command(Command::new("cargo"), 7, 42);
    let set: Vec<_> = command.get_envs().collect();
    assert!(set.contains(&("MELTEMI_SEEDS".as_ref(), Some("7".as_ref()))), "{set:?}");
    assert!(set.contains(&("MELTEMI_SEED".as_ref(), Some("42".as_ref()))), "{set:?}");
    let source = workspace::root().unwrap().join("crates/testkit/tests/it/simulation.rs");
    let name = TEST.rsplit("::").next().unwrap();
    assert!(std::fs::read_to_string(source).unwrap().contains(&format!("fn {name}()")));
}
