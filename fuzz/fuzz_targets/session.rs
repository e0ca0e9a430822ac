//! Any server at the other end of a client session.
#![no_main]

#[path = "../../crates/tramline-core/tests/fuzzed/session.rs"]
mod session;

libfuzzer_sys::fuzz_target!(|data: &[u8]| session::check(data));
