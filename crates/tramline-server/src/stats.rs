//! What a server counts.

use tramline_core::room::RoomCounters;
use tramline_core::stats::{Counters, Drops};
use tramline_net::demux::DemuxCounters;
use tramline_net::udp::UdpCounters;
use tramline_transport::PeerStats;

/// A snapshot of all counters, since the start.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ServerStats {
    /// Rooms at this moment.
    pub rooms: usize,
    /// Participants at this moment.
    pub participants: usize,
    /// Participants that came in.
    pub joins: u64,
    /// Join requests that were refused with an HTTP status.
    pub refused_joins: u64,
    /// Messages from WebSockets.
    pub signal_messages: u64,
    /// Messages from WebSockets that were not `SignalRequest`s.
    pub signal_malformed: u64,
    /// WebSockets that were closed because their client did not read.
    pub signal_stalled: u64,
    /// What rooms refused or skipped.
    pub room: RoomCounters,
    /// Data-track packets from publishers.
    pub packets_in: u64,
    /// Data-track packets handed to the transports of subscribers.
    pub packets_out: u64,
    /// Packets that reached no queue: malformed, of unknown tracks, or without a subscriber.
    pub packets_dropped: Drops,
    /// The queues of all subscribers together, in frames.
    pub queues: Counters,
    /// Data packets from participants, on the channels `_reliable` and `_lossy`.
    pub data_packets_in: u64,
    /// Data packets handed to the transports of those whom they are for.
    pub data_packets_out: u64,
    /// Data packets that went nowhere, or not to all whom they are for: malformed, not permitted, repeated, too many for a slow receiver.
    pub data_packets_dropped: Drops,
    /// Offers and candidates that could not be used.
    pub signal_transport_errors: u64,
    /// Datagrams that were not what they should be, by the transports' own checks.
    pub transport_rejected: u64,
    /// All connections together, past ones included: datagrams, losses, retransmissions, spares; of those that are up the
    /// windows, the bytes in flight and waiting, and the longest round trips.
    pub transport: PeerStats,
    /// The UDP sockets.
    pub udp: UdpCounters,
    /// Datagrams that belong to nobody.
    pub demux: DemuxCounters,
}
