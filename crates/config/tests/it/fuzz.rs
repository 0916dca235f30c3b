//! The fuzz target's first seconds, without a fuzzer.

use std::path::Path;

#[path = "../../fuzz/entry.rs"]
mod entry;
#[path = "../../fuzz/mutations.rs"]
mod mutations;

#[test]
fn no_text_breaks_the_reader_of_documents() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/documents");
    assert!(mutations::run(&corpus, 4_000, entry::fuzz_entry) > 4_000);
}
