//! Calls between participants (LiveKit RPC, versions 1 and 2).
//!
//! A call is a request to one participant, which confirms it at once and answers when its method has run. In version 1 requests
//! and answers are packets of up to 15 KiB; in version 2, for clients that announce it, they are text streams of any
//! length. Confirmations and errors are packets in both.

mod answer;
mod call;
mod error;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::data_packet::Value;

pub use answer::{Invocation, InvocationId};
pub use call::{Call, CallId, uuid};
pub use error::{RpcError, RpcErrorCode};

use answer::Answers;
use call::Calls;

/// Longest payload of a packet, request or answer, in bytes.
pub const MAX_PACKET_PAYLOAD: usize = 15 * 1024;

/// The topic of the text streams that carry requests.
pub const REQUEST_TOPIC: &str = "lk.rpc_request";

/// The topic of the text streams that carry answers.
pub const RESPONSE_TOPIC: &str = "lk.rpc_response";

/// How long a confirmation may take.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(7);

/// How long a participant that has left may take to come back before its calls fail.
pub const DEPARTURE_GRACE: Duration = Duration::from_secs(2);

/// The version of requests in packets.
const PACKET_VERSION: u32 = 1;

/// The version of requests in text streams.
const STREAM_VERSION: &str = "2";

/// Attributes of the streams.
mod attribute {
    pub(super) const ID: &str = "lk.rpc_request_id";
    pub(super) const METHOD: &str = "lk.rpc_request_method";
    pub(super) const TIMEOUT: &str = "lk.rpc_request_response_timeout_ms";
    pub(super) const VERSION: &str = "lk.rpc_request_version";
}

/// Both sides of calls: those that this participant makes, and those that it answers.
///
/// Give it what comes from others; after every call drain [`poll_output`](Self::poll_output), then sleep until
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug, Default)]
pub struct Rpc {
    calls: Calls,
    answers: Answers,
    output: VecDeque<Output>,
    ignored: u64,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a reliable packet to one participant.
    Send {
        /// To whom.
        to: Arc<str>,
        /// What.
        value: Value,
    },
    /// Send a text stream to one participant.
    SendText {
        /// To whom.
        to: Arc<str>,
        /// Its topic.
        topic: &'static str,
        /// Its attributes.
        attributes: BTreeMap<String, String>,
        /// The text.
        text: String,
    },
    /// Run a method, and give its result to [`Rpc::answer`].
    Invoke(Invocation),
    /// A call is over.
    Done {
        /// What [`Rpc::perform`] returned.
        call: CallId,
        /// The answer.
        result: Result<String, RpcError>,
    },
}

impl Rpc {
    /// Calls a participant, whose client speaks `client_protocol`; `None` when it is not in the room. The result comes as
    /// [`Output::Done`], at the latest when the call's time is over. `random` makes the id.
    pub fn perform(
        &mut self,
        now: Instant,
        random: u128,
        call: Call,
        client_protocol: Option<i32>,
    ) -> CallId {
        self.calls.perform(now, random, call, client_protocol, &mut self.output)
    }

    /// Calls can be answered with `method` from now on.
    pub fn register(&mut self, method: &str) {
        self.answers.methods.insert(method.into());
    }

    /// `method` is unknown again. Invocations that run go on.
    pub fn unregister(&mut self, method: &str) {
        self.answers.methods.remove(method);
    }

    /// The result of an invocation. Without effect when its caller is gone.
    pub fn answer(&mut self, invocation: InvocationId, result: Result<String, RpcError>) {
        self.answers.answer(invocation, result, &mut self.output);
    }

    /// A request in a packet.
    pub fn handle_request(&mut self, from: &Arc<str>, request: proto::RpcRequest) {
        self.answers.handle_request(from, request, &mut self.output);
    }

    /// A text stream with [`REQUEST_TOPIC`] has begun: the request is confirmed before all of it is there.
    pub fn handle_request_opened(&mut self, from: &Arc<str>, attributes: &BTreeMap<String, String>) {
        match attributes.get(attribute::ID) {
            Some(id) => self.output.push_back(answer::ack(from, id)),
            None => self.ignored += 1,
        }
    }

