//! Asks a binary for its version, and does not wait for ever.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Time to answer `--version`: a cold 100 MB binary on a slow disk included.
const PATIENCE: Duration = Duration::from_secs(30);

/// The version the binary says, such as `1.40.0`.
///
/// # Errors
/// [`Error::Unusable`] when it does not run, does not end within half a minute, or says something else.
pub fn version_of(path: &Path) -> Result<String, Error> {
    let unusable = |why: String| Error::Unusable { path: path.to_owned(), why };
    if !path.exists() {
        return Err(unusable("no such file".to_owned()));
    }
    let mut child = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| unusable(error.to_string()))?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            Ok(None) => {
                // It is ours, and it hangs; whether it dies of this changes nothing.
                let _ = child.kill();
                let _ = child.wait();
                return Err(unusable(format!("--version did not end within {PATIENCE:?}")));
            }
            Err(error) => return Err(unusable(error.to_string())),
        }
    };
    let mut text = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut text).map_err(|error| unusable(error.to_string()))?;
    }
    if !status.success() {
        return Err(unusable(format!("--version ended with {status}")));
    }
    parse(&text).ok_or_else(|| unusable(format!("--version said {:?}", text.trim())))
}

/// `envoy  version: <revision>/<version>/<state>/<build>/<tls>`
fn parse(text: &str) -> Option<String> {
    let version = text.split_once("version:")?.1.split('/').nth(1)?.trim();
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
}
