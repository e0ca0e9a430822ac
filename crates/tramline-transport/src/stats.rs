//! What a peer counts.

use std::ops::AddAssign;
use std::time::Duration;

/// Counters of one [`Peer`](crate::Peer), from its creation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// Datagrams handed in.
    pub datagrams_received: u64,
    /// Bytes of datagrams handed in.
    pub bytes_received: u64,
    /// Datagrams handed out.
    pub datagrams_sent: u64,
    /// Bytes of datagrams handed out.
    pub bytes_sent: u64,
    /// Messages taken by [`Peer::send`](crate::Peer::send).
    pub messages_sent: u64,
    /// Messages delivered as events.
    pub messages_received: u64,
    /// Datagrams that are neither STUN nor DTLS (RFC 7983), or too long.
    pub malformed_datagrams: u64,
    /// STUN messages that were unparsable or failed their integrity check.
    pub rejected_stun: u64,
    /// DTLS records that cannot belong to this session: forged, stray, or from an address that passed no check.
    pub rejected_dtls: u64,
    /// Channels opened by the peer under a label that nobody here knows.
    pub unknown_channels: u64,
    /// Messages on unknown channels, DCEP messages that cannot be parsed, and messages longer than accepted.
    pub rejected_messages: u64,
    /// Candidates of the peer that cannot be used: `.local` names, TCP, other components.
    pub ignored_candidates: u64,
    /// Times that the peer moved to another address.
    pub address_changes: u64,
    /// Times that an SCTP retransmission timer ran out.
    pub retransmission_timeouts: u64,
    /// DATA chunks that SCTP sent again.
    pub retransmissions: u64,
    /// Spares that SCTP sent: copies of DATA chunks ahead of newer ones.
    pub copies: u64,
    /// DATA chunks that SCTP took for lost.
    pub losses: u64,
    /// Messages that SCTP gave up before they arrived whole.
    pub abandoned_messages: u64,
    /// FORWARD TSN chunks that SCTP sent.
    pub forward_tsns: u64,
    /// Bytes that may be in flight now.
    pub congestion_window: usize,
    /// Bytes that are in flight now, chunk headers included.
    pub bytes_in_flight: usize,
    /// Bytes of messages that were accepted and neither acknowledged nor given up.
    pub bytes_buffered: usize,
    /// Round-trip time of the last connectivity check; full ICE only.
    pub round_trip: Option<Duration>,
    /// Smoothed round-trip time of data and its acknowledgement.
    pub data_round_trip: Option<Duration>,
}

impl PeerStats {
    /// What stays of a peer that is over: what it counted, without what it holds and measures.
    pub fn ended(self) -> Self {
        Self {
            congestion_window: 0,
            bytes_in_flight: 0,
            bytes_buffered: 0,
            round_trip: None,
            data_round_trip: None,
            ..self
        }
    }
}

impl AddAssign for PeerStats {
    /// For a client with several connections to one server; the longer round trip counts.
    fn add_assign(&mut self, other: Self) {
        self.datagrams_received += other.datagrams_received;
        self.bytes_received += other.bytes_received;
        self.datagrams_sent += other.datagrams_sent;
        self.bytes_sent += other.bytes_sent;
        self.messages_sent += other.messages_sent;
        self.messages_received += other.messages_received;
        self.malformed_datagrams += other.malformed_datagrams;
        self.rejected_stun += other.rejected_stun;
        self.rejected_dtls += other.rejected_dtls;
        self.unknown_channels += other.unknown_channels;
        self.rejected_messages += other.rejected_messages;
        self.ignored_candidates += other.ignored_candidates;
        self.address_changes += other.address_changes;
        self.retransmission_timeouts += other.retransmission_timeouts;
        self.retransmissions += other.retransmissions;
        self.copies += other.copies;
        self.losses += other.losses;
        self.abandoned_messages += other.abandoned_messages;
        self.forward_tsns += other.forward_tsns;
        self.congestion_window += other.congestion_window;
        self.bytes_in_flight += other.bytes_in_flight;
        self.bytes_buffered += other.bytes_buffered;
        self.data_round_trip = self.data_round_trip.max(other.data_round_trip);
        self.round_trip = self.round_trip.max(other.round_trip);
    }
}
