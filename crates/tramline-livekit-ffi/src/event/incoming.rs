//! What others send beside their tracks: packets, tones, chat, streams.

use bytes::Bytes;
use tramline::{
    ByteStreamReader, ChatMessage, DataPacketKind, ParticipantIdentity, RemoteParticipant, TakeCell,
    TextStreamReader,
    wire::{Chunk, ContentHeader, Header, Trailer},
};

use super::Listener;
use crate::{
    client::handles,
    convert,
    handle::{Handle, Object, Reader},
    proto::{self, data_packet_received::Value, room_event::Message as Event},
};

impl Listener {
    /// The bytes are where they came; only their address travels.
    pub(super) fn tell_packet(
        &self,
        payload: Bytes,
        topic: Option<String>,
        kind: DataPacketKind,
        sender: Option<&RemoteParticipant>,
    ) {
        let data = proto::BufferInfo { data_ptr: payload.as_ptr() as u64, data_len: payload.len() as u64 };
        let handle = handles().insert(Object::Buffer(payload));
        let data = proto::OwnedBuffer { handle: convert::owned(handle), data };
        self.tell_value(kind, sender, Value::User(proto::UserPacket { data, topic }));
        self.forget_unless_dropped(handle);
    }

    pub(super) fn tell_dtmf(&self, code: u32, digit: Option<String>, sender: Option<&RemoteParticipant>) {
        let tone = Value::SipDtmf(proto::SipDtmf { code, digit });
        self.tell_value(DataPacketKind::Reliable, sender, tone);
    }

    fn tell_value(&self, kind: DataPacketKind, sender: Option<&RemoteParticipant>, value: Value) {
        let kind = match kind {
            DataPacketKind::Lossy => proto::DataPacketKind::KindLossy,
            DataPacketKind::Reliable => proto::DataPacketKind::KindReliable,
        };
        self.tell(Event::DataPacketReceived(proto::DataPacketReceived {
            kind: kind as i32,
            participant_identity: name(sender),
            value: Some(value),
        }));
    }

    pub(super) fn tell_chat(&self, message: ChatMessage, sender: Option<&RemoteParticipant>) {
        let event = proto::ChatMessageReceived {
            message: convert::chat(message),
            participant_identity: name(sender),
        };
        self.tell(Event::ChatMessage(event));
    }

    pub(super) fn tell_text_stream(
        &self,
        reader: TakeCell<TextStreamReader>,
        identity: &ParticipantIdentity,
    ) {
        let Some(opened) = reader.take() else { return };
        let info = convert::text_info(opened.info());
        let handle = handles().insert(Object::TextReader(Reader::new(opened)));
        let reader = proto::OwnedTextStreamReader { handle: convert::owned(handle), info };
        let participant_identity = convert::text(identity);
        self.tell(Event::TextStreamOpened(proto::TextStreamOpened { reader, participant_identity }));
        self.forget_unless_dropped(handle);
    }

    pub(super) fn tell_byte_stream(
        &self,
        reader: TakeCell<ByteStreamReader>,
        identity: &ParticipantIdentity,
    ) {
        let Some(opened) = reader.take() else { return };
        let info = convert::byte_info(opened.info());
        let handle = handles().insert(Object::ByteReader(Reader::new(opened)));
        let reader = proto::OwnedByteStreamReader { handle: convert::owned(handle), info };
        let participant_identity = convert::text(identity);
        self.tell(Event::ByteStreamOpened(proto::ByteStreamOpened { reader, participant_identity }));
        self.forget_unless_dropped(handle);
    }

    /// A wrapper that drops nothing has taken what it wants when it was told.
    fn forget_unless_dropped(&self, handle: Handle) {
        if !self.client.habits.drops_what_came {
            handles().remove(handle);
        }
    }

    pub(super) fn tell_header(&self, header: Header, identity: &ParticipantIdentity) {
        use proto::data_stream::{ByteHeader, TextHeader, header::ContentHeader as Content};
        let content_header = header.content_header.map(|content| match content {
            ContentHeader::TextHeader(text) => Content::TextHeader(TextHeader {
                operation_type: text.operation_type,
                version: Some(text.version),
                reply_to_stream_id: Some(text.reply_to_stream_id),
                attached_stream_ids: text.attached_stream_ids,
                generated: Some(text.generated),
            }),
            ContentHeader::ByteHeader(bytes) => Content::ByteHeader(ByteHeader { name: bytes.name }),
        });
        let entry =
            |(key, value)| proto::data_stream::header::AttributesEntry { key: Some(key), value: Some(value) };
        self.tell(Event::StreamHeaderReceived(proto::DataStreamHeaderReceived {
            participant_identity: convert::text(identity),
            header: proto::data_stream::Header {
                stream_id: header.stream_id,
                timestamp: header.timestamp,
                mime_type: header.mime_type,
                topic: header.topic,
                total_length: header.total_length,
                attributes: header.attributes.into_iter().map(entry).collect(),
                content_header,
            },
        }));
    }

    pub(super) fn tell_chunk(&self, chunk: Chunk, identity: &ParticipantIdentity) {
        self.tell(Event::StreamChunkReceived(proto::DataStreamChunkReceived {
            participant_identity: convert::text(identity),
            chunk: proto::data_stream::Chunk {
                stream_id: chunk.stream_id,
                chunk_index: chunk.chunk_index,
                content: chunk.content.into(),
                version: Some(chunk.version),
                iv: None,
            },
        }));
    }

    pub(super) fn tell_trailer(&self, trailer: Trailer, identity: &ParticipantIdentity) {
        let entry = |(key, value)| proto::data_stream::trailer::AttributesEntry {
            key: Some(key),
            value: Some(value),
        };
        self.tell(Event::StreamTrailerReceived(proto::DataStreamTrailerReceived {
            participant_identity: convert::text(identity),
            trailer: proto::data_stream::Trailer {
                stream_id: trailer.stream_id,
                reason: trailer.reason,
                attributes: trailer.attributes.into_iter().map(entry).collect(),
            },
        }));
    }
}

/// Empty for the server, and for whoever is not seen.
fn name(sender: Option<&RemoteParticipant>) -> String {
    sender.map(|sender| convert::text(&sender.identity())).unwrap_or_default()
}
