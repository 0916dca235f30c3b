//! The fuzz target's first seconds, without a fuzzer.

use std::path::Path;

#[path = "../../fuzz/entry.rs"]
mod entry;
#[path = "../../../config/fuzz/mutations.rs"]
mod mutations;

#[test]
fn no_bytes_of_a_client_break_its_session() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/requests");
    assert!(mutations::run(&corpus, 4_000, entry::fuzz_entry) > 4_000);
}
