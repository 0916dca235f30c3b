//! Tests of the authority on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use identity::Authority;
use identity::authority::{Limits, SelfSigned};
use identity::key::Kind;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::{Error, Options, State};
use crate::ca::live::Live;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn root() -> SelfSigned {
    SelfSigned { key: Kind::P256, ttl: 100 * DAY, ..SelfSigned::of("cluster.local") }
}

fn options(dir: &Path) -> Options {
    Options { root: root(), ..Options::in_dir(&dir.join("ca"), "cluster.local") }
}

fn other() -> Authority {
    Authority::self_signed(&root(), Limits::default(), now()).unwrap()
}

fn plug(dir: &Path, ca: &Authority, roots: &str) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("ca-cert.pem"), ca.certificate().to_pem()).unwrap();
    fs::write(dir.join("ca-key.pem"), ca.key().to_pkcs8_pem().as_str()).unwrap();
    fs::write(dir.join("root-cert.pem"), roots).unwrap();
}

#[test]
fn a_new_root_is_stored_privately_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_, made) = State::open(options(dir.path()), now()).unwrap();
    let key = dir.path().join("ca/ca-key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (_, found) = State::open(options(dir.path()), now() + DAY).unwrap();
    assert_eq!(found.certificate(), made.certificate());
    assert_eq!(found.key().spki_der(), made.key().spki_der());
}

#[test]
fn damaged_files_are_an_error_and_never_a_new_root() {
    for (name, content) in
        [("ca-key.pem", ""), ("ca-key.pem", "nonsense"), ("root-cert.pem", ""), ("ca-cert.pem", "nonsense")]
    {
        let dir = tempfile::tempdir().unwrap();
        State::open(options(dir.path()), now()).unwrap();
        fs::write(dir.path().join("ca").join(name), content).unwrap();
        let error = State::open(options(dir.path()), now()).unwrap_err();
        assert!(matches!(error, Error::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains("Restore"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("ca").join(name)).unwrap(), content);
    }
    let dir = tempfile::tempdir().unwrap();
    State::open(options(dir.path()), now()).unwrap();
    fs::remove_file(dir.path().join("ca/ca-key.pem")).unwrap();
    assert!(State::open(options(dir.path()), now()).unwrap_err().to_string().contains("ca-key.pem"));
}

#[test]
fn leftovers_of_a_death_while_making_are_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    State::open(options(dir.path()), now()).unwrap();
    fs::remove_file(dir.path().join("ca/ca-cert.pem")).unwrap();
    let (_, made) = State::open(options(dir.path()), now()).unwrap();
    let (_, found) = State::open(options(dir.path()), now()).unwrap();
    assert_eq!(found.certificate(), made.certificate());
}

#[test]
fn a_root_is_rotated_in_its_grace_period_and_stored_before_use() {
    let dir = tempfile::tempdir().unwrap();
    let (state, first) = State::open(options(dir.path()), now()).unwrap();
    let live = Live::new(first.clone());
    assert!(!state.tick(&live, now() + 79 * DAY).unwrap());
    assert_eq!(live.authority().unwrap().certificate(), first.certificate());
    let late = now() + 81 * DAY;
    assert!(state.tick(&live, late).unwrap());
    assert!(!state.tick(&live, late).unwrap(), "once");
    let second = live.authority().unwrap();
    assert_ne!(second.certificate(), first.certificate());
    assert_eq!(second.key().spki_der(), first.key().spki_der());
    assert!(second.bundle().contains(first.certificate()));
    let (_, found) = State::open(options(dir.path()), late).unwrap();
    assert_eq!(found.certificate(), second.certificate());
    assert_eq!(found.bundle(), second.bundle());
}

#[test]
fn a_rotation_that_cannot_be_stored_does_not_happen() {
    let dir = tempfile::tempdir().unwrap();
    let (state, first) = State::open(options(dir.path()), now()).unwrap();
    let live = Live::new(first.clone());
    // A directory where the file should be: no permission trick, so it also holds for root.
    fs::remove_file(dir.path().join("ca/root-cert.pem")).unwrap();
    fs::create_dir_all(dir.path().join("ca/root-cert.pem/inside")).unwrap();
    assert!(state.tick(&live, now() + 90 * DAY).is_err());
    assert_eq!(live.authority().unwrap().certificate(), first.certificate());
}

#[test]
fn a_root_that_ended_while_nothing_ran_is_renewed_under_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (_, first) = State::open(options(dir.path()), now()).unwrap();
    let later = now() + 200 * DAY;
    let (_, second) = State::open(options(dir.path()), later).unwrap();
    assert_eq!(second.key().spki_der(), first.key().spki_der());
    assert!(second.certificate().is_valid_at(later));
    assert!(!second.bundle().contains(first.certificate()));
}

#[test]
fn plugged_files_go_before_our_own_and_must_be_complete() {
    let dir = tempfile::tempdir().unwrap();
    let cacerts = dir.path().join("cacerts");
    let with = Options { plugged: Some(cacerts.clone()), ..options(dir.path()) };
    let (_, own) = State::open(with.clone(), now()).unwrap();
    let ca = other();
    plug(&cacerts, &ca, &ca.certificate().to_pem());
    let (state, plugged) = State::open(with.clone(), now()).unwrap();
    assert_eq!(plugged.certificate(), ca.certificate());
    assert_ne!(plugged.certificate(), own.certificate());
    let live = Live::new(plugged);
    assert!(!state.tick(&live, now() + 90 * DAY).unwrap(), "the operator rotates it, not we");
    fs::remove_file(cacerts.join("ca-key.pem")).unwrap();
    let error = State::open(with, now()).unwrap_err().to_string();
    assert!(error.contains("ca-key.pem"), "{error}");
}

