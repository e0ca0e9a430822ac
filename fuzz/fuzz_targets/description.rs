//! Any text as session description or candidate.
#![no_main]

#[path = "../../crates/tramline-transport/tests/fuzzed/description.rs"]
mod description;

libfuzzer_sys::fuzz_target!(|data: &[u8]| description::check(data));
