//! The caller's side.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::data_packet::Value;

use super::{
    ACK_TIMEOUT, DEPARTURE_GRACE, MAX_PACKET_PAYLOAD, Output, PACKET_VERSION, REQUEST_TOPIC, RpcError,
    RpcErrorCode, STREAM_VERSION, attribute,
};
use crate::data_stream::RPC_OVER_STREAMS_SINCE;

/// Stands for one call until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

/// What to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whom.
    pub destination: Arc<str>,
    /// Which method.
    pub method: String,
    /// With what.
    pub payload: String,
    /// For how long, all in all.
    pub response_timeout: Duration,
}

/// The calls that are under way, by the id on the wire.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pending: BTreeMap<Box<str>, Pending>,
    last: u64,
}

#[derive(Debug)]
struct Pending {
    call: CallId,
    destination: Arc<str>,
    deadline: Instant,
    /// Until when the request must be confirmed; `None` once it is.
    ack_deadline: Option<Instant>,
    /// When the call fails because its recipient has left.
    gone: Option<Instant>,
}

impl Calls {
    pub(super) fn perform(
        &mut self,
        now: Instant,
        random: u128,
        call: Call,
        client_protocol: Option<i32>,
        output: &mut VecDeque<Output>,
    ) -> CallId {
        self.last += 1;
        let id = CallId(self.last);
        let fail = |code, data| Output::Done { call: id, result: Err(RpcError::built_in(code, data)) };
        let Some(client_protocol) = client_protocol else {
            let data = format!("{:?} is not in the room", call.destination);
            output.push_back(fail(RpcErrorCode::RecipientNotFound, Some(data)));
            return id;
        };
        let over_streams = client_protocol >= RPC_OVER_STREAMS_SINCE;
        if !over_streams && call.payload.len() > MAX_PACKET_PAYLOAD {
            let data = format!(
                "the payload has {} bytes, and the recipient's client takes at most {MAX_PACKET_PAYLOAD}",
                call.payload.len()
            );
            output.push_back(fail(RpcErrorCode::RequestPayloadTooLarge, Some(data)));
            return id;
        }
        let request_id = uuid(random);
        let handler_time = call.response_timeout.saturating_sub(ACK_TIMEOUT).max(SHORTEST_HANDLER_TIME);
        let response_timeout_ms = u32::try_from(handler_time.as_millis()).unwrap_or(u32::MAX);
        let Call { destination, method, payload, response_timeout } = call;
        self.pending.insert(
            request_id.as_str().into(),
            Pending {
                call: id,
                destination: destination.clone(),
                deadline: now + response_timeout.min(LONGEST_CALL),
                ack_deadline: Some(now + ACK_TIMEOUT),
                gone: None,
            },
        );
        output.push_back(if over_streams {
            let attributes = [
                (attribute::ID, request_id),
                (attribute::METHOD, method),
                (attribute::TIMEOUT, response_timeout_ms.to_string()),
                (attribute::VERSION, STREAM_VERSION.to_owned()),
            ];
            let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            Output::SendText { to: destination, topic: REQUEST_TOPIC, attributes, text: payload }
        } else {
            let value = Value::RpcRequest(proto::RpcRequest {
                id: request_id,
                method,
                payload,
                response_timeout_ms,
                version: PACKET_VERSION,
                ..proto::RpcRequest::default()
            });
            Output::Send { to: destination, value }
        });
        id
    }

    pub(super) fn handle_ack(&mut self, from: &Arc<str>, id: &str) -> bool {
        match self.pending.get_mut(id) {
            Some(pending) if pending.destination == *from => {
                pending.ack_deadline = None;
                true
            }
            _ => false,
        }
    }

    pub(super) fn handle_result(
        &mut self,
        from: &Arc<str>,
        id: &str,
        result: Result<String, RpcError>,
        output: &mut VecDeque<Output>,
    ) -> bool {
        if self.pending.get(id).is_none_or(|pending| pending.destination != *from) {
            return false;
        }
        if let Some(pending) = self.pending.remove(id) {
            output.push_back(Output::Done { call: pending.call, result });
        }
        true
    }

    pub(super) fn handle_participant_joined(&mut self, identity: &str) {
        for pending in self.pending.values_mut().filter(|pending| &*pending.destination == identity) {
            pending.gone = None;
        }
    }

    pub(super) fn handle_participant_left(&mut self, now: Instant, identity: &str) {
        for pending in self.pending.values_mut().filter(|pending| &*pending.destination == identity) {
            pending.gone = Some(now + DEPARTURE_GRACE);
        }
    }

    pub(super) fn handle_end(&mut self, output: &mut VecDeque<Output>) {
        for pending in std::mem::take(&mut self.pending).into_values() {
            let data = "the session has ended; the request may have arrived".to_owned();
            let error = RpcError::built_in(RpcErrorCode::RecipientDisconnected, Some(data));
            output.push_back(Output::Done { call: pending.call, result: Err(error) });
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, output: &mut VecDeque<Output>) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.pending.retain(|_, pending| {
            let code = if is_due(pending.gone) {
                RpcErrorCode::RecipientDisconnected
            } else if pending.deadline <= now {
                RpcErrorCode::ResponseTimeout
            } else if is_due(pending.ack_deadline) {
                RpcErrorCode::ConnectionTimeout
            } else {
                return true;
            };
            output
                .push_back(Output::Done { call: pending.call, result: Err(RpcError::built_in(code, None)) });
            false
        });
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let times = |pending: &Pending| [Some(pending.deadline), pending.ack_deadline, pending.gone];
        self.pending.values().flat_map(times).flatten().min()
    }
}

/// A random UUID, as LiveKit's clients name calls and streams (RFC 9562 section 5.4).
pub fn uuid(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let mut id = String::with_capacity(36);
    for part in [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]] {
        // Writing to a string does not fail.
        let _ = write!(id, "{}{part}", if id.is_empty() { "" } else { "-" });
    }
    id
}

/// What the recipient is told at least.
const SHORTEST_HANDLER_TIME: Duration = Duration::from_secs(1);

/// Nobody waits for longer; larger numbers would overflow clocks.
const LONGEST_CALL: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_random_uuids() {
        assert_eq!(super::uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(super::uuid(0), "00000000-0000-4000-8000-000000000000");
    }
}
