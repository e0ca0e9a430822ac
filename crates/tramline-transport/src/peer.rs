//! One WebRTC peer connection, from session description to messages.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::candidate::{CandidateError, LocalCandidate};
use crate::certificate::{Certificate, Fingerprint};
use crate::channel::{Channel, SendError};
use crate::sdp::SdpError;
use crate::stats::PeerStats;
use crate::transmit::Transmits;

/// What a [`Peer`] is made with.
#[derive(Debug, Clone)]
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
            disconnect_timeout: Duration::from_secs(15),
        }
    }
}

/// What happened, from [`Peer::poll_event`].
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
    /// The peer proved by an authenticated check that it can be reached at this address. Route datagrams from there to
    /// this peer.
    RemoteAddress(SocketAddr),
    /// The peer is over; nothing follows.
    Closed(CloseReason),
}

/// Why a [`Peer`] ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`Peer::close`] was called.
    #[error("closed locally")]
    Local,
    /// The peer closed its DTLS session: it left.
    #[error("the peer closed the connection")]
    CloseNotify,
    /// No pair of addresses worked, or all of them fell silent.
    #[error("no connection to the peer: no pair of addresses works")]
    IceFailed,
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

/// One WebRTC peer connection, data only, in either role.
#[derive(Debug)]
pub struct Peer {
    _dtls: dimpl::DtlsCertificate,
    stats: PeerStats,
}

impl Peer {
    /// A client: full ICE, controlling, makes the offer and the channels.
    pub fn client(config: PeerConfig, _now: Instant) -> Self {
        Self { _dtls: config.certificate.dtls().clone(), stats: PeerStats::default() }
    }

    /// A server: ICE lite, answers `offer`.
    pub fn server(config: PeerConfig, now: Instant, _offer: &str) -> Result<Self, SdpError> {
        Ok(Self::client(config, now))
    }

    /// Client: the offer, with the local candidates known so far.
    pub fn offer(&mut self) -> String {
        String::new()
    }

    /// Client: the server's answer to the last offer.
    pub fn handle_answer(&mut self, _now: Instant, _sdp: &str) -> Result<(), SdpError> {
        Ok(())
    }

    /// Client: whether the server speaks protocol 18 or later, known from `join`. Call it before
    /// [`handle_answer`](Self::handle_answer).
    pub fn set_negotiated_channels(&mut self, _negotiated: bool) {}

    /// Server: a later offer of the same client, perhaps with new ICE credentials (an ICE restart).
    pub fn handle_offer(&mut self, _now: Instant, _offer: &str) -> Result<(), SdpError> {
        Ok(())
    }

    /// Server: the answer to the last offer, with the local candidates known so far.
    pub fn answer(&self) -> String {
        String::new()
    }

    /// The first half of the STUN user name in checks that are meant for this peer.
    pub fn local_ufrag(&self) -> &str {
        ""
    }

    /// Adds an address at which this peer can be reached.
    pub fn add_local_candidate(&mut self, _addr: SocketAddr) {}

    /// The local candidates for trickling.
    pub fn local_candidates(&self) -> Vec<LocalCandidate> {
        Vec::new()
    }

    /// A candidate of the peer, with or without `a=`.
    pub fn handle_candidate(&mut self, _candidate: &str) -> Result<(), CandidateError> {
        Ok(())
    }

    /// A datagram that arrived at `local` from `remote`. Hand in a whole batch, then poll once.
    pub fn handle_datagram(
        &mut self,
        _now: Instant,
        _local: SocketAddr,
        _remote: SocketAddr,
        _datagram: &[u8],
    ) {
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come; early and late calls are harmless.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    /// Appends everything that can leave now.
    pub fn poll_transmit(&mut self, _now: Instant, _out: &mut Transmits) {}

    /// The next event; drain it after each batch.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        None
    }

    /// Queues one message.
    pub fn send(&mut self, channel: Channel, _data: &Bytes) -> Result<(), SendError> {
        Err(SendError::NotOpen(channel))
    }

    /// Whether the channel can be sent on.
    pub fn is_open(&self, _channel: Channel) -> bool {
        false
    }

    /// Bytes of the channel that were accepted and not yet acknowledged or given up.
    pub fn buffered_amount(&self, _channel: Channel) -> usize {
        0
    }

    /// Bytes that SCTP takes now without building a standing queue.
    pub fn send_capacity(&self, _channel: Channel) -> usize {
        0
    }

    /// Longest message in bytes that the peer accepts.
    pub fn max_message_size(&self) -> usize {
        0
    }

    /// Ends the session; the next [`poll_transmit`](Self::poll_transmit) carries the farewell.
    pub fn close(&mut self, _now: Instant) {}

    /// Whether the peer is over.
    pub fn is_closed(&self) -> bool {
        false
    }

    /// The counters.
    pub fn stats(&self) -> PeerStats {
        self.stats
    }
}
