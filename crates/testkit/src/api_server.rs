//! A real API server on loopback: etcd and kube-apiserver, started as envtest starts them.
//!
//! RBAC is on, tokens of service accounts are real. There is no kubelet, scheduler or controller manager: nobody makes
//! default service accounts or EndpointSlices, and pods stay as they are written.

mod crds;
pub mod objects;
mod ports;
mod stored;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use identity::key::{Kind, PrivateKey};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;

use crate::eventually;
use crate::program::Program;
pub use crds::define_in;
use ports::Ports;

/// A start on a quiet machine takes 4 s, on a busy one a multiple.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a kube-apiserver is started that ends by itself, as it does when etcd or its own start hooks take too long.
const LIVES: usize = 3;

/// The token of the one user there is at first, a member of `system:masters`.
pub const ADMIN: &str = "admin-token";

/// A running API server. Dropped, it is stopped and its data goes.
#[derive(Debug)]
pub struct ApiServer {
    // in this order: the store outlives its client, the data outlives both
    server: Option<Program>,
    etcd: Option<Program>,
    assets: envtest::Assets,
    ports: Ports,
    folder: Folder,
}

/// Where its data, keys and logs are.
#[derive(Debug)]
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}

/// The processes of a server that was left running.
#[derive(Debug, Clone, Copy)]
pub struct Pids {
    /// Of kube-apiserver, to be stopped first.
    pub server: u32,
    /// Of etcd.
    pub etcd: u32,
}

impl ApiServer {
    /// Starts one, empty but for the CustomResourceDefinitions of every kind the mesh reads.
    ///
    /// # Errors
    /// When the programs are not there (the message says how to get them) or do not become ready; with the end of their
    /// logs.
    pub async fn start() -> Result<Self> {
        Self::begin(Folder::Temporary(tempfile::tempdir().context("a folder for the API server")?)).await
    }

    /// Like [`ApiServer::start`], with everything in an empty folder that stays.
    ///
    /// # Errors
    /// See [`ApiServer::start`].
    pub async fn start_in(folder: &Path) -> Result<Self> {
        Self::begin(Folder::Kept(folder.to_owned())).await
    }

    /// Leaves it running when this process ends; `None` if it was killed.
    #[must_use]
    pub fn leave(self) -> Option<Pids> {
        let (server, etcd) = (self.server?, self.etcd?);
        Some(Pids { server: server.leave(), etcd: etcd.leave() })
    }

    async fn begin(folder: Folder) -> Result<Self> {
        let assets = envtest::find(&envtest::Places::from_environment())?;
        let key = PrivateKey::generate(Kind::P256).context("a key for service accounts")?;
        fs::write(folder.path().join("service-accounts.key"), key.to_pkcs8_pem().as_bytes())?;
        fs::write(folder.path().join("service-accounts.pub"), key.to_public_pem())?;
        fs::write(folder.path().join("tokens.csv"), format!("{ADMIN},admin,admin,system:masters\n"))?;
        let ports = Ports::free()?;
        let mut new = Self { server: None, etcd: None, assets, ports, folder };
        new.resume().await?;
        crds::define(&new.client().await?).await.context("definitions of custom resources")?;
        Ok(new)
    }

