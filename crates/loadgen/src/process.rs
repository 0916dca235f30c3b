//! A process under measurement: started, asked whether it is ready, and what /proc says of it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a server may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(20);

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    clock: ClockId,
    /// From its start until it was ready.
    pub start: Duration,
    /// CPU time, user and system, that it took until then.
    pub start_cpu: Duration,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback that nobody listens on.
///
/// # Errors
/// The system has none.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

impl Process {
    /// Starts it, with what it prints going into the file `log`, and waits until `http` answers `/ready` with 200.
    ///
    /// # Errors
    /// It cannot be started, ends, or is not ready in time; with the end of its log.
    pub fn start(command: &mut Command, http: SocketAddr, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let began = Instant::now();
        let child = command.spawn().with_context(|| command.get_program().to_string_lossy().into_owned())?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("its pid")?);
        let clock = clock_getcpuclockid(pid).context("its clock")?;
        let mut new = Self { child, clock, start: Duration::ZERO, start_cpu: Duration::ZERO };
        while !is_ready(http) {
            if let Some(status) = new.child.try_wait()? {
                bail!("the server ended with {status}:\n{}", tail(log));
            }
            if began.elapsed() > PATIENCE {
                bail!("the server is not ready after {PATIENCE:?}:\n{}", tail(log));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (new.start, new.start_cpu) = (began.elapsed(), new.cpu());
        Ok(new)
    }

    /// Asks it to end, and kills it if it does not.
    pub fn stop(mut self) {
        let asked = i32::try_from(self.pid()).map(|pid| kill(Pid::from_raw(pid), Signal::SIGTERM));
        let began = Instant::now();
        while asked.is_ok() && matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time so far, user and system, of all its threads, those that ended too.
    #[must_use]
    pub fn cpu(&self) -> Duration {
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
    #[must_use]
    pub fn rss(&self) -> f64 {
        self.size("VmRSS")
    }

    /// What of that is its own, not pages of files, in MB.
    #[must_use]
    pub fn anonymous(&self) -> f64 {
        self.size("RssAnon")
    }

    /// The most it held since [`Process::reset_peak`], in MB.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.size("VmHWM")
    }

    /// Forgets the peak.
    pub fn reset_peak(&self) {
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
