//! The live queue against its model.
#![no_main]

#[path = "../../crates/tramline-core/tests/fuzzed/live_queue.rs"]
mod live_queue;

libfuzzer_sys::fuzz_target!(|data: &[u8]| live_queue::check(data));
