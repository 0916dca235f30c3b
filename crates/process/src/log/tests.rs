//! Tests of the logger, each with a subscriber of its own.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt;

use super::{Level, LevelError, Levels, Lines, Scope, format, open};

const SCOPES: &[Scope] =
    &[Scope { name: "ads", description: "streams" }, Scope { name: "ca", description: "certificates" }];

fn lines_of(levels: &Levels, as_json: bool, path: &Path, speak: impl FnOnce()) -> Vec<String> {
    let sinks = open(&[path.display().to_string()]).unwrap();
    let layer = Lines { levels: levels.clone(), as_json, sinks: Mutex::new(sinks) };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), speak);
    std::fs::read_to_string(path).unwrap().lines().map(str::to_string).collect()
}

#[test]
fn each_scope_has_its_level_and_it_can_change_while_running() {
    let dir = tempfile::tempdir().unwrap();
    let levels = Levels::new(SCOPES, "ads:debug,warn").unwrap();
    let lines = lines_of(&levels, false, &dir.path().join("log"), || {
        tracing::debug!(target: "ads", "one");
        tracing::info!("two, below default:warn");
        tracing::debug!(target: "ca", "three, below ca:info");
        tracing::warn!(target: "h2::codec", "four, grpc is silent");
        for round in 0..2 {
            tracing::info!(target: "ca", round, "five");
            assert!(levels.change("ca", |scope| scope.output = Level::Error));
        }
    });
    let without_time: Vec<&str> = lines.iter().map(|l| l.split_once('\t').unwrap().1).collect();
    assert_eq!(without_time, ["debug\tads\tone", "info\tca\tfive\tround=0"]);
}

#[test]
fn a_message_cannot_forge_a_second_line() {
    let dir = tempfile::tempdir().unwrap();
    let levels = Levels::new(SCOPES, "").unwrap();
    let peer = "x\n2026-01-01T00:00:00.000000Z\tinfo\tca\tall is well";
    let lines = lines_of(&levels, false, &dir.path().join("log"), || {
        tracing::warn!(peer, "refused {peer}");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn json_lines_have_the_keys_of_the_text_columns() {
    let dir = tempfile::tempdir().unwrap();
    let levels = Levels::new(SCOPES, "").unwrap();
    let lines = lines_of(&levels, true, &dir.path().join("log"), || {
        tracing::error!(target: "ads", count = 3, ok = false, "pushed");
    });
    let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(value["level"], "error");
    assert_eq!(value["scope"], "ads");
    assert_eq!(value["msg"], "pushed");
    assert_eq!(value["count"], 3);
    assert_eq!(value["ok"], false);
    assert!(value["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn times_have_six_places_and_end_in_z() {
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_120);
    assert_eq!(format::timestamp(at), "2023-11-14T22:13:20.120000Z");
}

#[test]
fn a_wrong_list_changes_nothing_and_says_what_there_is() {
    let levels = Levels::new(SCOPES, "").unwrap();
    let before = levels.list();
    let error = levels.apply("ads:debug,nowhere:info").unwrap_err();
    assert!(error.to_string().contains("nowhere") && error.to_string().contains("ads"), "{error}");
    assert_eq!(levels.apply("ads:loud"), Err(LevelError::Level("loud".into())));
    assert!(matches!(levels.apply("a:b:c"), Err(LevelError::Format(_))));
    assert_eq!(levels.list(), before);
}

#[test]
fn all_is_the_floor_under_the_named_scopes() {
    let levels = Levels::new(SCOPES, "ads:debug,all:error").unwrap();
    let of = |name| levels.find(name).unwrap().output;
    assert_eq!((of("ads"), of("ca"), of("grpc")), (Level::Debug, Level::Error, Level::Error));
}

#[test]
fn a_scope_can_say_where_its_messages_come_from_and_how_it_got_there() {
    let dir = tempfile::tempdir().unwrap();
    let levels = Levels::new(SCOPES, "").unwrap();
    levels.apply_callers("ads").unwrap();
    levels.apply_stack_traces("ads:error").unwrap();
    assert!(levels.apply_callers("adz").unwrap_err().to_string().contains("adz"));
    let speak = || {
        tracing::info!(target: "ads", "plain");
        tracing::error!(target: "ads", "traced");
        tracing::error!(target: "ca", "other");
    };
    let lines = lines_of(&levels, false, &dir.path().join("text"), speak);
    assert!(lines[0].contains("\tads\tlog/tests.rs:") && lines[0].ends_with("\tplain"), "{}", lines[0]);
    assert!(lines[1].ends_with("\ttraced"), "{}", lines[1]);
    assert!(lines[2..].iter().any(|line| line.contains("a_scope_can_say_where")), "{lines:#?}");
    assert!(lines.last().unwrap().ends_with("\tca\tother"), "{lines:#?}");
    let lines = lines_of(&levels, true, &dir.path().join("json"), speak);
    let line: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
    assert!(line["caller"].as_str().unwrap().starts_with("log/tests.rs:"), "{line}");
    assert!(line["stack"].as_str().unwrap().contains("a_scope_can_say_where"), "{line}");
    let line: serde_json::Value = serde_json::from_str(&lines[2]).unwrap();
    assert!(line["caller"].is_null() && line["stack"].is_null(), "{line}");
}
