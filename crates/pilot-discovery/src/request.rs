//! `pilot-discovery request METHOD PATH [BODY]`: asks the control plane on this machine, for those who may enter its pod.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `address` (`127.0.0.1:15014`) and gives back the body.
///
/// # Errors
/// In words: nobody listens, or the answer is not 200.
pub fn ask(address: &str, method: &str, path: &str, body: &str) -> Result<String, String> {
    let say = |e: std::io::Error| format!("cannot ask {address}: {e}");
    let mut stream = TcpStream::connect(address).map_err(say)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(say)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // version 1.0: the answer ends with the connection and is not cut into chunks
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(say)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(say)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        Ok(body.to_owned())
    } else {
        Err(format!("received status {status}: {}", body.trim()))
    }
}