    /// The whole text of that stream; `None` when it did not come whole or is too long.
    pub fn handle_request_text(
        &mut self,
        from: &Arc<str>,
        attributes: &BTreeMap<String, String>,
        text: Option<String>,
    ) {
        if !self.answers.handle_request_text(from, attributes, text, &mut self.output) {
            self.ignored += 1;
        }
    }

    /// A confirmation.
    pub fn handle_ack(&mut self, from: &Arc<str>, ack: &proto::RpcAck) {
        if !self.calls.handle_ack(from, &ack.request_id) {
            self.ignored += 1;
        }
    }

    /// An answer in a packet.
    pub fn handle_response(&mut self, from: &Arc<str>, response: proto::RpcResponse) {
        use proto::rpc_response::Value;
        let result = match response.value {
            Some(Value::Payload(payload)) => Ok(payload),
            Some(Value::Error(error)) => Err(RpcError::from_wire(error)),
            Some(Value::CompressedPayload(_)) => {
                let data = "the answer is compressed in a way that was not announced".to_owned();
                Err(RpcError::built_in(RpcErrorCode::ApplicationError, Some(data)))
            }
            None => Ok(String::new()),
        };
        if !self.calls.handle_result(from, &response.request_id, result, &mut self.output) {
            self.ignored += 1;
        }
    }

    /// The whole text of a stream with [`RESPONSE_TOPIC`]; `None` when it did not come whole or is too long.
    pub fn handle_response_text(
        &mut self,
        from: &Arc<str>,
        attributes: &BTreeMap<String, String>,
        text: Option<String>,
    ) {
        let too_large = || {
            let data = "the stream with the answer broke off, or is too long".to_owned();
            RpcError::built_in(RpcErrorCode::ResponsePayloadTooLarge, Some(data))
        };
        let result = text.ok_or_else(too_large);
        let id = attributes.get(attribute::ID);
        if !id.is_some_and(|id| self.calls.handle_result(from, id, result, &mut self.output)) {
            self.ignored += 1;
        }
    }

    /// A request could not be sent, for this reason.
    pub fn handle_not_sent(&mut self, to: &Arc<str>, value: &Value, reason: &str) {
        if let Value::RpcRequest(request) = value {
            let error = RpcError::built_in(RpcErrorCode::SendFailed, Some(reason.to_owned()));
            self.calls.handle_result(to, &request.id, Err(error), &mut self.output);
        }
    }

    /// As [`handle_not_sent`](Self::handle_not_sent), of a request in a text stream.
    pub fn handle_text_not_sent(
        &mut self,
        to: &Arc<str>,
        attributes: &BTreeMap<String, String>,
        reason: &str,
    ) {
        if let (Some(id), true) = (attributes.get(attribute::ID), attributes.contains_key(attribute::METHOD))
        {
            let error = RpcError::built_in(RpcErrorCode::SendFailed, Some(reason.to_owned()));
            self.calls.handle_result(to, id, Err(error), &mut self.output);
        }
    }

    /// A participant has come (back).
    pub fn handle_participant_joined(&mut self, identity: &str) {
        self.calls.handle_participant_joined(identity);
    }

    /// A participant has left: calls to it fail unless it comes back soon, and its own are not answered.
    pub fn handle_participant_left(&mut self, now: Instant, identity: &str) {
        self.calls.handle_participant_left(now, identity);
        self.answers.handle_participant_left(identity);
    }

    /// The session is over.
    pub fn handle_end(&mut self) {
        self.calls.handle_end(&mut self.output);
        self.answers = Answers::default();
    }

    /// Time has come to what [`poll_timeout`](Self::poll_timeout) said.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.calls.handle_timeout(now, &mut self.output);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.calls.poll_timeout()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// Confirmations and answers that nobody waits for, and requests without an id.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }
}

#[cfg(test)]
mod tests;
