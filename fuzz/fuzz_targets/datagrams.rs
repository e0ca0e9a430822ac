//! A session on a network that anybody can write to.
#![no_main]

#[path = "../../crates/tramline-transport/tests/fuzzed/datagrams.rs"]
mod datagrams;

libfuzzer_sys::fuzz_target!(|data: &[u8]| datagrams::check(data));
