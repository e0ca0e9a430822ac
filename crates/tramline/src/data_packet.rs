//! Messages beside the tracks: what can be sent to others once, and what came from them.

use bytes::Bytes;
pub use tramline_core::packet::DataPacketKind;

use crate::participant::ParticipantIdentity;

/// A message to the others in the room: [`LocalParticipant::publish_data`](crate::LocalParticipant::publish_data).
///
/// ```
/// use tramline::DataPacket;
///
/// let packet = DataPacket { topic: Some("grip".to_owned()), ..DataPacket::reliable(&b"close"[..]) };
/// # let _ = packet;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataPacket {
    /// The message. With everything around it at most 64,000 bytes; about 1,100 fit into one datagram.
    pub payload: Bytes,
    /// What it is about, for the receivers.
    pub topic: Option<String>,
    /// Whether it is repeated until it arrives, in order with the others; otherwise it is sent once.
    pub reliable: bool,
    /// Whom it is for; empty for everybody else in the room.
    pub destination_identities: Vec<ParticipantIdentity>,
    /// A mark, usually 16 random bytes, of which the server lets only one packet through: for an application that may send one twice. Not with end-to-end
    /// encryption, which hides it from the server.
    pub nonce: Option<Vec<u8>>,
}

impl DataPacket {
    /// A message that is repeated until it arrives.
    #[must_use]
    pub fn reliable(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), reliable: true, ..Self::default() }
    }

    /// A message that is sent once.
    #[must_use]
    pub fn lossy(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }
}

/// A tone of a telephone's keypad (LiveKit `SipDTMF`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SipDtmf {
    /// The code of the tone.
    pub code: u32,
    /// The key: `0` to `9`, `*`, `#`, `A` to `D`.
    pub digit: String,
    /// Whom it is for; empty for everybody else in the room.
    pub destination_identities: Vec<ParticipantIdentity>,
}

/// A message of a chat (LiveKit `ChatMessage`, the older form; newer clients chat in text streams with the topic `lk.chat`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatMessage {
    /// Unique; an edit names the message that it replaces.
    pub id: String,
    /// The text.
    pub message: String,
    /// When it was sent, in milliseconds since 1970 by the sender's clock.
    pub timestamp_ms: i64,
    /// When it was edited.
    pub edit_timestamp_ms: Option<i64>,
    /// The message with this id is to be removed.
    pub deleted: bool,
    /// An agent made it of what somebody said.
    pub generated: bool,
}

/// A packet as it is on the wire, for bindings that build streams and calls of their own: LiveKit's `DataPacket.value`.
///
/// Not covered by this crate's promises of compatibility: it changes with LiveKit's protocol.
pub mod wire {
    pub use livekit_protocol::data_packet::Value;
    pub use livekit_protocol::data_stream::{
        ByteHeader, Chunk, CompressionType, Header, OperationType, TextHeader, Trailer, header::ContentHeader,
    };
}
