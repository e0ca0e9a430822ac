//! Any bytes as a data-track packet, compared with LiveKit's Rust parser.
#![no_main]

#[path = "../../crates/tramline-wire/tests/fuzzed/packet.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::check(data));
