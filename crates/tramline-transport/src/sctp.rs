//! The one place that knows which SCTP implementation is underneath: what `tramline-sctp` has to be for data channels.
//!
//! Everything above speaks of streams, messages and payload protocol ids (RFC 9260, RFC 8831).

use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;
use tramline_sctp::{Config, Delivery, Stats};

use crate::channel::SendOptions;

/// What an association is set up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Secret random bytes of this association alone.
    pub(crate) secret: [u8; 32],
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
    /// The message with this receipt has arrived.
    Acknowledged(u64),
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
#[derive(Debug)]
pub(crate) struct Association {
    inner: tramline_sctp::Association,
    /// How messages of each stream are delivered. As many as there are channels.
    deliveries: Vec<(u16, Delivery)>,
    /// The latest time that was told, from which lifetimes of messages run.
    now: Option<Instant>,
    packet: Box<[u8; PACKET_BUDGET]>,
}

impl Association {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut config = Config::new(settings.secret);
        config.local_port = LOCAL_PORT;
        config.remote_port = settings.remote_port;
        config.packet_budget = PACKET_BUDGET;
        config.max_receive_message_size = settings.max_receive_message_size;
        config.zero_checksum = true;
        Self {
            inner: tramline_sctp::Association::new(config),
            deliveries: Vec::new(),
            now: None,
            packet: Box::new([0; PACKET_BUDGET]),
        }
    }

    /// Sends INIT, unless the peer was quicker.
    pub(crate) fn connect(&mut self) {
        self.inner.connect();
    }

    /// Takes one SCTP packet out of one DTLS record.
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        self.now = Some(now);
        self.inner.handle_packet(now, &packet);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        self.inner.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    /// Hands every packet that may leave now to `send`.
    pub(crate) fn poll_transmit(&mut self, now: Instant, mut send: impl FnMut(&[u8])) {
        self.now = Some(now);
        while let Some(len) = self.inner.poll_transmit(now, &mut self.packet[..]) {
            send(&self.packet[..len]);
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        while let Some(event) = self.inner.poll_event() {
            match event {
                tramline_sctp::Event::Connected => return Some(Event::Connected),
                tramline_sctp::Event::Readable(id) => return Some(Event::Readable(id)),
                tramline_sctp::Event::Acknowledged(receipt) => return Some(Event::Acknowledged(receipt)),
                tramline_sctp::Event::IncomingReset(id) => {
                    // A channel is closed in both directions (RFC 8831 section 6.7).
                    self.inner.reset_stream(id);
                    self.deliveries.retain(|(known, _)| *known != id);
                    return Some(Event::Reset(id));
                }
                tramline_sctp::Event::Closed(reason) => return Some(Event::Lost(reason.to_string())),
                tramline_sctp::Event::Restarted => {
                    // Its channels are gone with the old association, and so is what they were opened with.
                    self.inner.abort();
                    return Some(Event::Lost("the peer began anew".into()));
                }
                other => debug!(?other, "SCTP event"),
            }
        }
        None
    }

    /// How messages sent on the stream from now on are delivered.
    pub(crate) fn set_delivery(&mut self, id: u16, ordered: bool, reliability: Reliability) {
        let (max_retransmits, lifetime) = match reliability {
            Reliability::Reliable => (None, None),
            Reliability::Retransmits(count) => (Some(count), None),
            Reliability::LifetimeMillis(millis) => (None, Some(Duration::from_millis(millis.into()))),
        };
        let delivery = Delivery { ordered, max_retransmits, lifetime, ..Delivery::RELIABLE };
        match self.deliveries.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => *known = delivery,
            None => self.deliveries.push((id, delivery)),
        }
    }

    /// Queues one message; `false` when the stream cannot be written to.
    pub(crate) fn send(&mut self, id: u16, message: &Bytes, options: &SendOptions) -> bool {
        let mut delivery = self
            .deliveries
            .iter()
            .find(|(known, _)| *known == id)
            .map_or(Delivery::RELIABLE, |(_, delivery)| *delivery);
        let &SendOptions { deadline, retransmit, copies, flow, receipt } = options;
        (delivery.copies, delivery.flow, delivery.receipt) = (copies, flow, receipt);
        // What is announced to be reliable stays so. Otherwise it is the sender alone who decides.
        let is_reliable = delivery.max_retransmits.is_none() && delivery.lifetime.is_none();
        if let (Some(deadline), Some(now), false) = (deadline, self.now, is_reliable) {
            let left = deadline.saturating_duration_since(now);
            delivery.lifetime = Some(delivery.lifetime.map_or(left, |lifetime| lifetime.min(left)));
            if retransmit {
                delivery.max_retransmits = None;
            }
        }
        if message.is_empty() {
            return self.push(id, PPID_EMPTY, Bytes::from_static(&[0]), delivery);
        }
        self.push(id, PPID_BINARY, message.clone(), delivery)
    }

    /// Queues one channel establishment message, always ordered and reliable.
    pub(crate) fn send_dcep(&mut self, id: u16, message: &[u8]) -> bool {
        self.push(id, PPID_DCEP, Bytes::copy_from_slice(message), Delivery::RELIABLE)
    }

    /// The next whole message of a stream.
    pub(crate) fn recv(&mut self, id: u16) -> Option<(Ppid, Bytes)> {
        let message = self.inner.recv(id)?;
        Some(match message.ppid {
            PPID_DCEP => (Ppid::Dcep, message.payload),
            PPID_TEXT | PPID_BINARY => (Ppid::Data, message.payload),
            PPID_EMPTY_TEXT | PPID_EMPTY => (Ppid::Empty, Bytes::new()),
            _ => (Ppid::Unknown, message.payload),
        })
    }

    /// Bytes queued or in flight on a stream.
    pub(crate) fn buffered(&self, id: u16) -> usize {
        self.inner.buffered(id)
    }

    /// Bytes that the congestion window has room for, beyond what is queued or in flight.
    pub(crate) fn room(&self) -> usize {
        self.inner.send_room()
    }

    /// Whether packets are spread over time.
    pub(crate) fn is_paced(&self) -> bool {
        self.inner.is_paced()
    }

    /// See [`Peer::suggested_copies`](crate::Peer::suggested_copies).
    pub(crate) fn suggested_copies(&self) -> u8 {
        self.inner.suggested_copies()
    }

    /// Ends our direction of a stream, and with it the channel.
    #[cfg(test)]
    pub(crate) fn reset_stream(&mut self, id: u16) {
        self.inner.reset_stream(id);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.inner.stats()
    }

    fn push(&mut self, id: u16, ppid: u32, payload: Bytes, delivery: Delivery) -> bool {
        self.now.is_some_and(|now| self.inner.send(now, id, ppid, payload, delivery).is_ok())
    }
}

/// The port that every WebRTC stack uses.
pub(crate) const LOCAL_PORT: u16 = 5000;

/// With the 37 bytes of a DTLS record a full packet is a UDP payload of 1,197 bytes; longer ones are lost on some paths.
const PACKET_BUDGET: usize = 1_160;

const PPID_DCEP: u32 = 50;
const PPID_TEXT: u32 = 51;
const PPID_BINARY: u32 = 53;
const PPID_EMPTY_TEXT: u32 = 56;
const PPID_EMPTY: u32 = 57;
