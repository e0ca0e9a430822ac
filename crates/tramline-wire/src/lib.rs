//! Data-track packets, extensions and ids: bytes to types and back.
//!
//! This crate knows how the data tracks of LiveKit look on the wire (packet format, version 0) and nothing
//! else: no state, no clock, no sockets. Parsing borrows from the caller's bytes, encoding writes into the
//! caller's buffer, and neither allocates.
//!
//! * A receiving client calls [`Packet::parse`]: the header is decoded, known extensions are read, unknown
//!   ones are skipped, the payload is a slice of the input.
//! * A sender fills a [`Header`], asks [`Header::encoded_len`] and calls [`Header::encode`]; the payload goes
//!   right behind it.
//! * A server that forwards calls [`forward::check`] and [`forward::rewrite_handle`]: what it does not
//!   understand reaches the subscriber untouched.
//!
//! ```
//! use tramline_wire::{Extensions, Header, Marker, Packet, TrackHandle};
//!
//! let header = Header {
//!     marker: Marker::Single,
//!     handle: TrackHandle::try_from(1)?,
//!     sequence: 0,
//!     frame_number: 0,
//!     timestamp: 90_000,
//!     extensions: Extensions { user_timestamp: Some(1_700_000_000_000), ..Extensions::default() },
//! };
//! let mut datagram = vec![0; header.encoded_len()];
//! header.encode(&mut datagram)?;
//! datagram.extend_from_slice(b"hello");
//!
//! let packet = Packet::parse(&datagram)?;
//! assert_eq!(packet.header, header);
//! assert_eq!(packet.payload, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod forward;

mod extension;
mod handle;
mod header;
mod packet;
mod sid;

pub use extension::{E2eeExtension, Extensions};
pub use handle::{HandleError, TrackHandle};
pub use header::{EncodeError, Header, Marker, ParseError};
pub use packet::Packet;
pub use sid::{ParticipantSid, RoomSid, SidError, TrackSid};

/// Longest packet that is sent, header included, in bytes. LiveKit's clients use the same limit for what they
/// call the MTU of a data track; it leaves room for one SCTP message below 16 KiB.
pub const MAX_PACKET_LEN: usize = 16_000;

/// Most packets that one frame may have: official receivers drop a frame when one more arrives.
pub const MAX_PACKETS_PER_FRAME: usize = 128;

/// Length in bytes of a header without extensions; no packet is shorter.
pub const MIN_HEADER_LEN: usize = 12;

/// Length in bytes of the longest header that [`Header::encode`] writes (both extensions), for a buffer on the
/// stack. Received headers can be longer: unknown extensions count too.
pub const MAX_ENCODED_HEADER_LEN: usize = 40;
