//! Calls: a method that one participant registers, another one performs.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

pub use tramline_core::rpc::{RpcError, RpcErrorCode};

use crate::participant::ParticipantIdentity;

/// A call: [`LocalParticipant::perform_rpc`](crate::LocalParticipant::perform_rpc).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerformRpcData {
    /// Whom to call.
    pub destination_identity: ParticipantIdentity,
    /// The method.
    pub method: String,
    /// What to give it: up to 15,360 bytes, and any length to a participant whose client takes text streams
    /// ([`client_protocol`](crate::RemoteParticipant::client_protocol) of 1 or more).
    pub payload: String,
    /// How long the answer may take, the way there and back included. Default 15 s.
    pub response_timeout: Duration,
}

impl Default for PerformRpcData {
    fn default() -> Self {
        Self {
            destination_identity: ParticipantIdentity::default(),
            method: String::new(),
            payload: String::new(),
            response_timeout: Duration::from_secs(15),
        }
    }
}

/// A call that came in, as its handler gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RpcInvocationData {
    /// The caller's id of the call.
    pub request_id: String,
    /// Who calls.
    pub caller_identity: ParticipantIdentity,
    /// The method's name, as it was registered.
    pub method: String,
    /// What the caller gave.
    pub payload: String,
    /// How long the caller waits.
    pub response_timeout: Duration,
}

/// What a handler returns.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<String, RpcError>> + Send>>;

/// A registered method. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handler {
    run: Arc<dyn Fn(RpcInvocationData) -> HandlerFuture + Send + Sync>,
    /// The runtime of whoever registered it, so that its timers and sockets work in the handler.
    pub(crate) runtime: Option<tokio::runtime::Handle>,
}

impl Handler {
    pub(crate) fn new<F, Fut>(handler: F) -> Self
    where
        F: Fn(RpcInvocationData) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RpcError>> + Send + 'static,
    {
        let run = Arc::new(move |data| Box::pin(handler(data)) as HandlerFuture);
        Self { run, runtime: tokio::runtime::Handle::try_current().ok() }
    }

    pub(crate) fn call(&self, data: RpcInvocationData) -> HandlerFuture {
        (self.run)(data)
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}
