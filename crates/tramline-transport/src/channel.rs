//! The three data channels of a LiveKit session.

use std::time::Instant;

use thiserror::Error;

/// One of LiveKit's three data channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// `_reliable`: ordered, retransmitted without limit.
    Reliable,
    /// `_lossy`: unordered, never retransmitted.
    Lossy,
    /// `_data_track`: unordered, never retransmitted.
    DataTrack,
}

impl Channel {
    /// All channels, in the order in which a client creates them.
    pub const ALL: [Self; 3] = [Self::Reliable, Self::Lossy, Self::DataTrack];

    /// The label by which both sides know the channel.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "_reliable",
            Self::Lossy => "_lossy",
            Self::DataTrack => "_data_track",
        }
    }

    /// The channel with this label, if it is one of the three.
    pub fn from_label(label: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.label().as_bytes() == label)
    }

    /// SCTP stream id when both sides announce LiveKit protocol 18 or later and skip the in-band handshake.
    pub const fn negotiated_id(self) -> u16 {
        match self {
            Self::Reliable => 100,
            Self::Lossy => 101,
            Self::DataTrack => 102,
        }
    }

    /// Whether a lost message is sent again, and order kept.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Reliable)
    }
}

/// How one message is sent, in [`Peer::send_with`](crate::Peer::send_with). The default sends it as its channel was
/// announced.
///
/// None of this shows on the wire but in what arrives: whether and when something is sent again is up to the sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// From when on the message is of no use: what has not left or was lost by then is not sent any more, and the message
    /// is given up whole. Does not count on a channel that is reliable.
    pub deadline: Option<Instant>,
    /// With a deadline: lost parts are sent again while they can arrive in time, although the channel was announced
    /// without retransmission. The message may arrive after newer ones.
    pub retransmit: bool,
    /// Spares of a message of one packet: as long as it is not acknowledged, so many of the next messages of the same
    /// [`flow`](Self::flow) are preceded by it, so that a loss is mended one message later and before that message is
    /// seen. Spares count in the window and stop while more waits than the path takes. See
    /// [`Peer::suggested_copies`](crate::Peer::suggested_copies).
    pub copies: u8,
    /// What the message belongs to, any number: a track.
    pub flow: u32,
    /// Comes back in [`PeerEvent::Acknowledged`](crate::PeerEvent::Acknowledged) when the peer's SCTP has all of the
    /// message.
    pub receipt: Option<u64>,
}

/// Why [`Peer::send`](crate::Peer::send) took nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is not open yet, or not any more.
    #[error("channel {} is not open; wait for PeerEvent::ChannelOpen", .0.label())]
    NotOpen(Channel),
    /// The message is longer than the peer accepts.
    #[error("message of {size} bytes is longer than the {limit} bytes that the peer accepts")]
    TooLarge {
        /// Length of the message in bytes.
        size: usize,
        /// Longest message in bytes that the peer accepts.
        limit: usize,
    },
    /// Too much is waiting already; send when [`Peer::send_capacity`](crate::Peer::send_capacity) is above zero.
    #[error("{buffered} bytes are waiting to be sent, the limit is {limit}")]
    Full {
        /// Bytes accepted and not acknowledged, over all channels.
        buffered: usize,
        /// Most bytes that may wait.
        limit: usize,
    },
}
