//! The messages, compiled from `proto/`.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the descriptions in `proto/` have the words"
)]

include!(concat!(env!("OUT_DIR"), "/livekit.proto.rs"));
