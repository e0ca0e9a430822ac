//! The one place that knows which SCTP implementation is underneath.
//!
//! Everything above speaks of streams, messages and payload protocol ids (RFC 9260, RFC 8831); everything below is the
//! crate `sctp-proto`. Replacing it means rewriting this file.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sctp_proto::{
    AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent, TransportConfig,
};
use tracing::debug;

/// What an association is set up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Longest message in bytes that may be sent: the peer's `a=max-message-size`.
    pub(crate) max_send_message_size: usize,
    /// Longest message in bytes that is accepted.
    pub(crate) max_receive_message_size: usize,
    /// SCTP port of the peer, from `a=sctp-port`.
    pub(crate) remote_port: u16,
}

/// What happened in the association.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Streams can be used.
    Connected,
    /// A whole message may be waiting on this stream.
    Readable(u16),
    /// The peer ended this stream (RFC 6525).
    Reset(u16),
    /// The association is over.
    Lost(String),
}

/// Payload protocol ids of WebRTC data channels (RFC 8831 section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ppid {
    /// 50: channel establishment (RFC 8832).
    Dcep,
    /// 51 or 53; text is not told from binary here.
    Data,
    /// 56 or 57: an empty message, carried as one byte that is not part of it.
    Empty,
    /// Anything else.
    Unknown,
}

/// Whether and how long a stream's messages are retransmitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reliability {
    /// Until they arrive.
    Reliable,
    /// At most this many times.
    Retransmits(u32),
    /// For this many milliseconds.
    LifetimeMillis(u32),
}

/// One SCTP association over a DTLS session.
///
/// Order of calls: [`connect`](Self::connect) on the side that is the DTLS client, [`handle_packet`](Self::handle_packet)
/// for each packet of a batch, then drain [`poll_event`](Self::poll_event), then
/// [`poll_transmit`](Self::poll_transmit) once.
pub(crate) struct Association {
    endpoint: Endpoint,
    transport: Arc<TransportConfig>,
    current: Option<(AssociationHandle, sctp_proto::Association)>,
    phase: Phase,
    inits: u32,
    received: BytesMut,
}

/// Idle → Connecting → Established → Lost, or Idle → Accepting → Established → Lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// INIT sent; `acknowledged` once the INIT ACK came.
    Connecting {
        acknowledged: bool,
    },
    /// The peer's INIT came first.
    Accepting,
    Established,
    Lost,
}

