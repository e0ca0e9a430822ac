//! The C ABI over the Rust SDK: opaque handles, status codes, pointer and length.
//!
//! The header, `include/tramline.h`, is generated from this crate (`cargo xtask headers`), its preface from `cbindgen.toml`. What the preface
//! asks of a caller is what the `unsafe` blocks here rely on. They name the rule:
//!
//! * **Handles**: a pointer to a handle is null, or came from this library and was not freed before the call began.
//! * **Bytes**: a pointer with a length is null, or points to that many readable bytes for the whole call.
//! * **Out**: a pointer to a result is null, or points to memory that may be written and that nobody else touches during the call.
//! * **Structs**: a struct that begins with `struct_size` has at least that many bytes.
//!
//! Null is never a fault: it is a status.
#![allow(
    unsafe_code,
    reason = "a C ABI takes raw pointers; each block names the rule of the preface that it relies on"
)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(non_camel_case_types, reason = "these are the names in the header")]
#![allow(unreachable_pub, reason = "what is in the header is public, whichever module it lives in")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the rules are the same everywhere and stand in the preface of the header"
)]

mod content;
mod content_send;
mod error;
mod event;
mod event_thread;
mod fork;
mod frame;
mod handle;
mod keys;
mod list;
mod local_track;
mod log;
mod packet;
mod participant;
mod remote_track;
mod room;
mod rpc;
mod schema;
mod stats;
mod status;
mod stream;
mod structs;
#[cfg(feature = "test-entries")]
mod test_entries;
mod text;
mod version;
mod wait;
