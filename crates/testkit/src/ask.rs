//! One HTTP request, written by hand so that a test does not trust the client it tests.

use std::io::{Error, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Status and body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// `GET http://host:port/path` with extra header lines.
///
/// # Errors
/// If nobody answers within ten seconds, or not in HTTP.
pub fn get(url: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let (authority, path) = parts(url)?;
    get_over(TcpStream::connect(authority)?, authority, &path, headers)
}

/// `POST http://host:port/path` with JSON.
///
/// # Errors
/// If nobody answers within ten seconds, or not in HTTP.
pub(crate) fn post(url: &str, json: &str) -> Result<Answer> {
    let (authority, path) = parts(url)?;
    let length = json.len().to_string();
    let headers = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
    exchange(TcpStream::connect(authority)?, authority, ("POST", &path), &headers, json)
}

/// The authority of a URL, and its path.
fn parts(url: &str) -> Result<(&str, String)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| Error::other(format!("{url} is no http:// URL")))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((authority, format!("/{path}")))
}

/// The same over a connection that somebody made: the host that is asked for need not be who is at its end.
///
/// # Errors
/// If nobody answers within ten seconds, or not in HTTP.
pub fn get_over(stream: TcpStream, host: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    exchange(stream, host, ("GET", path), headers, "")
}

fn exchange(
    mut stream: TcpStream,
    host: &str,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    content: &str,
) -> Result<Answer> {
    let bad = || Error::other(format!("no HTTP answer from http://{host}{path}"));
    stream.set_read_timeout(Some(WITHIN))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    stream.write_all((request + "\r\n" + content).as_bytes())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok(Answer { status, body: if chunked { joined(body) } else { body.to_owned() } })
}

/// The chunks of a body, without their lengths.
fn joined(mut rest: &str) -> String {
    let mut out = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or_default();
        let Some(chunk) = after.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        out.push_str(chunk);
        rest = after[length..].trim_start_matches("\r\n");
    }
    out
}