#[test]
fn tls_style_names_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let cacerts = dir.path().join("cacerts");
    let ca = other();
    fs::create_dir_all(&cacerts).unwrap();
    fs::write(cacerts.join("tls.crt"), ca.certificate().to_pem()).unwrap();
    fs::write(cacerts.join("tls.key"), ca.key().to_pkcs8_pem().as_str()).unwrap();
    fs::write(cacerts.join("ca.crt"), ca.certificate().to_pem()).unwrap();
    let with = Options { plugged: Some(cacerts), ..options(dir.path()) };
    assert_eq!(State::open(with, now()).unwrap().1.certificate(), ca.certificate());
}

#[test]
fn changed_plugged_files_are_taken_over_when_they_keep_the_roots() {
    let dir = tempfile::tempdir().unwrap();
    let cacerts = dir.path().join("cacerts");
    let (old, new) = (other(), other());
    let both = format!("{}{}", old.certificate().to_pem(), new.certificate().to_pem());
    plug(&cacerts, &old, &both);
    let with = Options { plugged: Some(cacerts.clone()), ..options(dir.path()) };
    let (state, first) = State::open(with, now()).unwrap();
    let live = Live::new(first);
    assert!(!state.reload(&live, now()).unwrap(), "nothing changed");
    plug(&cacerts, &new, &both);
    assert!(state.reload(&live, now()).unwrap());
    assert_eq!(live.authority().unwrap().certificate(), new.certificate());
    assert!(!state.reload(&live, now()).unwrap());
    fs::write(cacerts.join("ca-key.pem"), "half written").unwrap();
    assert!(state.reload(&live, now()).is_err());
    assert_eq!(live.authority().unwrap().certificate(), new.certificate(), "the good one goes on");
}

#[test]
fn roots_change_only_in_steps_and_only_if_allowed() {
    let (old, new) = (other(), other());
    let (old_pem, new_pem) = (old.certificate().to_pem(), new.certificate().to_pem());
    let both = format!("{old_pem}{new_pem}");
    for (multi_root, roots, allowed) in
        [(false, both.as_str(), false), (true, both.as_str(), true), (true, new_pem.as_str(), false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let cacerts = dir.path().join("cacerts");
        plug(&cacerts, &old, &old_pem);
        let with = Options { plugged: Some(cacerts.clone()), multi_root, ..options(dir.path()) };
        let (state, first) = State::open(with, now()).unwrap();
        let live = Live::new(first);
        plug(&cacerts, &new, roots);
        let reloaded = state.reload(&live, now());
        assert_eq!(reloaded.is_ok(), allowed, "{multi_root} {reloaded:?}");
        if allowed {
            plug(&cacerts, &new, &new_pem);
            assert!(state.reload(&live, now()).unwrap(), "then the old root may go");
        }
    }
}

#[test]
fn the_token_issuer_keeps_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let made = super::token_issuer(dir.path(), "https://mesh").unwrap();
    let found = super::token_issuer(dir.path(), "https://mesh").unwrap();
    assert_eq!(made.jwks(), found.jwks());
    let path = dir.path().join("issuer-key.pem");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&path, "nonsense").unwrap();
    let error = super::token_issuer(dir.path(), "https://mesh").unwrap_err().to_string();
    assert!(error.contains("issuer-key.pem"), "{error}");
}

/// A plugged-in authority that may revoke.
struct Revoking {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Revoking {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "root");
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A list in which nothing is revoked; the number tells lists apart.
    fn list(&self, number: u64) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2036, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

#[test]
fn the_list_beside_plugged_in_files_is_handed_on_and_followed_unless_it_would_stop_all() {
    let dir = tempfile::tempdir().unwrap();
    let plugged = dir.path().join("cacerts");
    let (ca, stranger) = (Revoking::new(), Revoking::new());
    fs::create_dir_all(&plugged).unwrap();
    for (name, text) in [
        ("ca-cert.pem", &ca.pem),
        ("ca-key.pem", &ca.issuer.key().serialize_pem()),
        ("root-cert.pem", &ca.pem),
    ] {
        fs::write(plugged.join(name), text).unwrap();
    }
    let file = plugged.join("ca-crl.pem");
    let with = Options { plugged: Some(plugged.clone()), ..options(dir.path()) };
    let (state, authority) = State::open(with.clone(), now()).unwrap();
    let live = Live::new(authority);
    let mut revoked = state.revoked();
    assert_eq!(*revoked.borrow_and_update(), "");

    for list in [ca.list(1), ca.list(2)] {
        fs::write(&file, &list).unwrap();
        assert!(!state.reload(&live, now()).unwrap(), "it is the same authority");
        assert_eq!(*revoked.borrow_and_update(), list);
    }
    assert_eq!(live.edition(), 0);
    // lists of the wrong authority would have every proxy refuse every certificate
    for (bad, what) in [(stranger.list(3), "no list in it is signed by"), ("nonsense".into(), "not a PEM")] {
        fs::write(&file, bad).unwrap();
        let error = state.reload(&live, now()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("ca-crl.pem"), "{error}");
        assert!(!revoked.has_changed().unwrap());
        assert!(matches!(State::open(with.clone(), now()), Err(Error::Revocations { .. })));
    }
    let off = Options { revocations: false, ..with };
    assert_eq!(*State::open(off, now()).unwrap().0.revoked().borrow(), "");
    fs::remove_file(&file).unwrap();
    state.reload(&live, now()).unwrap();
    assert_eq!(*revoked.borrow_and_update(), "");
}
