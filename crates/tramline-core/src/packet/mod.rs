//! Data packets (LiveKit `DataPacket`): messages on the channels `_reliable` and `_lossy`, to everybody or to some.
//!
//! [`reliable`] numbers what is sent and tells repeats of what is received, so that nothing is lost or doubled when a
//! connection is resumed. [`seal`] encrypts and decrypts. [`raw`] is what a server does with packets: it reads the
//! few fields that it needs and puts its own word about the sender in, leaving all other bytes as they are.

pub mod raw;
pub mod reliable;
pub mod seal;

use livekit_protocol as proto;

/// Longest packet that LiveKit's clients send, encoded, in bytes; a peer may announce less.
pub const MAX_PACKET_LEN: usize = 64_000;

/// How a packet travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DataPacketKind {
    /// In order, repeated until it arrives.
    #[default]
    Reliable,
    /// Once, in any order or not at all.
    Lossy,
}

impl DataPacketKind {
    /// LiveKit `DataPacket.Kind`. What packets say of themselves is not to be relied on: the channel decides.
    pub fn to_wire(self) -> i32 {
        let kind = match self {
            Self::Reliable => proto::data_packet::Kind::Reliable,
            Self::Lossy => proto::data_packet::Kind::Lossy,
        };
        kind as i32
    }
}
