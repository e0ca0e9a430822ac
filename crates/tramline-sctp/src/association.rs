//! One association, from INIT to its end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;

mod handshake;
mod transmit;

use crate::config::{Config, Delivery};
use crate::event::{Closed, Event, Message, SendError};
use crate::receive::Receiver;
use crate::reset::Resets;
use crate::secret::Secret;
use crate::send::Sender;
use crate::stats::Stats;
use crate::wire::{
    Cause, Chunk, DATA_HEADER_LEN, Data, ForwardTsn, HEADER_LEN, Packet, Reconfig, Sack, kind, read_u16,
    read_u32,
};

/// One SCTP association (RFC 9260) for WebRTC data channels.
///
/// It owns no socket, clock or randomness. A driver turns one loop:
///
/// 1. [`handle_packet`](Self::handle_packet) for every packet of a batch, and [`handle_timeout`](Self::handle_timeout)
///    when [`poll_timeout`](Self::poll_timeout) has come;
/// 2. [`poll_event`](Self::poll_event) until it is empty, and [`recv`](Self::recv) until it is empty for each stream that
///    became readable;
/// 3. [`send`](Self::send) what is waiting, while [`send_room`](Self::send_room) is above 0;
/// 4. [`poll_transmit`](Self::poll_transmit) until it has nothing more.
///
/// One side or both begin with [`connect`](Self::connect); a side that does not only answers. In steady state none of
/// these allocates, except that a message of more than one packet is put together in a buffer of its own.
#[derive(Debug)]
pub struct Association {
    config: Config,
    secret: Secret,
    /// The first time that was told.
    epoch: Option<Instant>,
    state: State,
    local_tag: u32,
    local_tsn: u32,
    peer: Peer,
    sender: Sender,
    receiver: Receiver,
    resets: Resets,
    events: VecDeque<Event>,
    pending: Pending,
    handshake: Handshake,
    heartbeat: Heartbeat,
    readable: Vec<u16>,
    stats: Stats,
}

/// RFC 9260 section 4. Idle is its CLOSED before anything happened, Over its CLOSED afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Idle,
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownPending,
    ShutdownReceived,
    ShutdownSent,
    ShutdownAckSent,
    Over,
}

/// What the peer said about itself.
#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    tag: u32,
    window: u32,
    outbound_streams: u16,
    inbound_streams: u16,
    forward_tsn: bool,
    reconfig: bool,
    zero_checksum: bool,
}

/// Control chunks that wait for a packet. Each kind has a fixed number of places, so that no flood fills memory.
#[derive(Debug, Default)]
struct Pending {
    init_ack: Option<handshake::InitAck>,
    cookie_ack: bool,
    heartbeat_acks: VecDeque<Bytes>,
    /// Error cause and its information.
    error: Option<(Cause, Bytes)>,
    shutdown_ack: bool,
    shutdown_complete: bool,
    abort: Option<Cause>,
}

/// INIT, COOKIE ECHO and the chunks of the shutdown are repeated until they are answered.
#[derive(Debug, Default)]
struct Handshake {
    at: Option<Instant>,
    tries: u32,
    sent: Option<Instant>,
    cookie: Bytes,
}

#[derive(Debug, Default)]
struct Heartbeat {
    /// When the last packet left.
    quiet_since: Option<Instant>,
    /// Number and time of the one that was not answered yet.
    unanswered: Option<(u64, Instant)>,
    number: u64,
    missed: u32,
}

