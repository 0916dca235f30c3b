//! The control plane under measurement, on a folder of objects.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use loadgen::process::{Process, free_address};

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// Where sidecars connect, `host:port`.
    pub(crate) discovery: SocketAddr,
}

impl Server {
    /// Starts `program` on a folder of objects and waits until it is ready. `work` takes its log and its own files.
    pub(crate) fn start(program: &Path, objects: &Path, work: &Path) -> Result<Self> {
        let (discovery, http, monitoring) = (free_address()?, free_address()?, free_address()?);
        // it runs in another folder
        let mut command = Command::new(std::path::absolute(program)?);
        command
            .arg("discovery")
            .arg("--configDir")
            .arg(std::path::absolute(objects)?)
            .arg(format!("--grpcAddr={discovery}"))
            .arg(format!("--httpAddr={http}"))
            .arg(format!("--monitoringAddr={monitoring}"))
            .args(["--secureGRPCAddr=", "--httpsAddr="])
            .env("MELTEMI_CA_DIR", work.join("ca"))
            .current_dir(work);
        let process = Process::start(&mut command, http, &work.join("server.log"))?;
        Ok(Self { process, discovery })
    }
}
