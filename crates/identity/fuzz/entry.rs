//! Any bytes are a refusal or a key that stands in them: as DER inside of PEM, and as the text itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use identity::csr::PublicKey;

/// What a fuzzer, and the seeded mutations among the tests, run. Takes DER.
pub(crate) fn fuzz_entry(data: &[u8]) {
    let pem = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(data)
    );
    if let Ok(key) = PublicKey::from_csr_pem(&pem) {
        let spki = key.spki_der();
        assert!(
            !spki.is_empty() && data.windows(spki.len()).any(|part| part == spki),
            "a key out of nowhere"
        );
    }
    // The frame of PEM is a stranger's, too.
    let _ = PublicKey::from_csr_pem(&String::from_utf8_lossy(data));
}
