//! One WebRTC peer connection, from session description to messages.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;

use crate::certificate::Fingerprint;
use crate::channel::{Channel, SendError, SendOptions};
use crate::channels::Channels;
use crate::dtls::{self, Fate, Role, Session};
use crate::ice::{self, Agent, Credentials, Full, Lite, Path, Verdict};
use crate::sctp::{self, Association};
use crate::sdp::SdpError;
use crate::sdp::description::{Description, Setup};
use crate::stats::PeerStats;
use crate::transmit::Transmits;

mod config;
mod description;

pub use config::{CloseReason, IceFailure, PeerConfig, PeerEvent};

/// One WebRTC peer connection, data only, in either role.
///
/// It owns no socket, clock or task. A driver turns one loop:
///
/// 1. [`handle_datagram`](Self::handle_datagram) for every datagram of a batch, and
///    [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) has come;
/// 2. [`poll_event`](Self::poll_event) until it is empty;
/// 3. [`send`](Self::send) what is waiting, up to [`send_capacity`](Self::send_capacity);
/// 4. [`poll_transmit`](Self::poll_transmit) once, and send what it wrote;
/// 5. wait for datagrams, for something to send, or until [`poll_timeout`](Self::poll_timeout).
///
/// A client begins with [`client`](Self::client), [`add_local_candidate`](Self::add_local_candidate) for each address,
/// [`offer`](Self::offer), and when it comes [`handle_answer`](Self::handle_answer). A server begins with
/// [`server`](Self::server), `add_local_candidate`, [`answer`](Self::answer). When it is the server that makes the offer
/// and the channels (LiveKit's subscriber connection), it begins with [`server_offering`](Self::server_offering) and goes on
/// as a client does, and the client with [`client_answering`](Self::client_answering) as a server does. Candidates that
/// the other side trickles go to [`handle_candidate`](Self::handle_candidate).
pub struct Peer {
    config: PeerConfig,
    /// Full on a client, lite on a server.
    agent: Agent,
    part: Part,
    dtls: Option<Session>,
    sctp: Option<Association>,
    channels: Channels,
    events: VecDeque<PeerEvent>,
    state: State,
    /// SCTP took something in since its events were last looked at.
    unseen: bool,
    created: Instant,
    /// When the peer was last heard, authentically.
    heard: Instant,
    local_candidates: Vec<SocketAddr>,
    candidate_lines: Vec<String>,
    /// ICE restarts so far.
    generation: u64,
    send_limit: usize,
    stats: PeerStats,
}

/// What only one of the two parts in the exchange of descriptions has.
enum Part {
    /// Makes offers and the channels.
    Offerer {
        /// Offers made so far.
        offers: u64,
        /// From the first answer: the certificate that the other side has to show.
        fingerprint: Option<Fingerprint>,
    },
    Answerer {
        offer: Box<Description>,
        /// Offers taken so far.
        offers: u64,
    },
}

/// Connecting → Connected → Ending → Ended, and to Ending from any.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    /// Over, but messages that arrived before may still be fetched.
    Ending(CloseReason),
    Ended,
}

impl Peer {
    /// A client: full ICE, controlling, makes the offer and the channels.
    pub fn client(config: PeerConfig, now: Instant) -> Self {
        let agent = Full::new(credentials(&config), tie_breaker(&config), true);
        Self::new(config, Agent::Full(Box::new(agent)), Part::Offerer { offers: 0, fingerprint: None }, now)
    }

    /// A client that answers `offer`, of a server that makes the channels: full ICE, controlling unless the server's is full
    /// as well (RFC 8445 section 6.1.1).
    pub fn client_answering(config: PeerConfig, now: Instant, offer: &str) -> Result<Self, SdpError> {
        let offer = Description::parse(offer)?;
        let mut agent = Full::new(credentials(&config), tie_breaker(&config), offer.is_lite);
        agent.set_remote(&offer.credentials);
        // Whoever answers starts the handshake if it may (RFC 8842 section 5.3).
        let role = match offer.setup {
            Setup::ActPass | Setup::Passive => Role::Client,
            Setup::Active => Role::Server,
        };
        Ok(Self::answering(config, Agent::Full(Box::new(agent)), offer, role, now))
    }

