//! Listening sockets: TCP and Unix, exclusive, with errors that say which address is the trouble.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::files::temporary_beside;

#[cfg(test)]
mod tests;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process (or this one) already listens there.
    #[error("address {0} is already in use: stop the program that listens there, or choose another address")]
    InUse(String),
    /// The text is not an address.
    #[error("`{text}` is not an address to listen on (want host:port or :port): {reason}")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is something at the path of a Unix socket, and it is not a socket.
    #[error("{0} exists and is not a socket; it is left alone")]
    NotASocket(PathBuf),
    /// Anything else the operating system said.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// Where.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
}

/// Resolves `:15010`, `0.0.0.0:15010`, `[::]:15010` or `localhost:15010` to one address. An empty host means all
/// addresses of both families where the machine has IPv6, as in Go.
pub async fn resolve(text: &str) -> Result<SocketAddr, Error> {
    let bad = |reason: String| Error::Address { text: text.to_string(), reason };
    if let Some(port) = text.strip_prefix(':') {
        let port: u16 = port.parse().map_err(|e| bad(format!("{e}")))?;
        let both: SocketAddr = ([0u16; 8], port).into();
        // A machine without IPv6 refuses the address; an ephemeral port tells without taking anybody's.
        let dual = TcpListener::bind(SocketAddr::from(([0u16; 8], 0))).await.is_ok();
        return Ok(if dual { both } else { ([0u8; 4], port).into() });
    }
    let mut found = tokio::net::lookup_host(text).await.map_err(|e| bad(format!("{e}")))?;
    found.next().ok_or_else(|| bad("the host has no address".to_string()))
}

/// Listens on `address`. The port is never shared (no `SO_REUSEPORT`): a second listener is an error that names
/// the address.
pub async fn tcp(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(address.to_string()),
        _ => Error::Io { address: address.to_string(), source },
    })
}

/// Listens on a Unix socket at `path` with permission bits `mode`. A socket that nobody listens on any more is
/// replaced; one that answers is `InUse`; anything that is not a socket is left alone. Parent directories are created.
/// The socket has its permission bits before it has its name.
pub fn unix(path: &Path, mode: u32) -> Result<UnixListener, Error> {
    let io_error = |source| Error::Io { address: path.display().to_string(), source };
    refuse_taken(path)?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io_error)?;
    }
    let temporary = temporary_beside(path);
    let made = UnixListener::bind(&temporary).and_then(|listener| {
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&temporary, path)?;
        Ok(listener)
    });
    made.map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        io_error(source)
    })
}

fn refuse_taken(path: &Path) -> Result<(), Error> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_path_buf()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::InUse(path.display().to_string())),
        Err(_) => Ok(()),
    }
}
