//! A fuzzer's way into [`entry::fuzz_entry`].

#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::fuzz_entry(data));
