//! What every hop has counted.

use std::time::Duration;

pub use tramline_core::stats::{DropReason, Drops};
pub use tramline_net::udp::UdpCounters;
pub use tramline_transport::PeerStats;

use crate::stream::Report;

/// What happened to the frames of a local track, from the push to the transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalTrackStats {
    /// Frames that entered the queue.
    pub accepted: u64,
    /// Frames handed to the transport, whole.
    pub sent: u64,
    /// Bytes handed to the transport, packet headers included.
    pub bytes: u64,
    /// Frames that entered the queue, or knocked at it, and were dropped, by reason.
    pub dropped: Drops,
    /// Pushes that were refused: the frame went back to the caller.
    pub refused: u64,
    /// Frames that wait now.
    pub waiting_frames: usize,
    /// Bytes that wait now.
    pub waiting_bytes: usize,
}

/// What happened to the frames of a remote track, from the first packet to the streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteTrackStats {
    /// Frames of which a packet came.
    pub accepted: u64,
    /// Frames made whole and handed to the streams.
    pub delivered: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Frames that were not, by reason; packets, when it is not known which frame they belong to.
    pub dropped: Drops,
}

/// What happened to the frames of one stream, from its queue to its reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Frames that came for the reader.
    pub accepted: u64,
    /// Frames that the reader took.
    pub delivered: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Frames that the reader was too slow for, by reason.
    pub dropped: Drops,
    /// Frames that wait for the reader now.
    pub waiting_frames: usize,
    /// Frames of the track that are missing between those that the reader took, wherever they were lost: all
    /// [gaps](crate::DataTrackFrame::gap) together, less the frames that came late.
    pub missing: u64,
    /// Silences longer than the deadline of the stream.
    pub missed_deadlines: u64,
}

impl StreamStats {
    pub(crate) fn new(report: &Report) -> Self {
        let Report { counters, waiting, missing, missed_deadlines } = *report;
        Self {
            accepted: counters.accepted,
            delivered: counters.sent,
            bytes: counters.bytes,
            dropped: counters.dropped,
            waiting_frames: waiting,
            missing,
            missed_deadlines,
        }
    }
}

/// What the connection as a whole has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomStats {
    /// The WebRTC peer: datagrams, messages, and what it refused.
    pub transport: PeerStats,
    /// The UDP sockets.
    pub udp: UdpCounters,
    /// Data-track packets that belong to no subscription, or to no packet format.
    pub stray_packets: Drops,
    /// Messages on channels that this version does not use.
    pub ignored_messages: u64,
    /// Signalling messages, or parts of them, that could not be used.
    pub ignored_signals: u64,
    /// Round trip of the signalling connection, once measured.
    pub signal_rtt: Option<Duration>,
}
