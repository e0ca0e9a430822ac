//! What a peer is made with and what it reports.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::certificate::{Certificate, Fingerprint};
use crate::channel::Channel;

/// What a [`Peer`](crate::Peer) is made with.
#[derive(Clone)]
#[non_exhaustive]
pub struct PeerConfig {
    /// Certificate to show; one may serve all peers of a process.
    pub certificate: Certificate,
    /// Secret random bytes, fresh for each peer: the ICE credentials are derived from them.
    pub secret: [u8; 32],
    /// Whether the channels have the ids 100, 101 and 102 without an in-band handshake (LiveKit protocol 18).
    pub negotiated_channels: bool,
    /// Longest message in bytes that is accepted; announced in the session description.
    pub max_message_size: usize,
    /// How many bytes SCTP is given at a time, queued and in flight together, on a path that is too short for packets to be
    /// spread over time (a round trip below 4 ms): the peer's UDP receive buffer has to take a burst of this size.
    /// Elsewhere the congestion window alone says how many.
    pub send_window: usize,
    /// How long ICE, DTLS and SCTP may take together.
    pub connect_timeout: Duration,
    /// How long nothing authentic may arrive before the peer is given up.
    pub disconnect_timeout: Duration,
}

impl PeerConfig {
    /// The defaults, with a certificate and 32 fresh secret random bytes.
    pub fn new(certificate: Certificate, secret: [u8; 32]) -> Self {
        Self {
            certificate,
            secret,
            negotiated_channels: false,
            max_message_size: 256 * 1024,
            send_window: 256 * 1024,
            connect_timeout: Duration::from_secs(30),
            disconnect_timeout: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for PeerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConfig")
            .field("certificate", &self.certificate)
            .field("negotiated_channels", &self.negotiated_channels)
            .field("max_message_size", &self.max_message_size)
            .field("send_window", &self.send_window)
            .field("connect_timeout", &self.connect_timeout)
            .field("disconnect_timeout", &self.disconnect_timeout)
            .finish_non_exhaustive()
    }
}

/// What happened, from [`Peer::poll_event`](crate::Peer::poll_event).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEvent {
    /// ICE, DTLS and SCTP are up. Channels open on their own after this.
    Connected,
    /// The channel can be sent on.
    ChannelOpen(Channel),
    /// The peer closed the channel; the others go on.
    ChannelClosed(Channel),
    /// A whole message.
    Message(Channel, Bytes),
    /// The peer's SCTP has all of the message that was sent with this
    /// [`receipt`](crate::SendOptions::receipt).
    Acknowledged(u64),
    /// The peer proved by an authenticated check that it can be reached at this address. Route datagrams from there to
    /// this peer.
    RemoteAddress(SocketAddr),
    /// The peer is over; nothing follows. Poll for transmits once more: they may hold the farewell.
    Closed(CloseReason),
}

/// Why a [`Peer`](crate::Peer) ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`Peer::close`](crate::Peer::close) was called.
    #[error("closed locally")]
    Local,
    /// The peer closed its DTLS session: it left.
    #[error("the peer closed the connection")]
    CloseNotify,
    /// No pair of addresses worked in time, or the peer fell silent.
    #[error("{0}")]
    IceFailed(IceFailure),
    /// The DTLS handshake or session failed.
    #[error("DTLS failed: {0}")]
    DtlsFailed(String),
    /// The peer's certificate is not the one that its session description announced.
    #[error("the peer's certificate has fingerprint {actual}, its session description announced {expected}")]
    WrongFingerprint {
        /// Announced by signalling.
        expected: Fingerprint,
        /// Shown in the handshake.
        actual: Fingerprint,
    },
    /// The SCTP association could not be set up or was lost.
    #[error("SCTP association lost: {0}")]
    SctpAborted(String),
}

/// How far a connection came before it failed for want of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IceFailure {
    /// No check was answered.
    #[error(
        "no connection to the peer within {0:?}: no address of it answers; check UDP and the server's node IP"
    )]
    NoPath(Duration),
    /// Checks were answered, but the handshakes did not finish.
    #[error("no connection to the peer within {0:?}: it answers, but DTLS and SCTP did not finish")]
    NoSession(Duration),
    /// The connection was up and nothing has arrived since.
    #[error("connection lost: nothing was heard from the peer for {0:?}")]
    Silent(Duration),
}
