//! Any text is read: objects and problems come out, never a panic, and problems point into the text.

use config::decode::documents;

/// What a fuzzer, and the seeded mutations among the tests, run.
pub(crate) fn fuzz_entry(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let decoded = documents("input.yaml", &text);
    // A line may end with a return alone, and the end of a text stands on a line after its last.
    let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 2;
    for problem in &decoded.problems {
        assert!(problem.line as usize <= lines, "{problem:?} is outside of {lines} lines");
        assert!(!problem.message.is_empty(), "{problem:?} says nothing");
    }
}