    /// Starts what does not run, on the same data and the same ports, and waits until it answers.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn resume(&mut self) -> Result<()> {
        if self.etcd.is_none() {
            self.etcd = Some(self.start_program(&self.assets.etcd, "etcd", self.etcd_flags())?);
        }
        let mut lives = LIVES;
        let ready = eventually("the API server is ready", PATIENCE, async || {
            let ended = |program: &Option<Program>| program.as_ref().and_then(Program::ended);
            if let Some(why) = ended(&self.etcd) {
                return Some(Err(why));
            }
            if let Some(why) = ended(&self.server) {
                lives -= 1;
                if lives == 0 {
                    return Some(Err(why));
                }
                self.server = None;
            }
            if self.server.is_none() {
                let flags = self.server_flags();
                match self.start_program(&self.assets.kube_apiserver, "kube-apiserver", flags) {
                    Ok(server) => self.server = Some(server),
                    Err(why) => return Some(Err(why)),
                }
            }
            self.is_ready().await.then_some(Ok(()))
        });
        let ready = ready.await;
        ready.map_err(|late| anyhow!("{late}\n{}", self.programs().map(Program::tail).collect::<String>()))?
    }

    /// Ends the API server at once, as a crash does; the store runs on. [`ApiServer::resume`] brings it back.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Copies what is stored. The API server and the store are stopped for that moment, and resumed.
    ///
    /// # Errors
    /// When it cannot be copied, and as [`ApiServer::resume`].
    pub async fn back_up(&mut self) -> Result<TempDir> {
        let backup = tempfile::tempdir().context("a folder for the backup")?;
        self.back_up_into(backup.path()).await?;
        Ok(backup)
    }

    /// Like [`ApiServer::back_up`], into a folder that may outlive the server and be restored into another.
    ///
    /// # Errors
    /// See [`ApiServer::back_up`].
    pub async fn back_up_into(&mut self, folder: &Path) -> Result<()> {
        self.stop();
        copy(&self.folder.path().join("etcd"), folder)?;
        self.resume().await
    }

    /// Goes back to what was stored when the backup was made, as operators do after an accident.
    ///
    /// # Errors
    /// See [`ApiServer::back_up`].
    pub async fn restore(&mut self, backup: impl AsRef<Path>) -> Result<()> {
        self.stop();
        let data = self.folder.path().join("etcd");
        fs::remove_dir_all(&data).context("the data of etcd")?;
        copy(backup.as_ref(), &data)?;
        self.resume().await
    }

    fn stop(&mut self) {
        self.server = None;
        self.etcd = None;
    }

    /// Writes objects straight into the store: thousands that come at once, or were always there.
    /// Nothing is checked or added but what makes them objects of an API server.
    ///
    /// # Errors
    /// What the store refuses.
    pub fn store(&self, objects: &[Value]) -> Result<()> {
        stored::write(self.ports.etcd, objects)
    }

    /// A kubeconfig of its administrator, as text that needs no other file.
    ///
    /// # Errors
    /// When the server has not made its certificate yet.
    pub fn kubeconfig(&self) -> Result<String> {
        self.kubeconfig_over(self.address())
    }

    /// The same for who reaches it over another address of this machine, such as that of a [`crate::link::Link`].
    ///
    /// # Errors
    /// When the server has not made its certificate yet.
    pub fn kubeconfig_over(&self, address: SocketAddr) -> Result<String> {
        let certificate = fs::read(self.folder.path().join("certificates/apiserver.crt"))?;
        Ok(kubeconfig(address, &BASE64_STANDARD.encode(certificate)))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.server))
    }

    /// How a client reaches it with the rights of an administrator.
    ///
    /// # Errors
    /// When the server has not made its certificate yet.
    pub async fn config(&self) -> Result<Config> {
        let options = KubeConfigOptions::default();
        Ok(Config::from_custom_kubeconfig(Kubeconfig::from_yaml(&self.kubeconfig()?)?, &options).await?)
    }

    /// A client with the rights of an administrator.
    ///
    /// # Errors
    /// See [`ApiServer::config`].
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    async fn is_ready(&self) -> bool {
        let Ok(client) = self.client().await else { return false };
        let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else { return false };
        client.request_text(request).await.is_ok_and(|answer| answer == "ok")
    }

    fn programs(&self) -> impl Iterator<Item = &Program> {
        self.etcd.iter().chain(&self.server)
    }

    fn start_program(&self, program: &Path, name: &str, flags: Vec<String>) -> Result<Program> {
        let mut command = Command::new(program);
        if let Folder::Kept(_) = self.folder {
            // it outlives the command that starts it, also when that is interrupted
            command.process_group(0);
        }
        Program::start(command.args(flags), &self.folder.path().join(format!("{name}.log")))
    }

    fn etcd_flags(&self) -> Vec<String> {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.peer);
        vec![
            format!("--data-dir={}", self.folder.path().join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // what a test wrote need not survive the machine
            "--unsafe-no-fsync".to_owned(),
            "--log-level=error".to_owned(),
        ]
    }

    fn server_flags(&self) -> Vec<String> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.ports.server),
            format!("--cert-dir={}", file("certificates")),
            // no Endpoints object for the address above
            "--endpoint-reconciler-type=none".to_owned(),
            // room for addresses that objects of tests come with, of both families
            "--service-cluster-ip-range=10.96.0.0/13,fd00:10:96::/112".to_owned(),
            "--allow-privileged".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", file("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", file("service-accounts.key")),
            "--api-audiences=https://kubernetes.default.svc,istio-ca".to_owned(),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--anonymous-auth=false".to_owned(),
            // those that wait for controllers which do not run here
            "--disable-admission-plugins=ServiceAccount,PersistentVolumeClaimResize,DefaultStorageClass,\
             StorageObjectInUseProtection,TaintNodesByCondition,DefaultTolerationSeconds,Priority,RuntimeClass,\
             DefaultIngressClass,ResourceQuota,LimitRanger"
                .to_owned(),
            // an API that Istio can use and clusters do not serve by themselves
            "--feature-gates=ClusterTrustBundle=true".to_owned(),
            "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true".to_owned(),
            "--profiling=false".to_owned(),
        ]
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn kubeconfig(address: SocketAddr, certificate: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: envtest
clusters:
- {{name: envtest, cluster: {{server: 'https://{address}', certificate-authority-data: {certificate}}}}}
users:
- {{name: admin, user: {{token: {ADMIN}}}}}
contexts:
- {{name: envtest, context: {{cluster: envtest, user: admin}}}}
"
    )
}
