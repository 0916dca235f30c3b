//! The socket on which `run` and `down` talk to the mesh: one JSON line each way, the connection held as long as the
//! joined process lives.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// A question to the mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "op")]
pub enum Request {
    /// Stop everything.
    Down,
    /// Make a process a workload.
    Join(Join),
}

/// The process that joins.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Join {
    /// Workload name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Service account.
    pub service_account: String,
    /// Labels beside those of the Service's selector.
    pub labels: BTreeMap<String, String>,
    /// The port the process keeps, if it has one.
    pub port: Option<u16>,
}

/// The mesh's answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// What went wrong; empty if nothing.
    pub error: String,
    /// Variables the process shall have.
    pub env: BTreeMap<String, String>,
    /// Its private /etc/hosts, if it shall have one.
    pub hosts: Option<PathBuf>,
    /// URL that answers 200 once the proxy is ready.
    pub ready: String,
    /// What to tell the user.
    pub notes: Vec<String>,
}

/// What arrives at the mesh's loop.
#[derive(Debug)]
pub enum Incoming {
    /// A question, and where its answer goes.
    Asked(Request, oneshot::Sender<Answer>),
    /// The connection of a joined process is gone: `name.namespace`.
    Left(String),
}

/// Listens until the returned task is aborted.
///
/// # Errors
/// If the socket cannot be made.
pub fn listen(path: &Path, to: mpsc::Sender<Incoming>) -> io::Result<tokio::task::JoinHandle<()>> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let _ = converse(stream, to).await;
            });
        }
    }))
}

async fn converse(stream: UnixStream, to: mpsc::Sender<Incoming>) -> io::Result<()> {
    // the directory is private; this is the second lock
    if stream.peer_cred()?.uid() != nix::unistd::getuid().as_raw() {
        return Ok(());
    }
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = String::new();
    (&mut read).take(1 << 20).read_line(&mut line).await?;
    let request: Request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => {
            return send(&mut write, &Answer { error: error.to_string(), ..Answer::default() }).await;
        }
    };
    let id = match &request {
        Request::Join(join) => Some(format!("{}.{}", join.name, join.namespace)),
        Request::Down => None,
    };
    let (answer_to, answer) = oneshot::channel();
    if to.send(Incoming::Asked(request, answer_to)).await.is_err() {
        return Ok(());
    }
    let Ok(answer) = answer.await else { return Ok(()) };
    let joined = answer.error.is_empty();
    let sent = send(&mut write, &answer).await;
    if let Some(id) = id.filter(|_| joined) {
        // nothing more is said; the end of the connection is the end of the process
        let mut rest = Vec::new();
        let _ = (&mut read).take(1 << 20).read_to_end(&mut rest).await;
        let _ = to.send(Incoming::Left(id)).await;
    }
    sent
}

async fn send(write: &mut (impl tokio::io::AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Asks the mesh behind a socket. The connection comes back with the answer: holding it holds the membership.
///
/// # Errors
/// If nobody listens there, or the answer cannot be read.
pub async fn ask(path: &Path, request: &Request) -> io::Result<(Answer, UnixStream)> {
    let mut stream = UnixStream::connect(path).await?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut text = String::new();
    let mut read = BufReader::new(stream);
    read.read_line(&mut text).await?;
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the mesh ended without an answer"));
    }
    Ok((serde_json::from_str(&text)?, read.into_inner()))
}

#[cfg(test)]
mod tests;