    /// A server: ICE lite, answers `offer`.
    pub fn server(config: PeerConfig, now: Instant, offer: &str) -> Result<Self, SdpError> {
        let offer = Description::parse(offer)?;
        let agent = Lite::new(credentials(&config), Some(offer.credentials.clone()), tie_breaker(&config));
        // Whoever answers starts the handshake if it may (RFC 8842 section 5.3): the ClientHello leaves with the answer to
        // the first check, a round trip before the client could send its own.
        let role = match offer.setup {
            Setup::ActPass | Setup::Passive => Role::Client,
            Setup::Active => Role::Server,
        };
        Ok(Self::answering(config, Agent::Lite(Box::new(agent)), offer, role, now))
    }

    /// A server that makes the offer and the channels: ICE lite.
    pub fn server_offering(config: PeerConfig, now: Instant) -> Self {
        let agent = Lite::new(credentials(&config), None, tie_breaker(&config));
        Self::new(config, Agent::Lite(Box::new(agent)), Part::Offerer { offers: 0, fingerprint: None }, now)
    }

    fn answering(config: PeerConfig, agent: Agent, offer: Description, role: Role, now: Instant) -> Self {
        let part = Part::Answerer { offer: Box::new(offer.clone()), offers: 1 };
        let mut peer = Self::new(config, agent, part, now);
        peer.prepare(now, &offer, role);
        peer.take_candidates(&offer);
        // A full agent has no timer before its first one.
        peer.agent.handle_timeout(now);
        peer
    }

    fn new(config: PeerConfig, agent: Agent, part: Part, now: Instant) -> Self {
        Self {
            config,
            agent,
            part,
            dtls: None,
            sctp: None,
            channels: Channels::default(),
            events: VecDeque::new(),
            state: State::Connecting,
            unseen: false,
            created: now,
            heard: now,
            local_candidates: Vec::new(),
            candidate_lines: Vec::new(),
            generation: 0,
            send_limit: 0,
            stats: PeerStats::default(),
        }
    }

