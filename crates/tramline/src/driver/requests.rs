//! Requests that the server answers by their number: schemas, and what the local participant says of itself.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::oneshot;
use tramline_core::session::{DefineSchemaError, FetchSchemaError, RequestId, UpdateError};

/// Where an answer goes.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// Who waits for which answer. The session bounds how long; who is dropped with this sees the end of the session.
#[derive(Default)]
pub(super) struct Requests {
    waiting: HashMap<RequestId, Waiting>,
}

/// What an answer is given to.
pub(super) enum Waiting {
    Define(Reply<(), DefineSchemaError>),
    Fetch(Reply<Arc<str>, FetchSchemaError>),
    Update(Reply<(), UpdateError>),
}

impl Requests {
    /// The session has taken a request, or not even that.
    pub(super) fn define(
        &mut self,
        asked: Result<RequestId, DefineSchemaError>,
        reply: Reply<(), DefineSchemaError>,
    ) {
        self.add(asked, reply, Waiting::Define);
    }

    /// As [`define`](Self::define).
    pub(super) fn fetch(
        &mut self,
        asked: Result<RequestId, FetchSchemaError>,
        reply: Reply<Arc<str>, FetchSchemaError>,
    ) {
        self.add(asked, reply, Waiting::Fetch);
    }

    /// As [`define`](Self::define).
    pub(super) fn update(&mut self, asked: Result<RequestId, UpdateError>, reply: Reply<(), UpdateError>) {
        self.add(asked, reply, Waiting::Update);
    }

    pub(super) fn handle_defined(&mut self, request: RequestId, result: Result<(), DefineSchemaError>) {
        if let Some(Waiting::Define(reply)) = self.waiting.remove(&request) {
            let _ = reply.send(result);
        }
    }

    pub(super) fn handle_fetched(&mut self, request: RequestId, result: Result<Arc<str>, FetchSchemaError>) {
        if let Some(Waiting::Fetch(reply)) = self.waiting.remove(&request) {
            let _ = reply.send(result);
        }
    }

    pub(super) fn handle_updated(&mut self, request: RequestId, result: Result<(), UpdateError>) {
        if let Some(Waiting::Update(reply)) = self.waiting.remove(&request) {
            let _ = reply.send(result);
        }
    }

    fn add<T, E>(
        &mut self,
        asked: Result<RequestId, E>,
        reply: Reply<T, E>,
        waiting: impl FnOnce(Reply<T, E>) -> Waiting,
    ) {
        match asked {
            Ok(request) => {
                self.waiting.insert(request, waiting(reply));
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }
}
