//! A drop-in `liblivekit_ffi`: LiveKit's four C functions and its protobuf messages over the Rust SDK of Tramline.
//!
//! LiveKit's SDKs for Python, C++ and Node sit on one native library. They call
//!
//! * `livekit_ffi_initialize(callback, capture_logs, sdk, sdk_version)` once, and again after each dispose;
//! * `livekit_ffi_request(data, len, &res, &res_len)` with an `FfiRequest`; the result is a handle that owns the `FfiResponse`, 0 is a failure;
//! * `livekit_ffi_drop_handle(handle)` for everything they were given;
//! * `livekit_ffi_dispose()` at the end, which leaves all rooms; no callback runs after it has returned.
//!
//! Events reach the callback from threads of this library, never from inside a request:
//!
//! | thread | what it says |
//! |---|---|
//! | `tramline-ffi`, one | answers to asynchronous requests, and frames: nothing that runs an application's code in these SDKs |
//! | `tramline-event`, one per room | what happens in the room, in order; it may block without holding up anything else |
//! | the SDK's workers | invocations of methods that others call; each may block and make requests |
//!
//! Data only: a request that concerns media, or that this version has no answer to, gets the error that its own messages provide for.
#![allow(unsafe_code)] // The C boundary, in this file only; each block says why it is sound.

mod call;
mod client;
mod convert;
mod event;
mod handle;
mod keys;
mod lane;
mod logs;
mod packet;
mod participant;
mod proto;
mod publication;
mod reading;
mod refusal;
mod request;
mod room;
mod schema;
mod stats;
mod subscription;
mod writing;

use std::{
    ffi::{CStr, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
};

use bytes::Bytes;
use client::Config;

/// What events are given to: an encoded `FfiEvent`, valid during the call.
pub type EventCallback = unsafe extern "C" fn(*const u8, usize);

/// Stores the callback and starts the library; a library that runs already is disposed of first.
///
/// # Safety
/// `callback` can be called from any thread until [`livekit_ffi_dispose`] returns. `sdk` and `sdk_version` are null or end in a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livekit_ffi_initialize(
    callback: Option<EventCallback>,
    capture_logs: bool,
    sdk: *const c_char,
    sdk_version: *const c_char,
) {
    // SAFETY: the contract above covers both strings.
    let (sdk, version) = unsafe { (text(sdk), text(sdk_version)) };
    guard("initialize", || {
        let callback = callback.map(|function| -> client::Callback {
            // SAFETY: the contract above makes the function callable from any thread while the client lives; the slice is readable.
            Box::new(move |event: &[u8]| unsafe { function(event.as_ptr(), event.len()) })
        });
        client::initialize(Config { callback, capture_logs, sdk, version });
    });
}

/// Carries out an `FfiRequest`, or starts to. Never blocks, never calls back.
///
/// The result is the handle of the encoded `FfiResponse` that is written to `response`: valid until that handle is dropped. 0 when the request
/// cannot be read, or when its response has no place for an error.
///
/// # Safety
/// `data` points to `len` readable bytes; `response` and `response_len` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livekit_ffi_request(
    data: *const u8,
    len: usize,
    response: *mut *const u8,
    response_len: *mut usize,
) -> u64 {
    if response.is_null() || response_len.is_null() || (data.is_null() && len > 0) {
        return 0;
    }
    // SAFETY: the contract above covers `data` and `len`; null has been sent away unless nothing is to be read.
    let request = if len == 0 { &[] } else { unsafe { slice::from_raw_parts(data, len) } };
    let Some(reply) = guard("request", || client::request(request)).flatten() else { return 0 };
    // SAFETY: the contract above covers both places. The bytes live on the heap until the handle is dropped.
    unsafe {
        response.write(reply.data);
        response_len.write(reply.len);
    }
    reply.handle
}

/// Lets go of what a handle stands for: a response, or an object, which ends it (a track is unpublished, a stream unsubscribed, a room left).
/// False when there is no such handle; that is harmless.
#[unsafe(no_mangle)]
pub extern "C" fn livekit_ffi_drop_handle(handle: u64) -> bool {
    guard("drop_handle", || client::drop_handle(handle)).unwrap_or(false)
}

/// Leaves all rooms, lets go of all objects and forgets the callback, which is not called any more once this returns.
///
/// From inside a callback it cannot wait for that callback, and for nothing else that waits for it.
#[unsafe(no_mangle)]
pub extern "C" fn livekit_ffi_dispose() {
    guard("dispose", client::dispose);
}

/// Runs the body of a C function. A panic ends here, whatever it was: it must not reach a caller that knows none.
fn guard<T>(what: &'static str, body: impl FnOnce() -> T) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    if outcome.is_err() {
        tracing::error!(what, "a call into the library has panicked; its report is on standard error");
    }
    outcome.ok()
}

/// What a request points to, in a copy: the wrapper lets go of it after the response. `None` when it points to nothing.
///
/// An address in a request is the wrapper's word for bytes that can be read until the response; nothing here can check it.
fn copied(address: u64, len: u64) -> Option<Bytes> {
    let len = usize::try_from(len).ok().filter(|len| isize::try_from(*len).is_ok())?;
    if len == 0 {
        return Some(Bytes::new());
    }
    let data = usize::try_from(address).ok().filter(|address| *address != 0)? as *const u8;
    // SAFETY: LiveKit's messages promise as many readable bytes there for the time of the request, in which this runs.
    Some(Bytes::copy_from_slice(unsafe { slice::from_raw_parts(data, len) }))
}

/// # Safety
/// The pointer is null or its text ends in a zero byte.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the contract above.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
