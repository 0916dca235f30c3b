//! Certificates asked for, rotated, and kept when the CA is away.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use identity::authority::{Authority, Limits, Request, SelfSigned};
use identity::csr::PublicKey;
use process::clock::Virtual;

use super::super::store::FilePaths;
use super::*;

/// A CA in this process, which can be told to be away.
pub(in crate::sds) struct LocalCa {
    pub(in crate::sds) authority: Authority,
    pub(in crate::sds) away: AtomicBool,
    pub(in crate::sds) asked: AtomicU64,
}

impl LocalCa {
    pub(in crate::sds) fn new() -> Arc<Self> {
        let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("cluster.local") };
        let authority = Authority::self_signed(&options, Limits::default(), SystemTime::now()).unwrap();
        Arc::new(Self { authority, away: AtomicBool::new(false), asked: AtomicU64::new(0) })
    }
}

impl Issuer for Arc<LocalCa> {
    async fn sign(&self, csr: String, options: &IssueOptions) -> Result<Vec<String>, IssueError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(IssueError::Answer("away".to_owned()));
        }
        let key = PublicKey::from_csr_pem(&csr).unwrap();
        let sans = [San::Uri(options.identity.clone())];
        let request = Request { key: &key, sans: &sans, ttl: Some(options.ttl), labels: None };
        let leaf = self.authority.sign(&request, SystemTime::now()).unwrap();
        Ok(vec![leaf.to_pem(), self.authority.certificate().to_pem()])
    }
}

pub(in crate::sds) fn options(ttl: Duration) -> IssueOptions {
    IssueOptions {
        identity: "spiffe://cluster.local/ns/a/sa/b".to_owned(),
        key: Kind::P256,
        ttl,
        signer: String::new(),
        claims: Vec::new(),
        grace: 0.5,
        grace_jitter: 0.01,
        output: None,
    }
}

pub(in crate::sds) fn paths() -> FilePaths {
    FilePaths {
        chain: "/nonexistent/chain".into(),
        key: "/nonexistent/key".into(),
        roots: "/nonexistent/roots".into(),
        output: None,
        system_roots: None,
    }
}

async fn until(mut what: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn the_next_certificate_is_asked_for_at_half_of_the_lifetime_give_or_take() {
    let created = SystemTime::UNIX_EPOCH;
    let issued = Issued {
        key: String::new(),
        chain: String::new(),
        roots: String::new(),
        created,
        expires: created + Duration::from_secs(1000),
    };
    let after = |draw, now| rotate_after(&issued, 0.5, 0.01, draw, created + Duration::from_secs(now));
    assert_eq!(after(0.0, 0), Duration::from_secs(500));
    assert_eq!(after(1.0, 0), Duration::from_secs(490));
    assert_eq!(after(-1.0, 100), Duration::from_secs(410));
    assert_eq!(after(0.0, 900), Duration::ZERO);
}

#[tokio::test]
async fn certificates_rotate_and_the_old_one_serves_while_the_ca_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SecretStore::new(paths()));
    let ca = LocalCa::new();
    let mut wanted = options(Duration::from_secs(3));
    wanted.output = Some(dir.path().to_owned());
    let renew = Arc::new(Notify::new());
    let wall = WallClock::default();
    let keeping =
        tokio::spawn(keep_issued(Arc::clone(&store), Arc::clone(&ca), wanted, Arc::clone(&renew), wall));

    until(|| store.issued().is_some()).await;
    let first = store.issued().unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("key.pem")).unwrap(), first.key);
    assert_eq!(std::fs::read_to_string(dir.path().join("root-cert.pem")).unwrap(), first.roots);

    ca.away.store(true, Ordering::SeqCst);
    let asked = ca.asked.load(Ordering::SeqCst);
    renew.notify_one();
    until(|| ca.asked.load(Ordering::SeqCst) > asked).await;
    assert_eq!(store.issued().unwrap().chain, first.chain, "the old certificate must stay");

    ca.away.store(false, Ordering::SeqCst);
    until(|| store.issued().unwrap().chain != first.chain).await;
    assert_ne!(store.issued().unwrap().key, first.key, "each certificate has a key of its own");
    keeping.abort();
}

#[tokio::test]
async fn a_wall_clock_that_jumps_makes_a_certificate_due_at_once() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (store, ca) = (Arc::new(SecretStore::new(paths())), LocalCa::new());
    let begun = SystemTime::now();
    let hands = Virtual::new(begun);
    let wall = WallClock { clock: Arc::new(hands.clone()), look: Duration::from_millis(5) };
    let (issuer, renew) = (Arc::clone(&ca), Arc::new(Notify::new()));
    let keeping = tokio::spawn(keep_issued(Arc::clone(&store), issuer, options(24 * HOUR), renew, wall));
    until(|| store.issued().is_some()).await;
    let jumps = [begun + 13 * HOUR, begun + 19 * HOUR, begun - 100 * HOUR];
    for (number, now) in (2..).zip(jumps) {
        let before = store.issued().unwrap();
        assert_eq!(ca.asked.load(Ordering::SeqCst), number - 1, "once for each jump");
        hands.set(now);
        until(|| store.issued().unwrap().chain != before.chain).await;
        assert_eq!(store.issued().unwrap().created, now);
    }
    keeping.abort();
}
