//! SCTP packets of anybody, at any time.
#![no_main]
#![allow(dead_code, reason = "the bench of the crate's tests has more than is used here")]

#[path = "../../crates/tramline-sctp/tests/it/forger.rs"]
mod forger;
#[path = "../../crates/tramline-sctp/tests/it/link.rs"]
mod link;

libfuzzer_sys::fuzz_target!(|data: &[u8]| forger::survives_packets(data.chunks(90)));
