//! Calls: a method that one participant registers, another one performs.

use std::{
    ffi::{c_char, c_void},
    future::poll_fn,
    mem::size_of,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
    time::Duration,
};

use sdk::{PerformRpcData, RpcError, RpcErrorCode, RpcInvocationData, block_on};

use crate::{
    error::{Failure, guard},
    handle::{self, Out, Owned, handle},
    room::tramline_room,
    status::tramline_status::{self, *},
    structs::{self, Extensible},
    text::{self, tramline_str, tramline_string},
    wait::lock,
};

/// A call that came in, to be answered once. It waits as long as the handle lives; freed without an answer it fails with LiveKit's 1500,
/// application error.
pub struct tramline_rpc_call(Owned<Call>);
handle!(tramline_rpc_call holds Call);

/// Answers a call. Runs on a thread `tramline-rpc`, up to 256 at once: it may block, and call any function of this library. The call is its to
/// keep: it may answer at once, or later on any thread; `tramline_rpc_call_free` is the last of it either way.
pub type tramline_rpc_handler =
    Option<unsafe extern "C" fn(user_data: *mut c_void, call: *mut tramline_rpc_call)>;

/// Called once when a handler is not registered any more and does not run any more, on any thread.
pub type tramline_rpc_release = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// What a handle to a call stands for.
pub(crate) struct Call {
    data: RpcInvocationData,
    answer: Arc<Answer>,
}

/// The answer on its way from whoever gives it to the thread that waits for it.
#[derive(Default)]
struct Answer(Mutex<Given>);

#[derive(Default)]
enum Given {
    #[default]
    NotYet,
    Awaited(Waker),
    Here(Result<String, RpcError>),
    Taken,
}

impl Answer {
    /// `false` when there was one already.
    fn give(&self, answer: Result<String, RpcError>) -> bool {
        let mut given = lock(&self.0);
        match std::mem::replace(&mut *given, Given::Taken) {
            Given::NotYet => *given = Given::Here(answer),
            Given::Awaited(waker) => {
                *given = Given::Here(answer);
                drop(given);
                waker.wake();
            }
            before => {
                *given = before;
                return false;
            }
        }
        true
    }

    async fn wait(&self) -> Result<String, RpcError> {
        poll_fn(|cx| {
            let mut given = lock(&self.0);
            match std::mem::replace(&mut *given, Given::Taken) {
                Given::Here(answer) => Poll::Ready(answer),
                _ => {
                    *given = Given::Awaited(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let data = Some("the handler gave no answer".to_owned());
        self.answer.give(Err(RpcError::built_in(RpcErrorCode::ApplicationError, data)));
    }
}

/// A handler of the host's, and how to let go of what it uses.
struct Method {
    handler: unsafe extern "C" fn(*mut c_void, *mut tramline_rpc_call),
    user_data: *mut c_void,
    release: tramline_rpc_release,
}

// SAFETY: the caller of `tramline_room_register_rpc` agrees that the handler is called on several threads, and the other one on any.
unsafe impl Send for Method {}
// SAFETY: the same.
unsafe impl Sync for Method {}

impl Method {
    async fn run(self: Arc<Self>, data: RpcInvocationData) -> Result<String, RpcError> {
        let answer = Arc::new(Answer::default());
        let call = handle::new(Call { data, answer: Arc::clone(&answer) });
        // SAFETY: the caller of `tramline_room_register_rpc` vouches for the handler.
        unsafe { (self.handler)(self.user_data, call) };
        drop(self);
        answer.wait().await
    }
}

impl Drop for Method {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the caller of `tramline_room_register_rpc` vouches for it.
            unsafe { release(self.user_data) };
        }
    }
}

/// What a call is. The texts live as long as the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_rpc_call_info {
    /// `sizeof(tramline_rpc_call_info)`.
    pub struct_size: usize,
    /// The caller's id of the call.
    pub request_id: tramline_str,
    /// Who calls.
    pub caller: tramline_str,
    /// The method's name, as it was registered.
    pub method: tramline_str,
    /// What the caller gave.
    pub payload: tramline_str,
    /// How long the caller waits, in milliseconds.
    pub response_timeout_ms: u64,
}

// SAFETY: integers and pointers, `struct_size` first.
unsafe impl Extensible for tramline_rpc_call_info {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            request_id: tramline_str::EMPTY,
            caller: tramline_str::EMPTY,
            method: tramline_str::EMPTY,
            payload: tramline_str::EMPTY,
            response_timeout_ms: 0,
        }
    }
}

/// Why a call failed: LiveKit's numbers from 1400 and 1500 on, or one of the application's. The texts are to be freed.
#[repr(C)]
#[derive(Debug)]
pub struct tramline_rpc_error {
    /// The number; 0 when the call did not fail.
    pub code: u32,
    /// In words.
    pub message: tramline_string,
    /// More, for the application.
    pub data: tramline_string,
}

impl tramline_rpc_error {
    const NONE: Self = Self { code: 0, message: tramline_string::EMPTY, data: tramline_string::EMPTY };
}

