//! A control plane of a cluster as a process of this machine, on free ports of loopback, which its log names.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use e2e::programs;

/// The addresses that the log of a program names behind these marks, in the order in which it names them. What it says
/// later is read, and dropped: the pipe must not fill.
pub(crate) fn addresses<const N: usize>(child: &mut Child, name: &str, marks: [&str; N]) -> [SocketAddr; N] {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = marks.map(|mark| {
        loop {
            let line =
                lines.next().unwrap_or_else(|| panic!("{name}: the log ends without {mark:?}")).unwrap();
            if let Some((_, address)) = line.split_once(mark) {
                return address.trim().parse().unwrap();
            }
        }
    });
    std::thread::spawn(move || lines.for_each(drop));
    found
}

/// One replica. Dropped, it is killed.
pub(crate) struct Replica {
    /// The name of its pod.
    pub(crate) name: String,
    /// Where it serves xDS without TLS.
    pub(crate) plain: SocketAddr,
    /// Where it serves xDS over TLS.
    pub(crate) secure: SocketAddr,
    /// Where its metrics are.
    pub(crate) monitoring: SocketAddr,
    child: Child,
}

impl Replica {
    /// Starts it and waits until it serves.
    pub(crate) fn start(directory: &Path, kubeconfig: &Path, name: &str) -> Self {
        let mut child = Command::new(programs().join("pilot-discovery"))
            .arg("discovery")
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args(["--grpcAddr=127.0.0.1:0", "--secureGRPCAddr=127.0.0.1:0", "--monitoringAddr=127.0.0.1:0"])
            .args(["--httpAddr=", "--httpsAddr=", "--ctrlz_port=0"])
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", "istio-system")
            .env("MELTEMI_CA_DIR", directory.join("ca"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let marks = ["serving plaintext xDS on ", "serving xDS over TLS on ", "serving monitoring on "];
        let [plain, secure, monitoring] = addresses(&mut child, name, marks);
        Self { name: name.to_owned(), plain, secure, monitoring, child }
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// A counter of its metrics, all label values but those given added up; 0 if it is not there.
    pub(crate) fn counter(&self, name: &str, label: &str) -> u64 {
        self.look(name, label).unwrap()
    }

    /// The same; `None` if it does not answer now.
    pub(crate) fn look(&self, name: &str, label: &str) -> Option<u64> {
        let page = e2e::get(&format!("http://{}/metrics", self.monitoring), &[]).ok()?.body;
        let of = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        let values = of.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Some(values.map(|value| value as u64).sum())
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // it may be gone already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
