//! The side that is called.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use proto::data_packet::Value;

use super::{
    MAX_PACKET_PAYLOAD, Output, PACKET_VERSION, RESPONSE_TOPIC, RpcError, RpcErrorCode, STREAM_VERSION,
    attribute,
};

/// Stands for one invocation until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(u64);

/// A method to run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invocation {
    /// To be given to [`Rpc::answer`](super::Rpc::answer) with the result.
    pub id: InvocationId,
    /// The caller's id of the call.
    pub request_id: String,
    /// Who calls.
    pub caller: Arc<str>,
    /// Which method, one that is registered.
    pub method: String,
    /// With what.
    pub payload: String,
    /// How long the caller waits.
    pub response_timeout: Duration,
}

/// The methods that there are, and the invocations that run.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) methods: BTreeSet<Box<str>>,
    running: BTreeMap<InvocationId, Running>,
    last: u64,
}

#[derive(Debug)]
struct Running {
    caller: Arc<str>,
    request_id: String,
    over_stream: bool,
}

/// A request, however it came.
struct Request {
    id: String,
    method: String,
    payload: String,
    response_timeout: Duration,
    over_stream: bool,
}

impl Answers {
    pub(super) fn handle_request(
        &mut self,
        from: &Arc<str>,
        request: proto::RpcRequest,
        output: &mut VecDeque<Output>,
    ) {
        output.push_back(ack(from, &request.id));
        // A compressed payload is announced by nobody who talks to this client.
        if request.version != PACKET_VERSION || !request.compressed_payload.is_empty() {
            let error = RpcError::built_in(RpcErrorCode::UnsupportedVersion, None);
            return output.push_back(error_response(from, request.id, error));
        }
        let request = Request {
            id: request.id,
            method: request.method,
            payload: request.payload,
            response_timeout: Duration::from_millis(u64::from(request.response_timeout_ms)),
            over_stream: false,
        };
        self.invoke(from, request, output);
    }

    /// `false` when the request has no id: it cannot even be refused.
    pub(super) fn handle_request_text(
        &mut self,
        from: &Arc<str>,
        attributes: &BTreeMap<String, String>,
        text: Option<String>,
        output: &mut VecDeque<Output>,
    ) -> bool {
        let Some(id) = attributes.get(attribute::ID).cloned() else { return false };
        if attributes.get(attribute::VERSION).map(String::as_str) != Some(STREAM_VERSION) {
            let error = RpcError::built_in(RpcErrorCode::UnsupportedVersion, None);
            output.push_back(error_response(from, id, error));
            return true;
        }
        let Some(payload) = text else {
            let data = "the stream with the request broke off, or is too long".to_owned();
            let error = RpcError::built_in(RpcErrorCode::RequestPayloadTooLarge, Some(data));
            output.push_back(error_response(from, id, error));
            return true;
        };
        let timeout = attributes.get(attribute::TIMEOUT).and_then(|timeout| timeout.parse().ok());
        let request = Request {
            id,
            method: attributes.get(attribute::METHOD).cloned().unwrap_or_default(),
            payload,
            response_timeout: Duration::from_millis(timeout.unwrap_or(0)),
            over_stream: true,
        };
        self.invoke(from, request, output);
        true
    }

    fn invoke(&mut self, from: &Arc<str>, request: Request, output: &mut VecDeque<Output>) {
        let Request { id: request_id, method, payload, response_timeout, over_stream } = request;
        if !self.methods.contains(method.as_str()) {
            let error = RpcError::built_in(RpcErrorCode::UnsupportedMethod, None);
            return output.push_back(error_response(from, request_id, error));
        }
        if self.running.len() >= MAX_RUNNING {
            let data = format!("{MAX_RUNNING} calls are under way already");
            let error = RpcError::built_in(RpcErrorCode::ApplicationError, Some(data));
            return output.push_back(error_response(from, request_id, error));
        }
        self.last += 1;
        let id = InvocationId(self.last);
        let running = Running { caller: from.clone(), request_id: request_id.clone(), over_stream };
        self.running.insert(id, running);
        output.push_back(Output::Invoke(Invocation {
            id,
            request_id,
            caller: from.clone(),
            method,
            payload,
            response_timeout,
        }));
    }

    pub(super) fn answer(
        &mut self,
        invocation: InvocationId,
        result: Result<String, RpcError>,
        output: &mut VecDeque<Output>,
    ) {
        let Some(Running { caller, request_id, over_stream }) = self.running.remove(&invocation) else {
            return;
        };
        output.push_back(match result {
            Ok(text) if over_stream => {
                let attributes = BTreeMap::from([(attribute::ID.to_owned(), request_id)]);
                Output::SendText { to: caller, topic: RESPONSE_TOPIC, attributes, text }
            }
            Ok(payload) if payload.len() > MAX_PACKET_PAYLOAD => {
                let error = RpcError::built_in(RpcErrorCode::ResponsePayloadTooLarge, None);
                error_response(&caller, request_id, error)
            }
            Ok(payload) => response(&caller, request_id, proto::rpc_response::Value::Payload(payload)),
            Err(error) => error_response(&caller, request_id, error),
        });
    }

    pub(super) fn handle_participant_left(&mut self, identity: &str) {
        self.running.retain(|_, running| &*running.caller != identity);
    }
}

pub(super) fn ack(to: &Arc<str>, request_id: &str) -> Output {
    let ack = proto::RpcAck { request_id: request_id.to_owned() };
    Output::Send { to: to.clone(), value: Value::RpcAck(ack) }
}

fn error_response(to: &Arc<str>, request_id: String, error: RpcError) -> Output {
    response(to, request_id, proto::rpc_response::Value::Error(error.into_wire()))
}

fn response(to: &Arc<str>, request_id: String, value: proto::rpc_response::Value) -> Output {
    let response = proto::RpcResponse { request_id, value: Some(value) };
    Output::Send { to: to.clone(), value: Value::RpcResponse(response) }
}

/// Invocations that may be under way at once.
const MAX_RUNNING: usize = 4096;
