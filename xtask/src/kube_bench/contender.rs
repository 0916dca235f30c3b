//! A control plane that is measured: started as its Deployment starts it, on ports of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use loadgen::process::{Process, free_address};

use crate::figures::Side;
use crate::store::Store;

/// A program and what it is called.
pub(crate) struct Contender {
    pub(crate) side: Side,
    pub(crate) program: PathBuf,
}

/// It runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    /// Where it speaks TLS.
    pub(crate) address: SocketAddr,
}

impl Contender {
    /// Starts it and waits until it is ready. `work` takes its log and its own files.
    ///
    /// # Errors
    /// When it does not become ready; with the end of its log.
    pub(crate) fn start(&self, store: &Store, work: &Path) -> Result<Running> {
        let folder = work.join(self.side.name());
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, store.kubeconfig()?).with_context(|| kubeconfig.display().to_string())?;
        let ports = [free_address()?, free_address()?, free_address()?, free_address()?, free_address()?];
        let [http, plain, address, monitoring, control] = ports;
        let mut command = Command::new(&self.program);
        command
            .arg("discovery")
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .arg(format!("--httpAddr={http}"))
            .arg(format!("--grpcAddr={plain}"))
            .arg(format!("--secureGRPCAddr={address}"))
            .arg(format!("--monitoringAddr={monitoring}"))
            .arg(format!("--ctrlz_port={}", control.port()))
            // no injector, whose templates would have to be there
            .args(["--httpsAddr=", "--domain=cluster.local", "--log_output_level=default:info"])
            .args(["--keepaliveMaxServerConnectionAge=30m"])
            .envs([("POD_NAME", "istiod-bench"), ("POD_NAMESPACE", "istio-system")])
            .envs([("SERVICE_ACCOUNT", "istiod"), ("CLUSTER_ID", "Kubernetes")])
            .envs([
                ("REVISION", "default"),
                ("PILOT_CERT_PROVIDER", "istiod"),
                ("PILOT_ENABLE_ANALYSIS", "false"),
            ])
            .env("CA_TRUSTED_NODE_ACCOUNTS", "istio-system/ztunnel")
            .current_dir(&folder);
        let process = Process::start(&mut command, http, &folder.join("log"))?;
        Ok(Running { process, address })
    }
}
