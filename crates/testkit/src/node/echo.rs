//! The application of a pod that a test runs: an HTTP server that says who it is and what it was asked.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Requests with a longer head are not answered.
const HEAD: usize = 64 * 1024;

/// Nobody gets more time for a request.
const WITHIN: Duration = Duration::from_secs(10);

/// Connections at a time; more have to wait.
const AT_ONCE: usize = 64;

/// Answers every request with `{"pod": name, "path": ..., "headers": {...}}` for as long as it is awaited.
///
/// # Errors
/// When the listener breaks.
pub(super) async fn serve(listener: std::net::TcpListener, name: String) -> Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let name = name.clone();
        // one that breaks is the client's to notice
        connections.spawn(tokio::time::timeout(WITHIN, async move { answer(stream, &name).await }));
        while connections.try_join_next().is_some() {}
        if connections.len() >= AT_ONCE {
            connections.join_next().await;
        }
    }
}

async fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() > HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default();
    let headers: Map<String, Value> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), Value::from(value)))
        .collect();
    let body = json!({"pod": name, "path": path, "headers": headers}).to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
