//! A wall clock that jumps: who may connect, with what, and what becomes of the root.

use std::time::UNIX_EPOCH;

use identity::authority::{Request, San, SelfSigned};
use identity::csr::PublicKey;
use identity::key::{Kind, PrivateKey};
use identity::{Bundle, Certificate};
use process::clock::Virtual;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

use super::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// An authority by a clock that a test sets.
struct Mesh {
    ca: Ca,
    clock: Virtual,
    _dir: tempfile::TempDir,
}

/// A workload: its certificate, and the roots that it was given with it.
struct Workload {
    cert: Certificate,
    key: PrivateKey,
    roots: Arc<Bundle>,
}

/// The clock of the machine that a workload runs on: the same.
#[derive(Debug)]
struct Hands(Virtual);

impl TimeProvider for Hands {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.now().duration_since(UNIX_EPOCH).ok()?))
    }
}

impl Mesh {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Virtual::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let root = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
        let options = Options { root, ..Options::in_dir(dir.path(), "cluster.local") };
        let source = Source::Authority(serving::default_names("istio-system", "", &[]));
        let own = Own { source, policy: Policy::default() };
        let ca = Ca::open(Some(options), Some(own), Arc::new(clock.clone()), &Metrics::new()).unwrap();
        Self { ca, clock, _dir: dir }
    }

    /// The wall clock is set forward or back by so many seconds, and what is done each minute is done. Whether the root is
    /// another one then.
    fn jump(&self, seconds: i64) -> bool {
        let by = Duration::from_secs(seconds.unsigned_abs());
        let now = self.clock.now();
        self.clock.set(if seconds < 0 { now - by } else { now + by });
        self.ca.tick().unwrap()
    }

    fn workload(&self) -> Workload {
        let key = PrivateKey::generate(Kind::P256).unwrap();
        let sans = [San::Uri("spiffe://cluster.local/ns/shop/sa/cart".into())];
        let request = Request { key: &PublicKey::of(&key), sans: &sans, ttl: None, labels: None };
        let cert = self.ca.live().authority().unwrap().sign(&request, self.clock.now()).unwrap();
        Workload { cert, key, roots: self.ca.live().bundle() }
    }

    /// A handshake of this moment: each side verifies the other.
    fn connects(&self, workload: &Workload) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        for root in workload.roots.roots() {
            roots.add(root.der().clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_details(provider, Arc::new(Hands(self.clock.clone())))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![workload.cert.der().clone()], workload.key.to_rustls())?;
        let name = ServerName::try_from("istiod.istio-system.svc").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name)?;
        let mut server = ServerConnection::new(self.ca.tls().unwrap().config())?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut sent = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut sent).unwrap();
            }
            server.read_tls(&mut sent.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut answered = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut answered).unwrap();
            }
            client.read_tls(&mut answered.as_slice()).unwrap();
            client.process_new_packets()?;
            assert!(!(sent.is_empty() && answered.is_empty()), "nobody has anything to say");
        }
        Ok(())
    }
}

#[test]
fn whoever_asks_after_a_jump_of_the_clock_gets_what_is_good_and_what_has_expired_is_refused() {
    let mesh = Mesh::new();
    let root = mesh.ca.live().bundle();
    // a workload's certificate lives for a day, the control plane's for ninety, the root for ten years
    let day_long = mesh.workload();
    assert!(!mesh.jump(13 * HOUR));
    mesh.connects(&day_long).unwrap();
    assert!(!mesh.jump(12 * HOUR));
    assert!(mesh.connects(&day_long).is_err(), "it has expired");
    // past half of the control plane's own, back to before that was renewed, and past its end at once
    for seconds in [46 * DAY, -20 * DAY, 120 * DAY, -146 * DAY, 400 * DAY, -400 * DAY] {
        assert!(!mesh.jump(seconds), "the root has nothing to do with {seconds} s");
        mesh.connects(&mesh.workload()).unwrap_or_else(|why| panic!("after {seconds} s: {why}"));
    }
    assert_eq!(*mesh.ca.live().bundle(), *root);
}

#[test]
fn a_jump_into_the_last_days_of_a_root_rotates_it_once_and_a_jump_back_keeps_both_sides_connected() {
    let mesh = Mesh::new();
    let first = mesh.ca.live().bundle();
    assert!(mesh.jump(8 * YEAR + 30 * DAY), "less than a fifth of its life is left");
    let rotated = mesh.workload();
    mesh.connects(&rotated).unwrap();
    assert_eq!(rotated.roots.roots().len(), 2, "the old one is handed out as well");
    assert!(!mesh.jump(HOUR), "once");
    mesh.connects(&rotated).unwrap();
    // the jump was a mistake: the new root is not good yet, and nothing may be thrown away for that
    assert!(!mesh.jump(-8 * YEAR));
    let back = mesh.workload();
    assert!(
        back.roots.roots().iter().any(|root| first.roots().contains(root)),
        "the first root is still trusted"
    );
    assert!(!mesh.jump(8 * YEAR));
    mesh.connects(&mesh.workload()).unwrap();
    // and past the end of every root at once
    assert!(mesh.jump(15 * YEAR));
    mesh.connects(&mesh.workload()).unwrap();
}

#[test]
fn a_clock_that_falls_back_to_before_the_root_was_made_costs_no_root() {
    let mesh = Mesh::new();
    let (root, before) = (mesh.ca.live().bundle(), mesh.workload());
    assert!(!mesh.jump(-YEAR), "a new root would be one that nobody believes when the clock is right again");
    assert_eq!(*mesh.ca.live().bundle(), *root);
    assert!(mesh.connects(&before).is_err(), "nothing is good at that time");
    assert!(!mesh.jump(YEAR));
    mesh.connects(&before).unwrap();
    mesh.connects(&mesh.workload()).unwrap();
}
