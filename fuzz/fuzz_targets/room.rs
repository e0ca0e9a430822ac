//! Any clients in a room of the server.
#![no_main]

#[path = "../../crates/tramline-core/tests/fuzzed/room.rs"]
mod room;

libfuzzer_sys::fuzz_target!(|data: &[u8]| room::check(data));
