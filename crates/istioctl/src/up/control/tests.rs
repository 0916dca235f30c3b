//! Joining is holding the connection.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Answer, Incoming, Join, Request, ask, listen};

async fn next(from: &mut mpsc::Receiver<Incoming>) -> Incoming {
    tokio::time::timeout(Duration::from_secs(60), from.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_joined_process_leaves_when_its_connection_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (to, mut from) = mpsc::channel(4);
    let task = listen(&path, to).unwrap();
    let join = Join { name: "cart".to_owned(), namespace: "default".to_owned(), ..Join::default() };
    let asking = tokio::spawn(async move { ask(&path, &Request::Join(join)).await.unwrap() });
    let Incoming::Asked(Request::Join(join), answer) = next(&mut from).await else { panic!("not a join") };
    assert_eq!(join.name, "cart");
    answer.send(Answer { ready: "here".to_owned(), ..Answer::default() }).unwrap();
    let (answer, held) = asking.await.unwrap();
    assert_eq!(answer.ready, "here");
    assert!(from.try_recv().is_err());
    drop(held);
    assert!(matches!(next(&mut from).await, Incoming::Left(id) if id == "cart.default"));
    task.abort();
}

#[tokio::test]
async fn a_refused_process_never_was_a_member() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (to, mut from) = mpsc::channel(4);
    let task = listen(&path, to).unwrap();
    let asking = tokio::spawn({
        let path = path.clone();
        async move { ask(&path, &Request::Join(Join::default())).await.unwrap().0 }
    });
    let Incoming::Asked(_, answer) = next(&mut from).await else { panic!("not a question") };
    answer.send(Answer { error: "no".to_owned(), ..Answer::default() }).unwrap();
    assert_eq!(asking.await.unwrap().error, "no");
    assert!(matches!(tokio::time::timeout(Duration::from_millis(1), from.recv()).await, Err(_) | Ok(None)));
    task.abort();
}
