//! A cluster comes up once, is found again, and goes without a trace.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_started_once_found_again_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("kube");
    up(&folder).await.unwrap();
    let first = pids(&folder);
    assert_eq!(first.len(), 2);
    assert!(first.iter().all(|pid| is_ours(*pid, &folder)));

    up(&folder).await.unwrap();
    assert_eq!(pids(&folder), first, "it ran already");

    // one of the two dies: the next `up` starts anew
    kill(first[0], Signal::SIGKILL).unwrap();
    eventually("it is gone", GRACE, async || (!is_ours(first[0], &folder)).then_some(())).await.unwrap();
    up(&folder).await.unwrap();
    let second = pids(&folder);
    assert!(second.iter().all(|pid| is_ours(*pid, &folder)));
    assert!(!is_ours(first[1], &folder), "the store of the first is stopped");

    down(&folder).await.unwrap();
    assert!(second.iter().all(|pid| !is_ours(*pid, &folder)));
    assert!(!folder.exists());
    down(&folder).await.unwrap();
}

#[test]
fn a_name_is_no_path() {
    for bad in ["", "..", "a/b", "A", "a b"] {
        assert!(name(bad).is_err(), "{bad:?}");
    }
    assert_eq!(name("east-1").unwrap(), "east-1");
}
