//! Nobody else's process is ever ended.

use std::process::{Child, Command, Stdio};

use super::{Process, Record, clear, marked};
use crate::up::document::Document;
use crate::up::paths::Paths;

fn sleeper(mark: Option<&str>) -> Child {
    let mut command = Command::new("sleep");
    command.arg("60").stdin(Stdio::null());
    if let Some(mark) = mark {
        command.env(super::MARK, mark);
    }
    command.spawn().unwrap()
}

fn record(instance: &str, processes: Vec<Process>) -> Record {
    let supervisor = Process { pid: 1, start: 0 };
    Record {
        instance: instance.to_owned(),
        supervisor,
        processes,
        control: "/nonexistent/s".into(),
        ready: true,
        document: Document::default(),
    }
}

#[test]
fn a_recycled_process_id_is_not_the_process() {
    let me = Process::of(std::process::id()).unwrap();
    assert!(me.lives());
    assert!(!Process { start: me.start + 1, ..me }.lives());
}

#[test]
fn clearing_ends_recorded_and_marked_processes_and_only_those() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(directory.path(), None);
    paths.create().unwrap();
    let instance = format!("test-{}", std::process::id());
    let mut recorded = sleeper(None);
    let mut grandchild = sleeper(Some(&instance));
    let mut other = sleeper(Some("another-mesh"));
    let mut recycled = sleeper(None);
    let stale = Process { start: 1, ..Process::of(recycled.id()).unwrap() };
    let processes = vec![Process::of(recorded.id()).unwrap(), stale];
    record(&instance, processes).write(&paths).unwrap();
    assert_eq!(clear(&paths, Record::read(&paths).as_ref()), 2);
    assert!(!recorded.wait().unwrap().success());
    assert!(!grandchild.wait().unwrap().success());
    assert!(marked(&instance).is_empty());
    for untouched in [&mut other, &mut recycled] {
        assert!(untouched.try_wait().unwrap().is_none());
        untouched.kill().unwrap();
        untouched.wait().unwrap();
    }
    assert!(!paths.run.exists());
    assert!(!paths.control.exists());
}

#[test]
fn a_record_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(directory.path(), None);
    paths.create().unwrap();
    assert!(Record::read(&paths).is_none());
    record("i", vec![]).write(&paths).unwrap();
    assert_eq!(Record::read(&paths).unwrap().instance, "i");
}
