//! Data packets that came: each to whom it concerns.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use tramline_core::{
    data_stream::{
        Info,
        send::{Reach, whole},
    },
    packet::{DataPacketKind, reliable::Lane},
    rpc::{Output, uuid},
};
use tramline_net::{clock, random};

use super::{Driver, packets::Received};
use crate::{
    data_packet::{ChatMessage, wire::Value},
    error::PublishDataError,
    event::RoomEvent,
    participant::RemoteParticipant,
    sender::{Outgoing, Wait},
};

impl Driver {
    pub(super) fn handle_packet(&mut self, kind: DataPacketKind, message: Bytes) {
        let Some(received) = self.packets.handle_message(kind, message) else { return };
        let Received { from, kind, is_encrypted, value } = received;
        let rpc = &mut self.calls.rpc;
        match value {
            Value::User(user) => {
                let participant = self.sender_of(&from);
                self.events.push(RoomEvent::DataReceived {
                    payload: user.payload.into(),
                    topic: user.topic.filter(|topic| !topic.is_empty()),
                    kind,
                    participant,
                    encrypted: is_encrypted,
                });
            }
            Value::SipDtmf(dtmf) => {
                let participant = self.sender_of(&from);
                let digit = Some(dtmf.digit).filter(|digit| !digit.is_empty());
                self.events.push(RoomEvent::SipDtmfReceived { code: dtmf.code, digit, participant });
            }
            Value::ChatMessage(chat) => {
                let participant = self.sender_of(&from);
                let message = ChatMessage {
                    id: chat.id,
                    message: chat.message,
                    timestamp_ms: chat.timestamp,
                    edit_timestamp_ms: chat.edit_timestamp,
                    deleted: chat.deleted,
                    generated: chat.generated,
                };
                self.events.push(RoomEvent::ChatMessage { message, participant });
            }
            Value::RpcRequest(request) => rpc.handle_request(&from, request),
            Value::RpcAck(ack) => rpc.handle_ack(&from, &ack),
            Value::RpcResponse(response) => rpc.handle_response(&from, response),
            Value::StreamHeader(header) => self.streams.handle_header(&from, header, is_encrypted, rpc),
            Value::StreamChunk(chunk) => self.streams.handle_chunk(&from, chunk, is_encrypted, rpc),
            Value::StreamTrailer(trailer) => self.streams.handle_trailer(&from, trailer, is_encrypted, rpc),
            // Speakers, transcriptions and metrics are about media.
            _ => self.ignored_messages += 1,
        }
    }

    fn sender_of(&self, identity: &str) -> Option<RemoteParticipant> {
        self.members.remote(identity)
    }

    /// Sends what calls have to say.
    pub(super) fn drain_calls(&mut self, now: Instant) -> bool {
        let mut is_busy = false;
        while let Some(output) = self.calls.poll_output() {
            is_busy = true;
            match output {
                Output::Send { to, value } => {
                    let for_error = value.clone();
                    if let Err(error) = self.send_value(now, &to, value, Lane::Prompt) {
                        tracing::debug!(%error, to = &*to, "a packet of a call was not sent");
                        self.calls.rpc.handle_not_sent(&to, &for_error, &error.to_string());
                    }
                }
                Output::SendText { to, topic, attributes, text } => {
                    if let Err(error) = self.send_text(now, &to, topic, &attributes, text) {
                        tracing::debug!(error, to = &*to, "the text of a call was not sent");
                        self.calls.rpc.handle_text_not_sent(&to, &attributes, &error);
                    }
                }
                Output::Invoke(_) | Output::Done { .. } => {}
            }
        }
        is_busy
    }

    fn send_text(
        &mut self,
        now: Instant,
        to: &Arc<str>,
        topic: &str,
        attributes: &BTreeMap<String, String>,
        text: String,
    ) -> Result<(), String> {
        let id = random::bytes().map_err(|error| error.to_string())?;
        let info = Info {
            id: uuid(u128::from_ne_bytes(id)),
            topic: topic.to_owned(),
            timestamp_ms: clock::unix_millis(),
            mime_type: "text/plain".to_owned(),
            attributes: attributes.clone(),
            ..Info::default()
        };
        let reach = self.session.participant(to).map_or(Reach::NONE, |recipient| Reach::ALL.and(recipient));
        // Compressing a short text costs more time than it saves.
        let compress = text.len() > WORTH_COMPRESSING;
        let (_, packets) = whole(info, text.into(), reach, compress, &[to.as_ref().to_owned()])
            .map_err(|error| error.to_string())?;
        let lane = if packets.is_inline() { Lane::Prompt } else { Lane::Bulk };
        for value in packets {
            self.send_value(now, to, value, lane).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn send_value(
        &mut self,
        now: Instant,
        to: &Arc<str>,
        value: Value,
        lane: Lane,
    ) -> Result<(), PublishDataError> {
        let Some(roster) = self.members.roster() else { return Err(PublishDataError::Disconnected) };
        let identity = roster.local.identity();
        let destinations = [to.as_ref().to_owned()];
        let packet = self.sender.encode(identity.as_str(), Outgoing::reliable(value, &destinations))?;
        let queued = self.sender.queue(&packet);
        self.session.prepare_sending();
        self.packets.send(now, packet, DataPacketKind::Reliable, lane, queued, Wait::Nothing);
        Ok(())
    }
}

/// Shorter texts fit into one datagram or two.
const WORTH_COMPRESSING: usize = 1_000;
