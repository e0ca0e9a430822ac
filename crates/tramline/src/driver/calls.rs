//! Calls: who waits for an answer, and which handler makes one.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use tokio::sync::oneshot;
use tramline_core::{
    rpc::{Call, CallId, Invocation, InvocationId, Output, Rpc, RpcError, RpcErrorCode},
    session::Session,
};
use tramline_net::{random, runtime::block_on};

use crate::{
    link::{Link, ToDriver},
    rpc::{Handler, PerformRpcData, RpcInvocationData},
    workers::Workers,
};

type Reply = oneshot::Sender<Result<String, RpcError>>;

/// The calls of both directions.
pub(super) struct Calls {
    pub(super) rpc: Rpc,
    waiting: HashMap<CallId, Reply>,
    handlers: HashMap<String, Handler>,
    workers: Workers,
    link: Link,
    /// The server is too old to pass calls on.
    is_unsupported: bool,
}

impl Calls {
    pub(super) fn new(link: Link) -> Self {
        Self {
            rpc: Rpc::default(),
            waiting: HashMap::new(),
            handlers: HashMap::new(),
            workers: Workers::default(),
            link,
            is_unsupported: false,
        }
    }

    pub(super) fn workers(&self) -> Workers {
        self.workers.clone()
    }

    /// What the server says it is.
    pub(super) fn set_server_version(&mut self, version: &str) {
        let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
        if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) {
            self.is_unsupported = (major, minor) < RPC_SINCE;
        }
    }

    pub(super) fn perform(&mut self, now: Instant, session: &Session, data: PerformRpcData, reply: Reply) {
        if self.is_unsupported {
            let _ = reply.send(Err(RpcError::built_in(RpcErrorCode::UnsupportedServer, None)));
            return;
        }
        let random = match random::bytes() {
            Ok(bits) => u128::from_ne_bytes(bits),
            Err(error) => {
                let error = RpcError::built_in(RpcErrorCode::SendFailed, Some(error.to_string()));
                let _ = reply.send(Err(error));
                return;
            }
        };
        let recipient = session.participant(data.destination_identity.as_str());
        let call = Call {
            destination: data.destination_identity.as_str().into(),
            method: data.method,
            payload: data.payload,
            response_timeout: data.response_timeout,
        };
        let call = self.rpc.perform(now, random, call, recipient.map(|recipient| recipient.client_protocol));
        self.waiting.insert(call, reply);
    }

    pub(super) fn register(&mut self, method: String, handler: Handler) {
        self.rpc.register(&method);
        self.handlers.insert(method, handler);
    }

    pub(super) fn unregister(&mut self, method: &str) {
        self.rpc.unregister(method);
        self.handlers.remove(method);
    }

    /// What is to be sent; the rest is done here.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        loop {
            match self.rpc.poll_output()? {
                Output::Done { call, result } => {
                    if let Some(reply) = self.waiting.remove(&call) {
                        let _ = reply.send(result);
                    }
                }
                Output::Invoke(invocation) => self.invoke(invocation),
                send => return Some(send),
            }
        }
    }

    fn invoke(&mut self, invocation: Invocation) {
        let id = invocation.id;
        let Some(handler) = self.handlers.get(&invocation.method).cloned() else { return };
        let data = RpcInvocationData {
            request_id: invocation.request_id,
            caller_identity: Arc::clone(&invocation.caller).into(),
            method: invocation.method,
            payload: invocation.payload,
            response_timeout: invocation.response_timeout,
        };
        let link = self.link.clone();
        let is_running = self.workers.run(Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(|| run(&handler, data)));
            let result = result.unwrap_or_else(|_| {
                let data = "the handler of the method panicked".to_owned();
                Err(RpcError::built_in(RpcErrorCode::ApplicationError, Some(data)))
            });
            link.send(ToDriver::Answered { invocation: id, result });
        }));
        if !is_running {
            let data = "there is no thread to run the method on".to_owned();
            self.rpc.answer(id, Err(RpcError::built_in(RpcErrorCode::ApplicationError, Some(data))));
        }
    }

    pub(super) fn handle_answered(&mut self, invocation: InvocationId, result: Result<String, RpcError>) {
        self.rpc.answer(invocation, result);
    }

    pub(super) fn end(&mut self) {
        self.workers.close();
        self.handlers.clear();
        self.rpc.handle_end();
        while self.poll_output().is_some() {}
        self.waiting.clear();
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.end();
    }
}

/// On a thread of the pool.
fn run(handler: &Handler, data: RpcInvocationData) -> Result<String, RpcError> {
    let inside = handler.runtime.as_ref().map(tokio::runtime::Handle::enter);
    let future = handler.call(data);
    drop(inside);
    match &handler.runtime {
        Some(runtime) => runtime.block_on(future),
        None => block_on(future, None).unwrap_or_else(|error| {
            Err(RpcError::built_in(RpcErrorCode::ApplicationError, Some(error.to_string())))
        }),
    }
}

/// The first version of LiveKit's server that passes calls on.
const RPC_SINCE: (u32, u32) = (1, 8);
