//! What a peer counts.

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
    /// Round-trip time of the last connectivity check; full ICE only.
    pub round_trip: Option<Duration>,
}
