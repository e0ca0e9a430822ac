//! Requests that this library has no answer to: they get the error that LiveKit's messages provide for.
//!
//! A table of numbers instead of messages: the messages of media are many and large, and nothing of them is needed but the place of the
//! request's id and of the error. A test compares the table with the descriptions in LiveKit's package.

use std::sync::Arc;

use prost::{
    DecodeError,
    bytes::Buf,
    encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};

use crate::client::Client;

/// How one kind of request is refused.
struct Kind {
    /// Its number in `FfiRequest`.
    request: u32,
    /// LiveKit's name for it.
    name: &'static str,
    /// The number of its response in `FfiResponse`.
    response: u32,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    /// The response has a text in this field; it may need a pointer and a length of nothing as well.
    Text { field: u32, needs_buffer: bool },
    /// The response has an id in field 1. The event of this number has it too, and the error in this field.
    Later { id: u32, event: u32, field: u32 },
    /// No place for an error: the request fails as a whole.
    Nowhere,
}

const fn text(request: u32, name: &'static str, response: u32, field: u32) -> Kind {
    Kind { request, name, response, how: How::Text { field, needs_buffer: false } }
}

const fn buffer(request: u32, name: &'static str, response: u32, field: u32) -> Kind {
    Kind { request, name, response, how: How::Text { field, needs_buffer: true } }
}

const fn later(request: u32, name: &'static str, id: u32, response: u32, event: u32, field: u32) -> Kind {
    Kind { request, name, response, how: How::Later { id, event, field } }
}

const fn nowhere(request: u32, name: &'static str) -> Kind {
    Kind { request, name, response: 0, how: How::Nowhere }
}

/// Every kind that [`FfiRequest`](crate::proto::FfiRequest) does not have.
const KINDS: [Kind; 45] = [
    later(5, "publish_track", 4, 5, 9, 2),
    later(6, "unpublish_track", 4, 6, 10, 2),
    nowhere(8, "set_subscribed"),
    later(13, "publish_transcription", 5, 13, 12, 2),
    nowhere(15, "create_video_track"),
    nowhere(16, "create_audio_track"),
    nowhere(17, "local_track_mute"),
    nowhere(18, "enable_remote_track"),
    later(19, "get_stats", 2, 19, 17, 2),
    nowhere(20, "new_video_stream"),
    nowhere(21, "new_video_source"),
    nowhere(22, "capture_video_frame"),
    text(23, "video_convert", 23, 1),
    nowhere(24, "video_stream_from_participant"),
    nowhere(25, "new_audio_stream"),
    nowhere(26, "new_audio_source"),
    later(27, "capture_audio_frame", 3, 27, 13, 2),
    nowhere(28, "clear_audio_buffer"),
    nowhere(29, "new_audio_resampler"),
    nowhere(30, "remix_and_resample"),
    nowhere(32, "audio_stream_from_participant"),
    text(33, "new_sox_resampler", 33, 2),
    buffer(34, "push_sox_resampler", 34, 3),
    buffer(35, "flush_sox_resampler", 35, 3),
    nowhere(42, "enable_remote_track_publication"),
    nowhere(43, "update_remote_track_publication_dimension"),
    nowhere(47, "set_data_channel_buffered_amount_low_threshold"),
    text(49, "load_audio_filter_plugin", 48, 1),
    nowhere(50, "new_apm"),
    text(51, "apm_process_stream", 50, 1),
    text(52, "apm_process_reverse_stream", 51, 1),
    text(53, "apm_set_stream_delay", 52, 1),
    nowhere(68, "set_remote_track_publication_quality"),
    later(76, "simulate_scenario", 3, 75, 44, 2),
    text(77, "new_platform_audio", 76, 2),
    text(78, "get_audio_devices", 77, 3),
    text(79, "set_recording_device", 78, 1),
    text(80, "set_playout_device", 79, 1),
    text(81, "start_recording", 80, 1),
    text(82, "stop_recording", 81, 1),
    nowhere(87, "capture_encoded_video_frame"),
    nowhere(88, "take_encoded_video_source_feedback"),
    text(89, "start_capture", 89, 1),
    text(90, "stop_capture", 90, 1),
    later(91, "new_capture_source", 3, 91, 47, 2),
];

/// The response to a request of another kind than those that are served; `None` when there is none, or no such request.
pub(crate) fn handle(client: &Arc<Client>, request: &[u8]) -> Option<Vec<u8>> {
    let outcome = body(request);
    let Ok(Some((number, body))) = outcome else {
        tracing::error!("a request without a message");
        return None;
    };
    let Some(kind) = KINDS.iter().find(|kind| kind.request == number) else {
        tracing::error!(number, "a request of a kind that nobody knows");
        return None;
    };
    let message = format!(
        "Tramline does not support the request {}: it carries data, and neither sound nor pictures",
        kind.name
    );
    match kind.how {
        How::Text { field, needs_buffer } => {
            let mut response = Vec::new();
            if needs_buffer {
                put_number(&mut response, 1, 0);
                put_number(&mut response, 2, 0);
            }
            put_bytes(&mut response, field, message.as_bytes());
            Some(wrapped(kind.response, &response))
        }
        How::Later { id, event, field } => {
            let async_id = client.async_id(number_in(body, id).ok()?);
            let mut told = Vec::new();
            put_number(&mut told, 1, async_id);
            put_bytes(&mut told, field, message.as_bytes());
            let (later, told) = (Arc::clone(client), wrapped(event, &told));
            client.spawn(async move { later.emit_encoded(&told) });
            let mut response = Vec::new();
            put_number(&mut response, 1, async_id);
            Some(wrapped(kind.response, &response))
        }
        How::Nowhere => {
            tracing::error!("{message}");
            None
        }
    }
}

/// The message that stands in an envelope last, as its number and its bytes.
fn body(mut envelope: &[u8]) -> Result<Option<(u32, &[u8])>, DecodeError> {
    let mut last = None;
    while envelope.has_remaining() {
        let (number, wire_type) = decode_key(&mut envelope)?;
        let before = envelope;
        skip_field(wire_type, number, &mut envelope, Default::default())?;
        if wire_type == WireType::LengthDelimited {
            let mut field = &before[..before.len() - envelope.len()];
            decode_varint(&mut field)?;
            last = Some((number, field));
        }
    }
    Ok(last)
}

/// A number in a message.
fn number_in(mut message: &[u8], field: u32) -> Result<Option<u64>, DecodeError> {
    let mut found = None;
    while message.has_remaining() {
        let (number, wire_type) = decode_key(&mut message)?;
        if (number, wire_type) == (field, WireType::Varint) {
            found = Some(decode_varint(&mut message)?);
        } else {
            skip_field(wire_type, number, &mut message, Default::default())?;
        }
    }
    Ok(found)
}

fn wrapped(number: u32, message: &[u8]) -> Vec<u8> {
    let mut envelope = Vec::new();
    put_bytes(&mut envelope, number, message);
    envelope
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    encode_key(field, WireType::Varint, out);
    encode_varint(value, out);
}
