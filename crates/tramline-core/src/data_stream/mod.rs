//! Text and byte streams (LiveKit `DataStream`): contents of any length in packets of 15,000 bytes, or a short one in a
//! single packet.
//!
//! [`send`] cuts contents into packets. [`receive`] keeps the streams that are open and finds what is missing; the
//! contents go through a [`Decoder`] wherever they are read, so that nothing is inflated before it is wanted.

mod decode;
pub mod receive;
pub mod send;

use std::collections::BTreeMap;

use livekit_protocol as proto;
use proto::data_stream as wire;
use thiserror::Error;

pub use decode::Decoder;
pub use wire::OperationType;

/// Content bytes in one chunk, as in LiveKit's clients; the longest header packet is no longer.
pub const CHUNK_LEN: usize = 15_000;

/// Clients from this `client_protocol` on take RPC payloads in text streams.
pub const RPC_OVER_STREAMS_SINCE: i32 = 1;

/// Clients from this `client_protocol` on take a whole stream in its header.
pub const INLINE_SINCE: i32 = 2;

/// LiveKit `ClientInfo.Capability.CAP_COMPRESSION_DEFLATE_RAW`.
pub const CAPABILITY_DEFLATE: i32 = proto::client_info::Capability::CapCompressionDeflateRaw as i32;

/// What a stream says of itself (LiveKit `DataStream.Header`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// Unique among the streams of its sender.
    pub id: String,
    /// What it is about: receivers choose by it.
    pub topic: String,
    /// When it began, in milliseconds since 1970 by the sender's clock.
    pub timestamp_ms: i64,
    /// What is in it.
    pub mime_type: String,
    /// Bytes of its contents, when they are known from the start.
    pub total_length: Option<u64>,
    /// Keys and values of the application's.
    pub attributes: BTreeMap<String, String>,
    /// Whether its packets are encrypted.
    pub is_encrypted: bool,
    /// Text or bytes.
    pub content: Content,
}

/// What is in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// UTF-8.
    Text(Text),
    /// Anything.
    Bytes {
        /// The name of the file; empty for none.
        name: String,
    },
}

/// What belongs to a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// What the text does.
    pub operation: Operation,
    /// Counts the edits of a text.
    pub version: i32,
    /// The stream that it answers.
    pub reply_to_stream_id: Option<String>,
    /// Byte streams that belong to it.
    pub attached_stream_ids: Vec<String>,
    /// An agent made it of what somebody said.
    pub generated: bool,
}

/// What a text does (LiveKit `OperationType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Operation {
    /// It is new.
    #[default]
    Create,
    /// It replaces an earlier one.
    Update,
    /// It takes an earlier one back.
    Delete,
    /// It is a reaction to another one.
    Reaction,
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(Text::default())
    }
}

/// Why a stream did not come whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The sender gave it up and said why.
    #[error("the sender ended the stream before its end: {reason}")]
    Aborted {
        /// In the sender's words.
        reason: String,
    },
    /// The sender has left the room, or the session has ended.
    #[error("the sender is gone, and the stream was not complete")]
    SenderGone,
    /// A chunk is missing.
    #[error("chunk {missing} of the stream is missing")]
    Gap {
        /// Its number.
        missing: u64,
    },
    /// It ended before the length that it announced.
    #[error("the stream ended after {received} of {announced} bytes")]
    Truncated {
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced.
        announced: u64,
    },
    /// It is longer than it announced, or than is accepted.
    #[error("the stream has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: u64,
    },
    /// Nobody read it while it came, and too much was waiting.
    #[error(
        "the stream was not read quickly enough: more than {limit} bytes of streams waited (RoomOptions::stream_capacity)"
    )]
    Unread {
        /// Bytes that may wait.
        limit: usize,
    },
    /// Some of its packets are encrypted and some are not: they are not of one sender.
    #[error("the stream has encrypted packets and others, so that somebody else may have sent some of them")]
    MixedEncryption,
    /// The compressed contents are damaged.
    #[error("the compressed contents of the stream are damaged")]
    Compression,
    /// A text that is not UTF-8.
    #[error("the text of the stream is not UTF-8")]
    Utf8,
}

impl Info {
    /// Reads a header; `None` when it is of an unknown kind.
    #[allow(deprecated, reason = "the field must be left out")]
    pub fn from_wire(header: wire::Header, is_encrypted: bool) -> Option<Self> {
        let content = match header.content_header? {
            wire::header::ContentHeader::TextHeader(text) => Content::Text(Text {
                operation: match OperationType::try_from(text.operation_type) {
                    Ok(OperationType::Update) => Operation::Update,
                    Ok(OperationType::Delete) => Operation::Delete,
                    Ok(OperationType::Reaction) => Operation::Reaction,
                    Ok(OperationType::Create) | Err(_) => Operation::Create,
                },
                version: text.version,
                reply_to_stream_id: Some(text.reply_to_stream_id).filter(|id| !id.is_empty()),
                attached_stream_ids: text.attached_stream_ids,
                generated: text.generated,
            }),
            wire::header::ContentHeader::ByteHeader(bytes) => Content::Bytes { name: bytes.name },
        };
        Some(Self {
            id: header.stream_id,
            topic: header.topic,
            timestamp_ms: header.timestamp,
            mime_type: header.mime_type,
            total_length: header.total_length,
            attributes: header.attributes.into_iter().collect(),
            is_encrypted,
            content,
        })
    }

    /// The header that says this.
    pub fn to_wire(&self) -> wire::Header {
        let content_header = match &self.content {
            Content::Text(text) => wire::header::ContentHeader::TextHeader(wire::TextHeader {
                operation_type: match text.operation {
                    Operation::Create => OperationType::Create,
                    Operation::Update => OperationType::Update,
                    Operation::Delete => OperationType::Delete,
                    Operation::Reaction => OperationType::Reaction,
                } as i32,
                version: text.version,
                reply_to_stream_id: text.reply_to_stream_id.clone().unwrap_or_default(),
                attached_stream_ids: text.attached_stream_ids.clone(),
                generated: text.generated,
            }),
            Content::Bytes { name } => {
                wire::header::ContentHeader::ByteHeader(wire::ByteHeader { name: name.clone() })
            }
        };
        wire::Header {
            stream_id: self.id.clone(),
            timestamp: self.timestamp_ms,
            topic: self.topic.clone(),
            mime_type: self.mime_type.clone(),
            total_length: self.total_length,
            attributes: self.attributes.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            content_header: Some(content_header),
            ..wire::Header::default()
        }
    }

    /// Whether it is text.
    pub fn is_text(&self) -> bool {
        matches!(self.content, Content::Text(_))
    }
}