impl Association {
    pub(crate) fn new(settings: Settings) -> Self {
        let transport = Arc::new(
            TransportConfig::default()
                .with_max_send_message_size(settings.max_send_message_size.try_into().unwrap_or(u32::MAX))
                .with_max_receive_message_size(
                    settings.max_receive_message_size.try_into().unwrap_or(u32::MAX),
                )
                .with_max_receive_buffer_size(RECEIVE_BUFFER)
                .with_max_num_inbound_streams(MAX_STREAMS)
                .with_max_num_outbound_streams(MAX_STREAMS)
                // Whether the peer is still there is decided by ICE; SCTP only has to keep trying.
                .with_max_init_retransmits(None)
                .with_max_data_retransmits(None)
                .with_rto_initial_ms(RTO_INITIAL_MS)
                .with_rto_min_ms(RTO_MIN_MS)
                .with_rto_max_ms(RTO_MAX_MS)
                .with_local_port(LOCAL_PORT)
                .with_remote_port(settings.remote_port),
        );
        let mut server = ServerConfig::new();
        server.transport = transport.clone();
        let mut config = EndpointConfig::new();
        config.max_payload_size(FRAGMENT_LEN);
        Self {
            endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(server))),
            transport,
            current: None,
            phase: Phase::Idle,
            inits: 0,
            received: BytesMut::new(),
        }
    }

    /// Sends INIT, unless the peer was quicker.
    pub(crate) fn connect(&mut self) {
        if self.phase != Phase::Idle {
            return;
        }
        let mut client = ClientConfig::new();
        client.transport = self.transport.clone();
        match self.endpoint.connect(client, NOWHERE) {
            Ok(current) => {
                self.current = Some(current);
                self.phase = Phase::Connecting { acknowledged: false };
            }
            Err(error) => debug!(%error, "SCTP connect refused"),
        }
    }

    /// Takes one SCTP packet out of one DTLS record.
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        let first_chunk = packet.get(FIRST_CHUNK_TYPE).copied();
        if first_chunk == Some(CHUNK_INIT) {
            // sctp-proto closes an established association on a late INIT and keeps a record of each new one.
            self.inits += 1;
            let welcome = match self.phase {
                Phase::Idle | Phase::Accepting | Phase::Connecting { acknowledged: false } => {
                    self.inits <= MAX_INITS
                }
                Phase::Connecting { acknowledged: true } | Phase::Established | Phase::Lost => false,
            };
            if !welcome {
                debug!(phase = ?self.phase, "unexpected SCTP INIT ignored");
                return;
            }
        }
        match self.endpoint.handle(now, NOWHERE, None, None, packet) {
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                let Some((current, association)) = &mut self.current else { return };
                if *current != handle {
                    return; // Meant for an attempt of ours that gave way to the peer's.
                }
                if first_chunk == Some(CHUNK_INIT_ACK)
                    && let Phase::Connecting { acknowledged } = &mut self.phase
                {
                    *acknowledged = true;
                }
                association.handle_event(event);
            }
            Some((handle, DatagramEvent::NewAssociation(association))) => match self.phase {
                // When both sides send INIT, the two attempts of sctp-proto cannot be merged. Giving up our own is safe as
                // long as its INIT ACK has not come: the peer answers ours and takes our answer to its own, and our tag
                // in the latter replaces the former.
                Phase::Idle | Phase::Connecting { acknowledged: false } => {
                    self.current = Some((handle, association));
                    self.phase = Phase::Accepting;
                }
                _ => debug!("second SCTP association ignored"),
            },
            None => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.current {
            association.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.current.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    /// Hands every packet that may leave now to `send`.
    pub(crate) fn poll_transmit(&mut self, now: Instant, mut send: impl FnMut(&[u8])) {
        let Some((_, association)) = &mut self.current else { return };
        // One call yields all that the windows allow; a second would walk everything in flight again for nothing.
        let Some(transmit) = association.poll_transmit(now) else { return };
        if let Payload::RawEncode(packets) = transmit.payload {
            packets.iter().for_each(|packet| send(packet));
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let (_, association) = self.current.as_mut()?;
        while let Some(event) = association.poll() {
            match event {
                sctp_proto::Event::Connected => {
                    self.phase = Phase::Established;
                    return Some(Event::Connected);
                }
                sctp_proto::Event::HandshakeFailed { reason }
                | sctp_proto::Event::AssociationLost { reason } => {
                    self.phase = Phase::Lost;
                    return Some(Event::Lost(reason.to_string()));
                }
                sctp_proto::Event::Stream(StreamEvent::Readable { id }) => return Some(Event::Readable(id)),
                sctp_proto::Event::Stream(StreamEvent::Finished { id }) => return Some(Event::Reset(id)),
                sctp_proto::Event::Stream(StreamEvent::Opened { .. }) => {
                    // Streams are known by the messages on them; the list of new ones only has to stay empty.
                    while association.accept_stream().is_some() {}
                }
                _ => {}
            }
        }
        None
    }

    /// Makes a stream of our own. Harmless when it exists.
    pub(crate) fn open_stream(&mut self, id: u16) {
        if let Some((_, association)) = &mut self.current {
            let _ = association.open_stream(id, PayloadProtocolIdentifier::Binary);
        }
    }

    /// How messages sent on the stream from now on are delivered.
    pub(crate) fn set_delivery(&mut self, id: u16, ordered: bool, reliability: Reliability) {
        let Some(mut stream) = self.stream(id) else { return };
        let (kind, value) = match reliability {
            Reliability::Reliable => (ReliabilityType::Reliable, 0),
            Reliability::Retransmits(count) => (ReliabilityType::Rexmit, count),
            Reliability::LifetimeMillis(millis) => (ReliabilityType::Timed, millis),
        };
        let _ = stream.set_reliability_params(!ordered, kind, value);
        let _ = stream.set_default_payload_type(PayloadProtocolIdentifier::Binary);
    }

    /// Queues one message; `false` when the stream cannot be written to.
    pub(crate) fn send(&mut self, id: u16, message: &Bytes) -> bool {
        let Some(mut stream) = self.stream(id) else { return false };
        if message.is_empty() {
            return stream.write_with_ppi(&[0], PayloadProtocolIdentifier::BinaryEmpty).is_ok();
        }
        // This of the writing calls keeps the caller's buffer instead of copying it.
        stream.write_chunks(&mut [message.clone()]).is_ok()
    }

    /// Queues one channel establishment message, always ordered and reliable.
    pub(crate) fn send_dcep(&mut self, id: u16, message: &[u8]) -> bool {
        self.stream(id)
            .is_some_and(|mut s| s.write_with_ppi(message, PayloadProtocolIdentifier::Dcep).is_ok())
    }

    /// The next whole message of a stream.
    pub(crate) fn recv(&mut self, id: u16) -> Option<(Ppid, Bytes)> {
        let (_, association) = self.current.as_mut()?;
        let mut chunks = association.stream(id).ok()?.read_sctp().ok()??;
        let ppid = match chunks.ppi {
            PayloadProtocolIdentifier::Dcep => Ppid::Dcep,
            PayloadProtocolIdentifier::String | PayloadProtocolIdentifier::Binary => Ppid::Data,
            PayloadProtocolIdentifier::StringEmpty | PayloadProtocolIdentifier::BinaryEmpty => {
                return Some((Ppid::Empty, Bytes::new()));
            }
            PayloadProtocolIdentifier::Unknown => Ppid::Unknown,
        };
        let len = chunks.len();
        if len > MESSAGE_BLOCK / 4 {
            return Some((ppid, chunks.next(len).map(|chunk| chunk.bytes).unwrap_or_default()));
        }
        // Small messages share blocks, so that they do not cost an allocation each.
        if self.received.len() < len {
            self.received = BytesMut::zeroed(MESSAGE_BLOCK);
        }
        chunks.read(&mut self.received[..len]).ok()?;
        Some((ppid, self.received.split_to(len).freeze()))
    }

    /// Bytes queued or in flight on a stream.
    pub(crate) fn buffered(&mut self, id: u16) -> usize {
        self.stream(id).and_then(|stream| stream.buffered_amount().ok()).unwrap_or(0)
    }

    /// Ends our direction of a stream, and with it the channel.
    #[cfg(test)]
    pub(crate) fn reset_stream(&mut self, id: u16) {
        self.stream(id).expect("a stream").close().expect("an established association");
    }

    /// Times that the retransmission timer ran out.
    pub(crate) fn retransmission_timeouts(&self) -> u64 {
        self.current.as_ref().map_or(0, |(_, association)| association.stats().get_num_t3timeouts())
    }

    fn stream(&mut self, id: u16) -> Option<sctp_proto::Stream<'_>> {
        self.current.as_mut()?.1.stream(id).ok()
    }
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association").field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// Associations are not told apart by address here, but sctp-proto wants one.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, LOCAL_PORT));

/// The port that every WebRTC stack uses.
pub(crate) const LOCAL_PORT: u16 = 5000;

/// Data bytes per chunk. A full packet is 28 bytes longer, and DTLS adds 37: 1,165 bytes of UDP payload. sctp-proto forgets
/// chunk headers and padding when it bundles, so a bundle of two to six messages may be 1,200 bytes long.
const FRAGMENT_LEN: u32 = 1_100;

/// Bytes that a peer may have on their way to us: enough for 40 Mbyte/s over a path of 50 ms.
const RECEIVE_BUFFER: u32 = 2 * 1024 * 1024;

/// Channels of one connection are numbered below this by every WebRTC stack.
const MAX_STREAMS: u16 = 1024;

/// A peer repeats its INIT a few times when packets are lost; more are noise.
const MAX_INITS: u32 = 64;

/// First timer for INIT and for data before anything was measured. RFC 9260 says 1 s; ICE has just proved that the path works.
const RTO_INITIAL_MS: u64 = 500;

/// Peers may delay an acknowledgement by 200 ms; a timer below that would take the delay for a loss.
const RTO_MIN_MS: u64 = 250;

/// Without this cap a dead spot of a minute would be followed by another minute of silence.
const RTO_MAX_MS: u64 = 3_000;

/// Small messages are cut from blocks of this many bytes; a message that is kept keeps its block.
const MESSAGE_BLOCK: usize = 16 * 1024;

/// Offset of the first chunk's type in a packet (RFC 9260 section 3).
const FIRST_CHUNK_TYPE: usize = 12;
const CHUNK_INIT: u8 = 1;
const CHUNK_INIT_ACK: u8 = 2;
