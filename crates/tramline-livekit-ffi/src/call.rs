//! Calls: those that the wrapper makes, and those that it answers.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;
use tramline::{PerformRpcData, RpcError, RpcErrorCode, RpcInvocationData};

use crate::{
    client::{Client, handles},
    convert,
    handle::{Handle, lock},
    proto::{self, ffi_event::Message as Event},
};

type Answer = Result<String, RpcError>;

/// Calls from others, until the wrapper answers them.
#[derive(Default)]
pub(crate) struct Calls {
    last: AtomicU64,
    open: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
}

impl Calls {
    fn open(&self) -> (u64, oneshot::Receiver<Answer>) {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (reply, answer) = oneshot::channel();
        lock(&self.open).insert(id, reply);
        (id, answer)
    }

    fn close(&self, id: u64) -> Option<oneshot::Sender<Answer>> {
        lock(&self.open).remove(&id)
    }

    /// Nobody answers any more.
    pub(crate) fn give_up(&self) {
        mem::take(&mut *lock(&self.open));
    }
}

/// Closes a call that was given up before its answer.
struct OpenCall<'a>(&'a Calls, u64);

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.0.close(self.1);
    }
}

pub(crate) fn perform(client: &Arc<Client>, request: proto::PerformRpcRequest) -> proto::PerformRpcResponse {
    let async_id = client.async_id(request.request_async_id);
    let mut data = PerformRpcData {
        destination_identity: request.destination_identity.as_str().into(),
        method: request.method,
        payload: request.payload,
        ..PerformRpcData::default()
    };
    if let Some(millis) = request.response_timeout_ms {
        data.response_timeout = Duration::from_millis(millis.into());
    }
    let participant = handles().local_participant(request.local_participant_handle);
    let job = {
        let client = Arc::clone(client);
        async move {
            let outcome = match participant {
                Some(participant) => participant.perform_rpc(data).await,
                None => {
                    let data = Some("the handle is no local participant's".to_owned());
                    Err(RpcError::built_in(RpcErrorCode::SendFailed, data))
                }
            };
            let (payload, error) = match outcome {
                Ok(payload) => (Some(payload), None),
                Err(error) => (None, Some(error_message(error))),
            };
            client.emit(Event::PerformRpc(proto::PerformRpcCallback { async_id, payload, error }));
        }
    };
    client.spawn(job);
    proto::PerformRpcResponse { async_id }
}

/// Invocations come from the SDK's workers, one after the other or side by side: a handler of the application may run inside the callback.
pub(crate) fn register(
    client: &Arc<Client>,
    request: proto::RegisterRpcMethodRequest,
) -> proto::RegisterRpcMethodResponse {
    let handle = request.local_participant_handle;
    if let Some(participant) = handles().local_participant(handle) {
        let client = Arc::downgrade(client);
        participant.register_rpc_method(request.method, move |call| {
            let client = client.upgrade();
            async move {
                match client {
                    Some(client) => invoke(&client, handle, call).await,
                    None => Err(gone()),
                }
            }
        });
    } else {
        tracing::error!(handle, "a method for a handle that is no local participant's");
    }
    proto::RegisterRpcMethodResponse {}
}

async fn invoke(client: &Client, handle: Handle, call: RpcInvocationData) -> Answer {
    let (invocation_id, answer) = client.calls.open();
    let _open = OpenCall(&client.calls, invocation_id);
    client.emit(Event::RpcMethodInvocation(proto::RpcMethodInvocationEvent {
        local_participant_handle: handle,
        invocation_id,
        method: call.method,
        request_id: call.request_id,
        caller_identity: convert::text(&call.caller_identity),
        payload: call.payload,
        response_timeout_ms: u32::try_from(call.response_timeout.as_millis()).unwrap_or(u32::MAX),
    }));
    answer.await.unwrap_or_else(|_| Err(gone()))
}

pub(crate) fn unregister(request: proto::UnregisterRpcMethodRequest) -> proto::UnregisterRpcMethodResponse {
    if let Some(participant) = handles().local_participant(request.local_participant_handle) {
        participant.unregister_rpc_method(request.method);
    }
    proto::UnregisterRpcMethodResponse {}
}

pub(crate) fn respond(
    client: &Client,
    request: proto::RpcMethodInvocationResponseRequest,
) -> proto::RpcMethodInvocationResponseResponse {
    let answer = match request.error {
        Some(error) => Err(RpcError { code: error.code, message: error.message, data: error.data }),
        None => Ok(request.payload.unwrap_or_default()),
    };
    let open = client.calls.close(request.invocation_id);
    let error = match open.map(|call| call.send(answer)) {
        Some(Ok(())) => None,
        _ => Some("the call is not open: it was answered already, or its time is over".to_owned()),
    };
    proto::RpcMethodInvocationResponseResponse { error }
}

fn error_message(error: RpcError) -> proto::RpcError {
    proto::RpcError { code: error.code, message: error.message, data: error.data }
}

fn gone() -> RpcError {
    RpcError::built_in(RpcErrorCode::ApplicationError, Some("the library was disposed of".to_owned()))
}
