//! Tests of the listeners.

use std::os::unix::fs::PermissionsExt;

use super::{Error, resolve, tcp, unix};

#[tokio::test]
async fn a_second_listener_is_refused_with_the_address() {
    let first = tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = first.local_addr().unwrap();
    let error = tcp(address).await.unwrap_err();
    assert!(matches!(error, Error::InUse(_)));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn an_empty_host_means_every_address() {
    let address = resolve(":15010").await.unwrap();
    assert!(address.ip().is_unspecified());
    assert_eq!(address.port(), 15010);
    assert_eq!(resolve("127.0.0.1:80").await.unwrap().to_string(), "127.0.0.1:80");
    let error = resolve(":port").await.unwrap_err();
    assert!(error.to_string().contains(":port"), "{error}");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_has_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/socket");
    drop(unix(&path, 0o600).unwrap());
    assert!(path.exists(), "a dropped listener leaves its name behind");
    let listener = unix(&path, 0o660).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let (accepted, connected) = tokio::join!(listener.accept(), tokio::net::UnixStream::connect(&path));
    assert!(accepted.is_ok() && connected.is_ok());
}

#[tokio::test]
async fn a_live_socket_and_a_plain_file_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _live = unix(&path, 0o600).unwrap();
    assert!(matches!(unix(&path, 0o600), Err(Error::InUse(_))));
    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(unix(&file, 0o600), Err(Error::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
