//! What an association is made with, and how a message is delivered.

use std::fmt;
use std::time::Duration;

/// What an [`Association`](crate::Association) is made with.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Secret random bytes, fresh for each association: tags, first TSNs and the key of the cookies come from them.
    pub secret: [u8; 32],
    /// First TSN; `None`: derived from the secret. Tests of the wrap set it.
    pub first_tsn: Option<u32>,
    /// Our SCTP port.
    pub local_port: u16,
    /// The peer's SCTP port.
    pub remote_port: u16,
    /// Longest packet in bytes that is made, from the SCTP header to the last padding byte.
    pub packet_budget: usize,
    /// Longest message in bytes that is delivered; longer ones are dropped whole and counted.
    pub max_receive_message_size: usize,
    /// Bytes that may wait here: messages that were not fetched, incomplete ones, and ones that others must precede.
    pub receive_buffer: usize,
    /// Streams in each direction, at most.
    pub streams: u16,
    /// Whether DTLS carries the packets, so that both sides may leave out the checksum (RFC 9653).
    pub zero_checksum: bool,
    /// How the congestion window is found.
    pub congestion: Congestion,
    /// Largest congestion window in bytes.
    pub max_window: usize,
    /// Retransmission time-out while nothing is measured, for the handshake as well.
    pub rto_initial: Duration,
    /// By how much the retransmission time-out exceeds the round-trip time, at least. Official peers may delay an
    /// acknowledgement by 200 ms unless asked not to; this implementation asks.
    pub rto_margin: Duration,
    /// How far repeated time-outs stretch the time-out, unless it is measured to be longer.
    pub rto_backed_off: Duration,
    /// How long an acknowledgement may wait for a second packet.
    pub sack_delay: Duration,
    /// Transmissions of INIT and COOKIE ECHO before giving up; `None`: the caller watches the clock.
    pub max_init_retransmits: Option<u32>,
    /// Time-outs in a row before giving up; `None`: the layer below says when the peer is gone.
    pub max_retransmits: Option<u32>,
    /// How long nothing may be sent before a heartbeat is.
    pub heartbeat_interval: Option<Duration>,
}

impl Config {
    /// The values for WebRTC data channels, with 32 fresh secret random bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            secret,
            first_tsn: None,
            local_port: 5000,
            remote_port: 5000,
            // A UDP payload of 1,200 bytes less 37 of a DTLS 1.2 record with AES-GCM, down to a multiple of 4.
            packet_budget: 1_160,
            max_receive_message_size: 256 * 1024,
            receive_buffer: 2 * 1024 * 1024,
            streams: 1_024,
            zero_checksum: false,
            congestion: Congestion::default(),
            max_window: 4 * 1024 * 1024,
            rto_initial: Duration::from_millis(500),
            rto_margin: Duration::from_millis(100),
            // After an outage the path is found again within this time; a packet per quarter second harms nobody.
            rto_backed_off: Duration::from_millis(200),
            sack_delay: Duration::from_millis(20),
            max_init_retransmits: None,
            max_retransmits: None,
            heartbeat_interval: Some(Duration::from_secs(30)),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("packet_budget", &self.packet_budget)
            .field("receive_buffer", &self.receive_buffer)
            .field("zero_checksum", &self.zero_checksum)
            .field("congestion", &self.congestion)
            .finish_non_exhaustive()
    }
}

/// How the congestion window is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Congestion {
    /// By the delay that our own packets cause; random loss does not matter.
    DelayAware {
        /// Most bytes per second, whatever the path takes.
        max_rate: Option<u64>,
    },
    /// Slow start and congestion avoidance of RFC 9260 section 7.2: halved by each loss. For comparison.
    Reno,
}

impl Default for Congestion {
    fn default() -> Self {
        Self::DelayAware { max_rate: None }
    }
}

/// How one message is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Whether it keeps its place among the ordered messages of its stream.
    pub ordered: bool,
    /// How often a lost part of it is sent again, at most (RFC 7496 section 3.2); `None`: without limit.
    pub max_retransmits: Option<u32>,
    /// For how long it is of use: no part of it is sent later (RFC 3758 section 4.1); `None`: for ever.
    pub lifetime: Option<Duration>,
    /// Spares of a message that fits into one packet, with the same TSN: as long as it is not acknowledged, so many of the
    /// next messages of its flow are preceded by it. A receiver never sees it after one of those. They stop while
    /// more waits to be sent than the path takes.
    pub copies: u8,
    /// What the message belongs to, for [`copies`](Self::copies).
    pub flow: u32,
    /// Comes back in [`Event::Acknowledged`](crate::Event::Acknowledged) when all of the message has arrived.
    pub receipt: Option<u64>,
}

impl Delivery {
    /// In order, until it arrives.
    pub const RELIABLE: Self =
        Self { ordered: true, max_retransmits: None, lifetime: None, copies: 0, flow: 0, receipt: None };
    /// In any order, sent once.
    pub const ONCE: Self = Self { ordered: false, max_retransmits: Some(0), ..Self::RELIABLE };
}
