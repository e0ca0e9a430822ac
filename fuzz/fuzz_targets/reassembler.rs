//! Any packets at any time at a subscriber.
#![no_main]

#[path = "../../crates/tramline-core/tests/fuzzed/memory.rs"]
mod memory;
#[path = "../../crates/tramline-core/tests/fuzzed/reassembler.rs"]
mod reassembler;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reassembler::check(data));
