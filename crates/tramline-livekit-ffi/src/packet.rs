//! Packets that the wrapper sends: data, tones, chat, and the packets of streams that it makes itself.

use std::sync::Arc;

use tramline::{
    ChatMessage, DataPacket, SipDtmf,
    wire::{ByteHeader, Chunk, ContentHeader, Header, TextHeader, Trailer, Value},
};

use crate::{
    client::Client,
    convert::{self, map_of},
    handle::Handle,
    participant::later,
    proto::{self, data_stream, ffi_event::Message as Event, send_chat_message_callback as chat_callback},
};

pub(crate) fn publish(
    client: &Arc<Client>,
    request: proto::PublishDataRequest,
) -> proto::PublishDataResponse {
    let async_id = client.async_id(request.request_async_id);
    let payload = crate::copied(request.data_ptr, request.data_len);
    let packet = payload.ok_or_else(|| "the data is nowhere".to_owned()).map(|payload| DataPacket {
        payload,
        topic: request.topic,
        reliable: request.reliable,
        destination_identities: convert::identities(request.destination_identities),
        nonce: None,
    });
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.publish_data(packet?).await.map_err(|error| error.to_string()),
        move |outcome| Event::PublishData(proto::PublishDataCallback { async_id, error: outcome.err() }),
    );
    proto::PublishDataResponse { async_id }
}

pub(crate) fn publish_dtmf(
    client: &Arc<Client>,
    request: proto::PublishSipDtmfRequest,
) -> proto::PublishSipDtmfResponse {
    let async_id = client.async_id(request.request_async_id);
    let tone = SipDtmf {
        code: request.code,
        digit: request.digit,
        destination_identities: convert::identities(request.destination_identities),
    };
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.publish_dtmf(tone).await,
        move |outcome| {
            Event::PublishSipDtmf(proto::PublishSipDtmfCallback { async_id, error: outcome.err() })
        },
    );
    proto::PublishSipDtmfResponse { async_id }
}

pub(crate) fn send_chat(
    client: &Arc<Client>,
    request: proto::SendChatMessageRequest,
) -> proto::SendChatMessageResponse {
    let async_id = client.async_id(request.request_async_id);
    let destinations = convert::identities(request.destination_identities);
    let sender = convert::identity(request.sender_identity);
    let text = request.message;
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.send_chat_message(text, destinations, sender).await,
        move |outcome| chat_event(async_id, outcome),
    );
    proto::SendChatMessageResponse { async_id }
}

pub(crate) fn edit_chat(
    client: &Arc<Client>,
    request: proto::EditChatMessageRequest,
) -> proto::SendChatMessageResponse {
    let async_id = client.async_id(request.request_async_id);
    let destinations = convert::identities(request.destination_identities);
    let sender = convert::identity(request.sender_identity);
    let original = ChatMessage {
        id: request.original_message.id,
        message: request.original_message.message,
        timestamp_ms: request.original_message.timestamp,
        edit_timestamp_ms: request.original_message.edit_timestamp,
        deleted: request.original_message.deleted.unwrap_or_default(),
        generated: request.original_message.generated.unwrap_or_default(),
    };
    let text = request.edit_text;
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.edit_chat_message(text, original, destinations, sender).await,
        move |outcome| chat_event(async_id, outcome),
    );
    proto::SendChatMessageResponse { async_id }
}

fn chat_event(async_id: u64, outcome: Result<ChatMessage, String>) -> Event {
    let message = match outcome {
        Ok(message) => chat_callback::Message::ChatMessage(convert::chat(message)),
        Err(error) => chat_callback::Message::Error(error),
    };
    Event::ChatMessage(proto::SendChatMessageCallback { async_id, message: Some(message) })
}

pub(crate) fn send_header(
    client: &Arc<Client>,
    request: proto::SendStreamHeaderRequest,
) -> proto::SendStreamHeaderResponse {
    let async_id = client.async_id(request.request_async_id);
    let header = request.header;
    let content_header = header.content_header.map(|content| match content {
        data_stream::header::ContentHeader::TextHeader(text) => ContentHeader::TextHeader(TextHeader {
            operation_type: text.operation_type,
            version: text.version.unwrap_or_default(),
            reply_to_stream_id: text.reply_to_stream_id.unwrap_or_default(),
            attached_stream_ids: text.attached_stream_ids,
            generated: text.generated.unwrap_or_default(),
        }),
        data_stream::header::ContentHeader::ByteHeader(bytes) => {
            ContentHeader::ByteHeader(ByteHeader { name: bytes.name })
        }
    });
    let header = Header {
        stream_id: header.stream_id,
        timestamp: header.timestamp,
        topic: header.topic,
        mime_type: header.mime_type,
        total_length: header.total_length,
        attributes: map_of!(header.attributes),
        content_header,
        ..Header::default()
    };
    let to = (request.local_participant_handle, request.destination_identities, request.sender_identity);
    send_raw(client, to, Value::StreamHeader(header), move |error| {
        Event::SendStreamHeader(proto::SendStreamHeaderCallback { async_id, error })
    });
    proto::SendStreamHeaderResponse { async_id }
}

pub(crate) fn send_chunk(
    client: &Arc<Client>,
    request: proto::SendStreamChunkRequest,
) -> proto::SendStreamChunkResponse {
    let async_id = client.async_id(request.request_async_id);
    let chunk = Chunk {
        stream_id: request.chunk.stream_id,
        chunk_index: request.chunk.chunk_index,
        content: request.chunk.content.into(),
        version: request.chunk.version.unwrap_or_default(),
        ..Chunk::default()
    };
    let to = (request.local_participant_handle, request.destination_identities, request.sender_identity);
    send_raw(client, to, Value::StreamChunk(chunk), move |error| {
        Event::SendStreamChunk(proto::SendStreamChunkCallback { async_id, error })
    });
    proto::SendStreamChunkResponse { async_id }
}

pub(crate) fn send_trailer(
    client: &Arc<Client>,
    request: proto::SendStreamTrailerRequest,
) -> proto::SendStreamTrailerResponse {
    let async_id = client.async_id(request.request_async_id);
    let trailer = Trailer {
        stream_id: request.trailer.stream_id,
        reason: request.trailer.reason,
        attributes: map_of!(request.trailer.attributes),
    };
    let to = (request.local_participant_handle, request.destination_identities, request.sender_identity);
    send_raw(client, to, Value::StreamTrailer(trailer), move |error| {
        Event::SendStreamTrailer(proto::SendStreamTrailerCallback { async_id, error })
    });
    proto::SendStreamTrailerResponse { async_id }
}

/// `to` is the local participant, those who get it, and in whose name.
fn send_raw(
    client: &Arc<Client>,
    (participant, destinations, sender): (Handle, Vec<String>, String),
    value: Value,
    tell: impl FnOnce(Option<String>) -> Event + Send + 'static,
) {
    let destinations = convert::identities(destinations);
    later(
        client,
        participant,
        async move |participant| {
            let own = participant.identity();
            let sender = convert::identity(Some(sender)).filter(|sender| *sender != own);
            participant.publish_raw(value, destinations, sender).await
        },
        move |outcome| tell(outcome.err()),
    );
}