    /// A datagram that arrived at `local` from `remote`. Hand in a whole batch, then poll once.
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram.len() as u64;
        if self.is_closed() {
            return;
        }
        let path = Path { local: self.resolve(local), remote };
        // RFC 7983 section 7: the first byte tells the protocols on one port apart.
        match datagram.first() {
            Some(0..=3) => self.handle_stun(now, path, datagram),
            Some(20..=63) => self.handle_dtls(now, path, datagram),
            _ => self.stats.malformed_datagrams += 1,
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come; early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        self.agent.handle_timeout(now);
        self.drive_handshake(now);
        if let Some(sctp) = &mut self.sctp {
            sctp.handle_timeout(now);
            self.unseen = true;
        }
        if now >= self.deadline() {
            let failure = match self.state {
                State::Connected => IceFailure::Silent(self.config.disconnect_timeout),
                _ if self.agent.path().is_none() => IceFailure::NoPath(self.config.connect_timeout),
                _ => IceFailure::NoSession(self.config.connect_timeout),
            };
            self.end(CloseReason::IceFailed(failure));
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` when the peer is over.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if self.is_closed() {
            return None;
        }
        let agent = self.agent.poll_timeout();
        // A peer that was quicker may have begun the handshake; without a path there is nowhere to repeat our part of it.
        let dtls = self.agent.path().and(self.dtls.as_ref()).and_then(Session::poll_timeout);
        let sctp = self.sctp.as_ref().and_then(Association::poll_timeout);
        [agent, dtls, sctp, Some(self.deadline())].into_iter().flatten().min()
    }

    /// Appends everything that can leave now.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Transmits) {
        self.look_at_sctp();
        let (datagrams, bytes) = (out.len(), out.bytes().len());
        self.agent.poll_transmit(|path, datagram| out.push(source(path), path.remote, datagram));
        let mut failure = None;
        if let (Some(path), Some(dtls)) = (self.agent.path(), &mut self.dtls) {
            let source = source(path);
            dtls.poll_transmit(|datagram| out.push(source, path.remote, datagram));
            if let Some(sctp) = &mut self.sctp
                && dtls.is_established()
            {
                sctp.poll_transmit(now, |packet| {
                    let sealed = dtls.seal(packet, out, |out, len| out.commit(source, path.remote, len));
                    if let Err(error) = sealed {
                        failure = Some(error);
                    }
                });
            }
        }
        self.stats.datagrams_sent += (out.len() - datagrams) as u64;
        self.stats.bytes_sent += (out.bytes().len() - bytes) as u64;
        if let Some(failure) = failure {
            self.end(failure.into());
        }
    }

    /// The next event; drain it after each batch. Messages wait in SCTP, whose window holds the peer back, until they
    /// are fetched here.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.look_at_sctp();
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Some(sctp) = &mut self.sctp {
            let message = self.channels.poll_message(sctp, &mut self.events, &mut self.stats);
            if let Some((channel, message)) = message {
                self.stats.messages_received += 1;
                return Some(PeerEvent::Message(channel, message));
            }
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
        }
        if let State::Ending(reason) = &self.state {
            let reason = reason.clone();
            self.state = State::Ended;
            return Some(PeerEvent::Closed(reason));
        }
        None
    }

    /// Queues one message, to be sent as its channel was announced.
    pub fn send(&mut self, channel: Channel, data: &Bytes) -> Result<(), SendError> {
        self.send_with(channel, data, &SendOptions::default())
    }

    /// Queues one message, to be sent as `options` say.
    pub fn send_with(
        &mut self,
        channel: Channel,
        data: &Bytes,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let Some(sctp) = self.sctp.as_mut().filter(|_| self.state == State::Connected) else {
            return Err(SendError::NotOpen(channel));
        };
        if data.len() > self.send_limit {
            return Err(SendError::TooLarge { size: data.len(), limit: self.send_limit });
        }
        let buffered = self.channels.total_buffered();
        if buffered + data.len() > MAX_BUFFERED {
            return Err(SendError::Full { buffered, limit: MAX_BUFFERED });
        }
        if !self.channels.send(sctp, channel, data, options) {
            return Err(SendError::NotOpen(channel));
        }
        self.stats.messages_sent += 1;
        Ok(())
    }

    /// Whether the channel can be sent on.
    pub fn is_open(&self, channel: Channel) -> bool {
        self.state == State::Connected && self.channels.is_open(channel)
    }

    /// Bytes of the channel that were accepted and not yet acknowledged or given up.
    pub fn buffered_amount(&self, channel: Channel) -> usize {
        self.channels.buffered(channel)
    }

    /// Bytes that SCTP takes now without building a standing queue; 0 when the channel is not open.
    ///
    /// A hint, not a limit: [`send`](Self::send) takes a message that is longer than this. Send while it is above 0.
    pub fn send_capacity(&self, channel: Channel) -> usize {
        if !self.is_open(channel) {
            return 0;
        }
        let Some(sctp) = &self.sctp else { return 0 };
        if sctp.is_paced() {
            return sctp.room();
        }
        self.config.send_window.saturating_sub(self.channels.total_buffered()).min(sctp.room())
    }

    /// How many [`copies`](SendOptions::copies) of a message of one packet pay off on this path as it has been lately: none on
    /// a short path that loses nothing, more where losses come in bursts.
    pub fn suggested_copies(&self) -> u8 {
        self.sctp.as_ref().map_or(0, Association::suggested_copies)
    }

    /// Bytes per second that the path takes at most, as far as is known; `None` before its round trip was measured.
    pub fn send_rate(&self) -> Option<u64> {
        let stats = self.sctp.as_ref()?.stats();
        let round_trip = stats.round_trip?.max(Duration::from_micros(1));
        Some((stats.window as f64 / round_trip.as_secs_f64()) as u64)
    }

    /// Longest message in bytes that the peer accepts; 0 before its description is known.
    pub fn max_message_size(&self) -> usize {
        self.send_limit
    }

    /// Ends the session; the next [`poll_transmit`](Self::poll_transmit) carries the farewell.
    pub fn close(&mut self, now: Instant) {
        debug!(after = ?now.saturating_duration_since(self.created), "peer closed");
        self.end(CloseReason::Local);
    }

    /// Whether the peer is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Ending(_) | State::Ended)
    }

    /// The addresses that packets travel between now: ours and the peer's.
    pub fn path(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.agent.path().map(|path| (path.local, path.remote))
    }

    /// The counters.
    pub fn stats(&self) -> PeerStats {
        let mut stats = self.stats;
        if let Some(sctp) = &self.sctp {
            let sctp = sctp.stats();
            stats.retransmission_timeouts = sctp.timeouts;
            stats.retransmissions = sctp.retransmissions;
            stats.losses = sctp.losses;
            stats.copies = sctp.copies;
            stats.forward_tsns = sctp.forward_tsns;
            stats.abandoned_messages = sctp.abandoned_messages;
            stats.congestion_window = sctp.window;
            stats.bytes_in_flight = sctp.in_flight;
            stats.bytes_buffered = sctp.buffered;
            stats.rejected_messages += sctp.oversize_messages;
            stats.data_round_trip = sctp.round_trip;
        }
        if let Agent::Full(agent) = &self.agent {
            stats.round_trip = agent.round_trip();
        }
        stats
    }
}

impl Peer {
    /// Sets up what the peer's first description decides.
    fn prepare(&mut self, now: Instant, description: &Description, role: Role) {
        self.send_limit = description.max_message_size.unwrap_or(usize::MAX).min(MAX_SEND_MESSAGE);
        self.dtls = Some(Session::new(&self.config.certificate, role, description.fingerprint, now));
        self.sctp = Some(Association::new(sctp::Settings {
            secret: sctp_secret(&self.config.secret),
            max_receive_message_size: self.config.max_message_size,
            remote_port: description.sctp_port,
        }));
    }

    fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let before = self.agent.path();
        match self.agent.handle_stun(now, path, datagram) {
            Verdict::Rejected => {
                self.stats.rejected_stun += 1;
                return;
            }
            Verdict::Accepted => {}
            Verdict::NewAddress(remote) => self.events.push_back(PeerEvent::RemoteAddress(remote)),
        }
        self.heard = now;
        self.note_path(before);
        self.drive_handshake(now);
    }

    fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let Some(dtls) = &mut self.dtls else {
            self.stats.rejected_dtls += 1;
            return;
        };
        // A handshake can be disturbed by anyone who guesses the moment; so it is held with checked addresses only.
        if !dtls.is_established() && !self.agent.is_checked(path.remote) {
            self.stats.rejected_dtls += 1;
            return;
        }
        let mut seen = Seen::default();
        let sctp = &mut self.sctp;
        let fate = dtls.handle_datagram(now, datagram, &mut |event| seen.take(now, sctp.as_mut(), event));
        if fate == Ok(Fate::Rejected) {
            self.stats.rejected_dtls += 1;
        }
        if seen.data {
            self.heard = now;
            let before = self.agent.path();
            self.agent.handle_data(now, path);
            self.note_path(before);
        }
        self.conclude(seen, fate.map(drop));
    }

    /// Starts the handshake once there is a path, and repeats lost flights.
    fn drive_handshake(&mut self, now: Instant) {
        let Some(dtls) = &mut self.dtls else { return };
        if dtls.is_established() || self.agent.path().is_none() {
            return;
        }
        let mut seen = Seen::default();
        let sctp = &mut self.sctp;
        let result = dtls.handle_timeout(now, &mut |event| seen.take(now, sctp.as_mut(), event));
        self.conclude(seen, result);
    }

    fn conclude(&mut self, seen: Seen, result: Result<(), dtls::Failure>) {
        self.unseen |= seen.data;
        if let Err(failure) = result {
            self.end(failure.into());
            return;
        }
        if seen.connected
            && let (Some(dtls), Some(sctp)) = (&self.dtls, &mut self.sctp)
        {
            debug!(role = ?dtls.role(), "DTLS established");
            // The DTLS client sends INIT. Stacks that always do so are welcome in the other role as well.
            if dtls.role() == Role::Client {
                sctp.connect();
            }
        }
        if seen.close_notify {
            self.end(CloseReason::CloseNotify);
        }
    }

    fn look_at_sctp(&mut self) {
        let Some(sctp) = self.sctp.as_mut().filter(|_| self.unseen) else { return };
        self.unseen = false;
        let mut lost = None;
        while let Some(event) = sctp.poll_event() {
            match event {
                sctp::Event::Connected => {
                    debug!("SCTP established");
                    if self.state == State::Connecting {
                        self.state = State::Connected;
                    }
                    self.events.push_back(PeerEvent::Connected);
                    match (&self.part, &self.dtls) {
                        _ if self.config.negotiated_channels => {
                            self.channels.open_negotiated(sctp, &mut self.events);
                        }
                        (Part::Offerer { .. }, Some(dtls)) => {
                            self.channels.open_in_band(sctp, dtls.role(), &mut self.events);
                        }
                        _ => {}
                    }
                }
                sctp::Event::Readable(stream) => {
                    self.channels.handle_readable(sctp, stream, &mut self.events, &mut self.stats);
                }
                sctp::Event::Reset(stream) => self.channels.handle_reset(stream, &mut self.events),
                sctp::Event::Acknowledged(receipt) => self.events.push_back(PeerEvent::Acknowledged(receipt)),
                sctp::Event::Lost(reason) => lost = Some(reason),
            }
        }
        self.channels.refresh(sctp);
        if let Some(reason) = lost {
            self.end(CloseReason::SctpAborted(reason));
        }
    }

    fn end(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        debug!(%reason, "peer over");
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
        }
        self.state = State::Ending(reason);
    }

    fn deadline(&self) -> Instant {
        match self.state {
            State::Connected => self.heard + self.config.disconnect_timeout,
            _ => self.created + self.config.connect_timeout,
        }
    }

    fn note_path(&mut self, before: Option<Path>) {
        let path = self.agent.path();
        if let (Some(old), Some(new)) = (before, path)
            && old.remote != new.remote
        {
            debug!(from = %old.remote, to = %new.remote, "peer moved");
            self.stats.address_changes += 1;
        }
    }

    /// The full agent knows its sockets by their candidates. A socket bound to no particular address is any of its family,
    /// and an interface that came up later is a candidate that was not announced.
    fn resolve(&mut self, local: SocketAddr) -> SocketAddr {
        let Agent::Full(agent) = &mut self.agent else { return local };
        if self.local_candidates.contains(&local) {
            return local;
        }
        if local.ip().is_unspecified() {
            let same =
                |known: &&SocketAddr| known.port() == local.port() && known.is_ipv4() == local.is_ipv4();
            return self.local_candidates.iter().find(same).copied().unwrap_or(local);
        }
        if self.local_candidates.len() < MAX_LOCAL_CANDIDATES && agent.add_local(local) {
            self.local_candidates.push(local);
        }
        local
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("state", &self.state)
            .field("ufrag", &self.local_ufrag())
            .field("path", &self.agent.path())
            .field("dtls", &self.dtls)
            .field("sctp", &self.sctp)
            .finish_non_exhaustive()
    }
}

/// What one call into the DTLS session brought.
#[derive(Debug, Default)]
struct Seen {
    connected: bool,
    data: bool,
    close_notify: bool,
}

impl Seen {
    fn take(&mut self, now: Instant, sctp: Option<&mut Association>, event: dtls::Event) {
        match event {
            dtls::Event::Connected => self.connected = true,
            dtls::Event::CloseNotify => self.close_notify = true,
            dtls::Event::Data(packet) => {
                self.data = true;
                if let Some(sctp) = sctp {
                    sctp.handle_packet(now, packet);
                }
            }
        }
    }
}

impl From<dtls::Failure> for CloseReason {
    fn from(failure: dtls::Failure) -> Self {
        match failure {
            dtls::Failure::Protocol(reason) => Self::DtlsFailed(reason),
            dtls::Failure::WrongFingerprint { expected, actual } => {
                Self::WrongFingerprint { expected, actual }
            }
        }
    }
}

fn credentials(config: &PeerConfig) -> Credentials {
    Credentials::derive(&config.secret, 0)
}

fn tie_breaker(config: &PeerConfig) -> u64 {
    ice::derive_number(&config.secret, b't')
}

/// The association's own secret, of which nothing that is sent tells anything about the other uses of the peer's.
fn sctp_secret(secret: &[u8; 32]) -> [u8; 32] {
    let mut own = [0; 32];
    for (label, part) in b"abcd".iter().zip(own.chunks_exact_mut(8)) {
        part.copy_from_slice(&ice::derive_number(secret, *label).to_be_bytes());
    }
    own
}

/// A socket bound to no particular address chooses its source itself.
fn source(path: Path) -> Option<SocketAddr> {
    (!path.local.ip().is_unspecified()).then_some(path.local)
}

/// Longest message that is ever sent: what libwebrtc announces, and more than LiveKit uses.
const MAX_SEND_MESSAGE: usize = 256 * 1024;

/// Bytes accepted and not acknowledged, over all channels. The layers above keep to
/// [`Peer::send_capacity`]; this only keeps a mistake there from eating the memory.
const MAX_BUFFERED: usize = 8 * 1024 * 1024;

/// Interfaces of one host, generously.
const MAX_LOCAL_CANDIDATES: usize = 32;