impl Association {
    /// An association that answers, until [`connect`](Self::connect) is called.
    pub fn new(config: Config) -> Self {
        assert!(config.packet_budget >= LEAST_BUDGET, "a packet has to hold the handshake");
        let mut secret = Secret::new(&config.secret);
        let local_tag = secret.draw_tag();
        let local_tsn = config.first_tsn.unwrap_or_else(|| secret.draw());
        Self {
            sender: Sender::new(&config, local_tsn),
            receiver: Receiver::new(&config, 0),
            resets: Resets::new(local_tsn, 0),
            config,
            secret,
            epoch: None,
            state: State::Idle,
            local_tag,
            local_tsn,
            peer: Peer::default(),
            events: VecDeque::new(),
            pending: Pending::default(),
            handshake: Handshake::default(),
            heartbeat: Heartbeat::default(),
            readable: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Takes one packet in. What is wrong with it is counted; only a peer that breaks the protocol in a packet with the
    /// right tag ends the association.
    pub fn handle_packet(&mut self, now: Instant, packet: &Bytes) {
        self.epoch.get_or_insert(now);
        self.stats.packets_received += 1;
        let Ok(parsed) = Packet::parse(packet) else {
            self.stats.packets_rejected += 1;
            return;
        };
        let header = parsed.header;
        let first = parsed.chunks().next().and_then(Result::ok).map(|chunk| chunk.kind);
        let is_covered = self.config.zero_checksum && parsed.is_checksum_zero() && first != Some(kind::INIT);
        let is_addressed = header.source_port == self.config.remote_port
            && header.destination_port == self.config.local_port;
        let is_tagged = self.is_tag_right(&parsed, first);
        if self.state == State::Over && is_tagged && first == Some(kind::SHUTDOWN_ACK) {
            // Our SHUTDOWN COMPLETE was lost (RFC 9260 section 8.5.1).
            self.pending.shutdown_complete = true;
            return;
        }
        if self.state == State::Over
            || !is_addressed
            || !is_tagged
            || !(is_covered || parsed.is_checksum_right())
        {
            self.stats.packets_rejected += 1;
            return;
        }
        let mut has_data = false;
        for chunk in parsed.chunks() {
            let Ok(chunk) = chunk else {
                self.stats.packets_rejected += 1;
                break;
            };
            has_data |= chunk.kind == kind::DATA;
            if !self.handle_chunk(now, packet, header.tag, &chunk) {
                break;
            }
        }
        if has_data && self.is_receiving() {
            self.receiver.finish_packet(now);
        }
        self.settle(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come; early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.epoch.get_or_insert(now);
        if self.state == State::Over {
            return;
        }
        if self.is_open() {
            self.receiver.handle_timeout(now);
            self.sender.handle_timeout(now, &mut self.stats);
            let attempts = self.sender.timeouts_in_a_row() + self.heartbeat.missed;
            if self.config.max_retransmits.is_some_and(|max| attempts > max) {
                self.pending.abort = Some(Cause::UserAbort);
                self.end(Closed::TimedOut(attempts));
                return;
            }
        }
        if self.handshake.at.is_some_and(|at| at <= now)
            && self.config.max_init_retransmits.is_some_and(|max| self.handshake.tries > max)
        {
            self.end(Closed::TimedOut(self.handshake.tries));
            return;
        }
        self.settle(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and then [`poll_transmit`](Self::poll_transmit).
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Over => None,
            State::Idle | State::CookieWait | State::CookieEchoed => self.handshake.at,
            _ => [
                self.handshake.at,
                self.sender.poll_timeout(),
                self.receiver.poll_timeout(),
                self.resets.poll_timeout(),
                self.heartbeat_at(),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next message of a stream.
    pub fn recv(&mut self, stream: u16) -> Option<Message> {
        self.receiver.recv(stream)
    }

    /// Queues one message.
    pub fn send(
        &mut self,
        now: Instant,
        stream: u16,
        ppid: u32,
        payload: Bytes,
        delivery: Delivery,
    ) -> Result<(), SendError> {
        if self.state != State::Established {
            return Err(SendError::NotConnected);
        }
        if payload.is_empty() {
            return Err(SendError::Empty);
        }
        let limit = self.outbound_streams();
        if stream >= limit {
            return Err(SendError::NoSuchStream { stream, limit });
        }
        if !self.sender.push(now, stream, ppid, payload, delivery) {
            return Err(SendError::Resetting(stream));
        }
        Ok(())
    }

    /// Bytes that can be taken now without a queue building up: what the congestion window allows beyond what was
    /// accepted and not acknowledged. A hint, not a limit.
    pub fn send_room(&self) -> usize {
        if self.state == State::Established { self.sender.room() } else { 0 }
    }

    /// Whether packets are spread over time, so that no burst is as long as the window. They are not on short paths.
    pub fn is_paced(&self) -> bool {
        self.sender.is_paced()
    }

    /// How many [`copies`](Delivery::copies) pay off on this path as it has been lately: none on a short path that loses
    /// nothing, more where losses come in bursts.
    pub fn suggested_copies(&self) -> u8 {
        self.sender.suggested_copies()
    }

    /// Bytes of a stream's messages that were accepted and neither acknowledged nor given up.
    pub fn buffered(&self, stream: u16) -> usize {
        self.sender.buffered(stream)
    }

    /// Ends our direction of a stream, after what was queued on it. [`Event::OutgoingReset`] follows.
    pub fn reset_stream(&mut self, stream: u16) {
        if self.is_open() && self.peer.reconfig && self.sender.want_reset(stream) {
            self.resets.want();
        }
    }

    /// Ends the association once everything queued has arrived, on both sides. [`Event::Closed`] follows.
    pub fn shutdown(&mut self) {
        match self.state {
            State::Established => self.state = State::ShutdownPending,
            State::Idle | State::CookieWait | State::CookieEchoed => self.end(Closed::Local),
            _ => {}
        }
    }

    /// Ends the association now; one packet that says so follows.
    pub fn abort(&mut self) {
        if self.state == State::Over {
            return;
        }
        if self.peer.tag != 0 {
            self.pending.abort = Some(Cause::UserAbort);
        }
        self.end(Closed::Local);
    }

    /// Whether messages can be sent.
    pub fn is_connected(&self) -> bool {
        self.state == State::Established
    }

    /// Counters and measurements.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        self.sender.report(&mut stats);
        stats.receive_buffered = self.receiver.buffered();
        stats
    }
}

impl Association {
    /// Takes one chunk in; `false` when the rest of the packet is not to be looked at.
    fn handle_chunk(&mut self, now: Instant, packet: &Bytes, tag: u32, chunk: &Chunk<'_>) -> bool {
        match chunk.kind {
            kind::INIT => {
                self.handle_init(now, chunk);
                return false;
            }
            kind::INIT_ACK => {
                self.handle_init_ack(now, chunk);
                return false;
            }
            kind::COOKIE_ECHO => return self.handle_cookie_echo(now, tag, chunk.value),
            kind::COOKIE_ACK => self.handle_cookie_ack(now),
            kind::ABORT => {
                let cause = read_u16(chunk.value, 0).map_or("no cause given", Cause::describe);
                debug!(cause, "association aborted by the peer");
                self.end(Closed::Remote(cause));
                return false;
            }
            kind::ERROR => self.handle_error(chunk.value),
            kind::SHUTDOWN_COMPLETE => {
                if self.state == State::ShutdownAckSent {
                    self.end(Closed::Shutdown);
                }
                return false;
            }
            kind::SHUTDOWN_ACK => {
                if matches!(self.state, State::ShutdownSent | State::ShutdownAckSent) {
                    self.end(Closed::Shutdown);
                    self.pending.shutdown_complete = true;
                }
                return false;
            }
            // Chunks of an association that is up prove that our cookie was taken.
            kind::DATA | kind::SACK if self.state == State::CookieEchoed => {
                self.handle_cookie_ack(now);
                return self.handle_chunk(now, packet, tag, chunk);
            }
            _ if !self.is_open() => self.stats.chunks_rejected += 1,
            kind::DATA => return self.handle_data(packet, chunk),
            kind::SACK => match Sack::parse(chunk.value) {
                Some(sack) => self.sender.handle_sack(now, &sack, &mut self.stats),
                None => self.stats.chunks_rejected += 1,
            },
            kind::FORWARD_TSN => match ForwardTsn::parse(chunk.value) {
                Some(forward) if self.is_receiving() => {
                    self.receiver.handle_forward(&forward, &mut self.readable, &mut self.stats);
                }
                _ => self.stats.chunks_rejected += 1,
            },
            kind::HEARTBEAT => {
                // As long as may be sent back; longer ones are not from an honest peer.
                let fits = HEADER_LEN + 4 + chunk.value.len() <= self.config.packet_budget;
                if fits && self.pending.heartbeat_acks.len() < MAX_HEARTBEAT_ACKS {
                    let info = packet.slice(chunk.offset..chunk.offset + chunk.value.len());
                    self.pending.heartbeat_acks.push_back(info);
                }
            }
            kind::HEARTBEAT_ACK => self.handle_heartbeat_ack(now, chunk.value),
            kind::SHUTDOWN => self.handle_shutdown(now, chunk.value),
            kind::RECONFIG => {
                let Self { resets, sender, receiver, events, .. } = self;
                let reconfig = Reconfig::new(chunk.value);
                resets.handle_reconfig(&reconfig, sender, receiver, &mut |event| events.push_back(event));
            }
            kind::PAD => {}
            unknown => {
                self.stats.chunks_rejected += 1;
                // RFC 9260 section 3.2: the two highest bits say what to do.
                if unknown & 0x40 != 0 && self.pending.error.is_none() {
                    let len = chunk.value.len().min(MAX_ERROR_INFO);
                    let start = chunk.offset - 4;
                    let copy = Bytes::copy_from_slice(&packet[start..chunk.offset + len]);
                    self.pending.error = Some((Cause::UnrecognizedChunk, copy));
                }
                return unknown & 0x80 != 0;
            }
        }
        self.state != State::Over
    }

    fn handle_data(&mut self, packet: &Bytes, chunk: &Chunk<'_>) -> bool {
        let Some(data) = Data::parse(chunk) else {
            self.stats.chunks_rejected += 1;
            return true;
        };
        if data.payload.is_empty() {
            return self.violated(Cause::NoUserData, "DATA without user data");
        }
        if !self.is_receiving() {
            return true;
        }
        if data.stream >= self.inbound_streams() {
            self.stats.chunks_rejected += 1;
            if self.pending.error.is_none() {
                let mut info = [0; 4];
                info[..2].copy_from_slice(&data.stream.to_be_bytes());
                self.pending.error = Some((Cause::InvalidStream, Bytes::copy_from_slice(&info)));
            }
            return true;
        }
        match self.receiver.handle_data(packet, &data, &mut self.readable, &mut self.stats) {
            Ok(()) => true,
            Err(_) => self.violated(Cause::OutOfResource, "a message longer than the receive buffer"),
        }
    }

    fn handle_error(&mut self, value: &[u8]) {
        let code = read_u16(value, 0).unwrap_or(0);
        debug!(cause = Cause::describe(code), "the peer reports an error");
        if code == Cause::StaleCookie as u16 && self.state == State::CookieEchoed {
            self.state = State::CookieWait;
            self.handshake =
                Handshake { at: self.epoch, tries: self.handshake.tries, ..Handshake::default() };
        }
    }

    fn handle_heartbeat_ack(&mut self, now: Instant, value: &[u8]) {
        let number = value.get(4..12).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        if let Some((sent, at)) = self.heartbeat.unanswered
            && number == Some(sent)
        {
            self.heartbeat.unanswered = None;
            self.heartbeat.missed = 0;
            self.sender.handle_round_trip(now, now.saturating_duration_since(at));
        }
    }

    fn handle_shutdown(&mut self, now: Instant, value: &[u8]) {
        if let Some(tsn) = read_u32(value, 0) {
            let window = self.peer.window;
            self.sender.handle_sack(now, &Sack::cumulative(tsn, window), &mut self.stats);
        }
        match self.state {
            State::Established | State::ShutdownPending => self.state = State::ShutdownReceived,
            State::ShutdownSent => {
                self.state = State::ShutdownAckSent;
                self.handshake = Handshake { at: Some(now), ..Handshake::default() };
            }
            _ => {}
        }
    }

    /// What follows from what was taken in.
    fn settle(&mut self, now: Instant) {
        if self.state == State::Over {
            return;
        }
        let events = &mut self.events;
        self.resets.perform(&mut self.receiver, &mut |event| events.push_back(event));
        self.readable.drain(..).for_each(|stream| events.push_back(Event::Readable(stream)));
        events.extend(self.sender.take_receipts().map(Event::Acknowledged));
        let next = match self.state {
            State::ShutdownPending => State::ShutdownSent,
            State::ShutdownReceived => State::ShutdownAckSent,
            _ => return,
        };
        if self.sender.is_drained() {
            self.state = next;
            self.handshake = Handshake { at: Some(now), ..Handshake::default() };
        }
    }

    /// The peer broke the protocol: it is told, and the association is over.
    fn violated(&mut self, cause: Cause, what: &'static str) -> bool {
        debug!(what, "protocol violation of the SCTP peer");
        self.pending.abort = Some(cause);
        self.end(Closed::Violation(what));
        false
    }

    fn end(&mut self, why: Closed) {
        if self.state != State::Over {
            self.state = State::Over;
            let events = &mut self.events;
            self.readable.drain(..).for_each(|stream| events.push_back(Event::Readable(stream)));
            self.events.push_back(Event::Closed(why));
        }
    }

    /// RFC 9260 section 8.5.
    fn is_tag_right(&self, packet: &Packet<'_>, first: Option<u8>) -> bool {
        let tag = packet.header.tag;
        let reflected =
            || packet.chunks().next().and_then(Result::ok).is_some_and(|chunk| chunk.flags & 1 != 0);
        match first {
            Some(kind::INIT) => tag == 0,
            // Its cookie says which tag is right.
            Some(kind::COOKIE_ECHO) => true,
            Some(kind::ABORT | kind::SHUTDOWN_COMPLETE) if reflected() => {
                self.peer.tag != 0 && tag == self.peer.tag
            }
            Some(_) => tag == self.local_tag && self.state != State::Idle,
            None => false,
        }
    }

    /// Data, acknowledgements and the like may be exchanged.
    fn is_open(&self) -> bool {
        (State::Established..State::Over).contains(&self.state)
    }

    fn is_receiving(&self) -> bool {
        matches!(self.state, State::Established | State::ShutdownPending | State::ShutdownSent)
    }

    fn outbound_streams(&self) -> u16 {
        self.config.streams.min(self.peer.inbound_streams)
    }

    fn inbound_streams(&self) -> u16 {
        self.config.streams.min(self.peer.outbound_streams)
    }

    fn heartbeat_at(&self) -> Option<Instant> {
        Some(self.heartbeat.quiet_since? + self.config.heartbeat_interval?)
    }

    fn handshake_timeout(&self) -> Duration {
        (self.config.rto_initial * (1 << self.handshake.tries.min(3))).min(MAX_HANDSHAKE_TIMEOUT)
    }
}

/// Handshake packets are repeated at least this often.
const MAX_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Heartbeats that wait to be answered.
const MAX_HEARTBEAT_ACKS: usize = 4;

/// Bytes of an unknown chunk that are sent back.
const MAX_ERROR_INFO: usize = 64;

/// INIT ACK with its cookie, and DATA with something in it.
const LEAST_BUDGET: usize = 256 + DATA_HEADER_LEN;