/// Calls `method` of the participant `destination`, and waits for its answer, at most `timeout_ms`; negative is LiveKit's default of 15,000. `response`
/// is to be freed with `tramline_string_free`.
///
/// `TRAMLINE_ERR_RPC` when it fails, and then `error`, unless it is null, says why: 1401 at once when nobody of that identity is in the room,
/// 1400 when it has no such method, 1501 and 1502 when it does not answer in time, 1503 when it leaves, or what its method says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_perform_rpc(
    room: *const tramline_room,
    destination: *const c_char,
    destination_len: usize,
    method: *const c_char,
    method_len: usize,
    payload: *const c_char,
    payload_len: usize,
    timeout_ms: i64,
    response: *mut tramline_string,
    error: *mut tramline_rpc_error,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles and bytes.
        let (out, local, mut data) = unsafe {
            if !error.is_null() {
                error.write(tramline_rpc_error::NONE);
            }
            let out = Out::new(response, "response")?;
            out.set(tramline_string::EMPTY);
            let data = PerformRpcData {
                destination_identity: text::text(destination, destination_len, "destination")?.into(),
                method: text::text(method, method_len, "method")?.to_owned(),
                payload: text::text(payload, payload_len, "payload")?.to_owned(),
                ..PerformRpcData::default()
            };
            (out, handle::value(room, "room")?.local_participant()?, data)
        };
        if let Ok(millis) = u64::try_from(timeout_ms) {
            data.response_timeout = Duration::from_millis(millis);
        }
        match block_on(local.perform_rpc(data))? {
            Ok(text) => {
                out.set(tramline_string::new(&text));
                Ok(())
            }
            Err(failed) => {
                if !error.is_null() {
                    let told = tramline_rpc_error {
                        code: failed.code,
                        message: tramline_string::new(&failed.message),
                        data: tramline_string::new(failed.data.as_deref().unwrap_or_default()),
                    };
                    // SAFETY: the rule on results.
                    unsafe { error.write(told) };
                }
                Err(Failure::new(TRAMLINE_ERR_RPC, failed.to_string()))
            }
        }
    })
}

/// Lets others call `method`; one that is registered already is replaced. `user_data` is handed to `handler` as it is, and to `release`, which may be
/// null, when it is not needed any more: after `tramline_room_unregister_rpc` or another registration, or with the room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_register_rpc(
    room: *const tramline_room,
    method: *const c_char,
    method_len: usize,
    handler: tramline_rpc_handler,
    user_data: *mut c_void,
    release: tramline_rpc_release,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (local, method) = unsafe {
            (handle::value(room, "room")?.local_participant()?, text::text(method, method_len, "method")?)
        };
        let handler = handler.ok_or_else(|| Failure::null("handler"))?;
        let registered = Arc::new(Method { handler, user_data, release });
        local.register_rpc_method(method, move |data| Arc::clone(&registered).run(data));
        Ok(())
    })
}

/// Calls of `method` are refused from now on; those that run go on. Unknown names are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_unregister_rpc(
    room: *const tramline_room,
    method: *const c_char,
    method_len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (local, method) = unsafe {
            (handle::value(room, "room")?.local_participant()?, text::text(method, method_len, "method")?)
        };
        local.unregister_rpc_method(method);
        Ok(())
    })
}

/// What the call is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_rpc_call_read_info(
    call: *const tramline_rpc_call,
    info: *mut tramline_rpc_call_info,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        let data = &unsafe { handle::value(call, "call") }?.data;
        let read = tramline_rpc_call_info {
            request_id: tramline_str::of(&data.request_id),
            caller: tramline_str::of(data.caller_identity.as_str()),
            method: tramline_str::of(&data.method),
            payload: tramline_str::of(&data.payload),
            response_timeout_ms: u64::try_from(data.response_timeout.as_millis()).unwrap_or(u64::MAX),
            ..tramline_rpc_call_info::defaults()
        };
        // SAFETY: the rules on structs and results.
        unsafe { structs::write(info, &read, "info") }
    })
}

/// Answers the call. `TRAMLINE_CLOSED` when it was answered before. The call is still to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_rpc_call_answer(
    call: *const tramline_rpc_call,
    payload: *const c_char,
    payload_len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (call, payload) =
            unsafe { (handle::value(call, "call")?, text::text(payload, payload_len, "payload")?) };
        given(call.answer.give(Ok(payload.to_owned())))
    })
}

/// Lets the call fail, with a number of the application's and at most 256 bytes of words. As `tramline_rpc_call_answer` otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_rpc_call_fail(
    call: *const tramline_rpc_call,
    code: u32,
    message: *const c_char,
    message_len: usize,
    data: *const c_char,
    data_len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (call, message, data) = unsafe {
            (
                handle::value(call, "call")?,
                text::text(message, message_len, "message")?,
                text::text(data, data_len, "data")?,
            )
        };
        let data = (!data.is_empty()).then(|| data.to_owned());
        given(call.answer.give(Err(RpcError::new(code, message, data))))
    })
}

fn given(is_first: bool) -> Result<(), Failure> {
    if is_first { Ok(()) } else { Err(Failure::outcome(TRAMLINE_CLOSED)) }
}

/// Frees the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_rpc_call_free(call: *mut tramline_rpc_call) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        drop(unsafe { handle::take(call) });
        Ok(())
    });
}
