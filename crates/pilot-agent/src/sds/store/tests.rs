//! Which secret comes from where.

use identity::PrivateKey;
use identity::authority::{Authority, Limits, Request, San, SelfSigned};
use identity::csr::PublicKey;
use identity::key::Kind;
use std::path::Path;
use std::time::SystemTime;

use super::super::issue::tests::{LocalCa, paths};
use super::*;

fn authority() -> Authority {
    let options = SelfSigned { key: Kind::P256, ..SelfSigned::of("x") };
    Authority::self_signed(&options, Limits::default(), SystemTime::now()).unwrap()
}

fn write_certificate(authority: &Authority, chain: &Path, key: &Path) {
    let made = PrivateKey::generate(Kind::P256).unwrap();
    let public = PublicKey::of(&made);
    let sans = [San::Dns("a.test".to_owned())];
    let request = Request { key: &public, sans: &sans, ttl: None, labels: None };
    let leaf = authority.sign(&request, SystemTime::now()).unwrap();
    std::fs::write(key, made.to_pkcs8_pem().as_bytes()).unwrap();
    std::fs::write(chain, leaf.to_pem()).unwrap();
}

#[test]
fn nothing_is_served_before_the_ca_has_answered_and_unknown_names_never() {
    let store = SecretStore::new(paths());
    assert!(matches!(store.get("default"), Err(SecretError::NotYet)));
    assert!(matches!(store.get("ROOTCA"), Err(SecretError::NotYet)));
    assert!(matches!(store.get("kubernetes://x"), Err(SecretError::Name(_))));
    assert!(matches!(store.get("file-root:/nonexistent"), Err(SecretError::File { .. })));
}

#[test]
fn mounted_files_come_before_the_ca_unless_they_are_our_own_output() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority();
    let (chain, key, roots) =
        (dir.path().join("cert-chain.pem"), dir.path().join("key.pem"), dir.path().join("root-cert.pem"));
    write_certificate(&authority, &chain, &key);
    std::fs::write(&roots, authority.certificate().to_pem()).unwrap();
    let mut files = FilePaths { chain: chain.clone(), key, roots, output: None, system_roots: None };
    let store = SecretStore::new(files.clone());
    let want = std::fs::read(&chain).unwrap();
    assert!(matches!(store.get("default").unwrap(), SecretItem::Certificate { chain, .. } if chain == want));
    assert!(matches!(store.get("ROOTCA").unwrap(), SecretItem::Roots(_)));

    files.output = Some(dir.path().to_owned());
    assert!(matches!(SecretStore::new(files).get("default"), Err(SecretError::NotYet)));
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("c"), dir.path().join("k"));
    write_certificate(&authority(), &chain, &key);
    let name = format!("file-cert:{}~{}", chain.display(), key.display());
    let store = SecretStore::new(paths());
    store.get(&name).unwrap();
    std::fs::write(&key, PrivateKey::generate(Kind::P256).unwrap().to_pkcs8_pem().as_bytes()).unwrap();
    let error = store.get(&name).unwrap_err().to_string();
    assert!(error.contains("is not the key of the certificate"), "{error}");
}

#[tokio::test]
async fn a_changed_file_is_announced_also_when_a_link_is_swapped() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority();
    for (version, text) in
        [("v1", authority.certificate().to_pem()), ("v2", LocalCa::new().authority.certificate().to_pem())]
    {
        std::fs::create_dir(dir.path().join(version)).unwrap();
        std::fs::write(dir.path().join(version).join("ca"), text).unwrap();
    }
    let link = dir.path().join("data");
    std::os::unix::fs::symlink(dir.path().join("v1"), &link).unwrap();
    let store = Arc::new(SecretStore::new(paths()));
    let name = format!("file-root:{}", link.join("ca").display());
    let before = store.get(&name).unwrap();
    let mut news = store.news();
    let watching = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.watch_files().await }
    });
    std::os::unix::fs::symlink(dir.path().join("v2"), dir.path().join("new")).unwrap();
    std::fs::rename(dir.path().join("new"), &link).unwrap();
    tokio::time::timeout(Duration::from_secs(60), news.changed()).await.unwrap().unwrap();
    assert_ne!(store.get(&name).unwrap(), before);
    watching.abort();
}

#[test]
fn roots_of_the_mesh_are_merged_in_once_and_sorted() {
    let store = SecretStore::new(paths());
    let (one, two) = (authority().certificate().to_pem(), authority().certificate().to_pem());
    store.set_issued(Issued {
        key: String::new(),
        chain: String::new(),
        roots: one.clone(),
        created: SystemTime::now(),
        expires: SystemTime::now(),
    });
    assert!(store.set_mesh_roots(&[two.clone(), one.clone()]));
    assert!(!store.set_mesh_roots(&[two.clone(), one.clone()]));
    let SecretItem::Roots(bytes) = store.get("ROOTCA").unwrap() else { panic!("not roots") };
    let mut want = [one, two];
    want.sort();
    assert_eq!(bytes, want.concat());
}
