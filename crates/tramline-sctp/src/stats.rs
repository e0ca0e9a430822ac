//! What an association counts and measures.

use std::time::Duration;

/// Counters and measurements of one [`Association`](crate::Association).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Packets taken in.
    pub packets_received: u64,
    /// Packets made.
    pub packets_sent: u64,
    /// Packets that were dropped: malformed, wrong checksum, wrong tag or port.
    pub packets_rejected: u64,
    /// Chunks that no honest peer sends: acknowledgements of what was not sent, DATA far ahead, streams that do not exist.
    pub chunks_rejected: u64,
    /// DATA chunks sent for the first time.
    pub chunks_sent: u64,
    /// DATA chunks sent again.
    pub retransmissions: u64,
    /// Spares sent: copies of DATA chunks that were still in flight.
    pub copies: u64,
    /// DATA chunks that were taken for lost.
    pub losses: u64,
    /// Of these, how many had arrived after all.
    pub spurious_losses: u64,
    /// Messages that were given up before they arrived whole.
    pub abandoned_messages: u64,
    /// FORWARD TSN chunks sent.
    pub forward_tsns: u64,
    /// Times that the retransmission timer ran out.
    pub timeouts: u64,
    /// Tail probes sent.
    pub probes: u64,
    /// DATA chunks that arrived again.
    pub duplicates_received: u64,
    /// DATA chunks that did not fit into the receive buffer.
    pub chunks_dropped: u64,
    /// Messages longer than accepted.
    pub oversize_messages: u64,
    /// Messages delivered.
    pub messages_received: u64,
    /// SACK chunks sent.
    pub sacks_sent: u64,
    /// Smoothed round-trip time; `None` before the first measurement.
    pub round_trip: Option<Duration>,
    /// Shortest round-trip time of the last seconds.
    pub min_round_trip: Option<Duration>,
    /// Congestion window in bytes.
    pub window: usize,
    /// Bytes in flight, chunk headers included.
    pub in_flight: usize,
    /// Bytes of messages that were accepted and neither acknowledged nor given up.
    pub buffered: usize,
    /// Bytes that the peer has room for beyond what is in flight.
    pub peer_window: usize,
    /// Bytes held for the caller and for messages that are incomplete or out of turn.
    pub receive_buffered: usize,
}
