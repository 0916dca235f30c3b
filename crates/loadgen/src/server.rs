//! The process under measurement: started on a folder, asked whether it is ready, and what /proc says of it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    clock: ClockId,
    /// Where sidecars connect, `host:port`.
    pub(crate) discovery: SocketAddr,
    /// From its start until it was ready.
    pub(crate) start: Duration,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

impl Server {
    /// Starts `program` on a folder of objects and waits until it is ready. `work` takes its log and its own files.
    pub(crate) fn start(program: &Path, objects: &Path, work: &Path) -> Result<Server> {
        let (discovery, http, monitoring) = (free_address()?, free_address()?, free_address()?);
        let log_path = work.join("server.log");
        let log = File::create(&log_path).with_context(|| log_path.display().to_string())?;
        let began = Instant::now();
        // it runs in another folder
        let program = &std::path::absolute(program)?;
        let child = Command::new(program)
            .arg("discovery")
            .arg("--configDir")
            .arg(std::path::absolute(objects)?)
            .arg(format!("--grpcAddr={discovery}"))
            .arg(format!("--httpAddr={http}"))
            .arg(format!("--monitoringAddr={monitoring}"))
            .args(["--secureGRPCAddr=", "--httpsAddr="])
            .env("MELTEMI_CA_DIR", work.join("ca"))
            .current_dir(work)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("its pid")?);
        let clock = clock_getcpuclockid(pid).context("its clock")?;
        let mut server = Server { child, clock, discovery, start: Duration::ZERO };
        while !is_ready(http) {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status}:\n{}", tail(&log_path));
            }
            if began.elapsed() > PATIENCE {
                bail!("the server is not ready after {PATIENCE:?}:\n{}", tail(&log_path));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        server.start = began.elapsed();
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time so far, user and system, of all its threads, those that ended too.
    pub(crate) fn cpu(&self) -> Duration {
        self.clock.now().map(Into::into).unwrap_or_default()
    }

    /// A line of /proc/PID/status that is a size, in MB.
    fn size(&self, key: &str) -> f64 {
        let status = fs::read_to_string(self.file("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() * 1024.0 / 1e6
    }

    /// Memory it holds now, in MB.
    pub(crate) fn rss(&self) -> f64 {
        self.size("VmRSS")
    }

    /// The most it held since [`Server::reset_peak`], in MB.
    pub(crate) fn peak(&self) -> f64 {
        self.size("VmHWM")
    }

    /// Forgets the peak.
    pub(crate) fn reset_peak(&self) {
        // Where the kernel does not do it, the peak is that of the whole run.
        let _ = fs::write(self.file("clear_refs"), "5");
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid()))
    }
}

fn is_ready(http: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&http, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let from = text.lines().count().saturating_sub(20);
    text.lines().skip(from).collect::<Vec<_>>().join("\n")
}
