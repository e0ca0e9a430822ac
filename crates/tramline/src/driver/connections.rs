//! The connections to the server that carry data: one, or one for each direction.
//!
//! Each has a socket of its own. The server tells its clients' connections apart by their addresses, and both would come from one.

use std::{
    io,
    net::IpAddr,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use tramline_core::session::Target;
use tramline_net::{
    random,
    udp::{RecvBatch, UdpCounters, UdpSockets},
};
use tramline_transport::{
    CandidateError, Certificate, Channel, Peer, PeerConfig, PeerEvent, PeerStats, SdpError, SendError,
    SendOptions, Transmits,
};

/// The publisher's connection, on which everything is sent, and in the layout with two the subscriber's.
pub(super) struct Connections {
    publisher: Option<Connection>,
    subscriber: Option<Connection>,
    certificate: Certificate,
    /// This machine's addresses.
    hosts: Vec<IpAddr>,
    transmits: Transmits,
}

struct Connection {
    peer: Peer,
    sockets: UdpSockets,
    batch: RecvBatch,
    has_datagrams: bool,
    is_connected: bool,
}

/// Why a connection could not be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("this machine gave no socket or randomness: {0}")]
    Local(#[from] io::Error),
    #[error("the server's session description cannot be used: {0}")]
    Description(#[from] SdpError),
    #[error("there is no such connection")]
    Unknown,
}

impl Connections {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            publisher: None,
            subscriber: None,
            certificate: Certificate::generate().map_err(io::Error::other)?,
            hosts: Vec::new(),
            transmits: Transmits::new(),
        })
    }

    /// This machine's addresses, as the server may reach them; for connections that there are and those to come.
    pub(super) fn set_hosts(&mut self, hosts: Vec<IpAddr>) {
        self.hosts = hosts;
        for connection in self.publisher.iter_mut().chain(&mut self.subscriber) {
            connection.add_candidates(&self.hosts);
        }
    }

    // ---- Descriptions.

    /// An offer of the publisher's connection, which is made if there is none yet.
    pub(super) fn offer(&mut self, now: Instant) -> Result<String, SetupError> {
        if self.publisher.is_none() {
            let peer = Peer::client(self.config()?, now);
            self.publisher = Some(Connection::new(peer, &self.hosts)?);
        }
        self.publisher.as_mut().map(|connection| connection.peer.offer()).ok_or(SetupError::Unknown)
    }

    pub(super) fn handle_answer(&mut self, now: Instant, sdp: &str) -> Result<(), SetupError> {
        let publisher = self.publisher.as_mut().ok_or(SetupError::Unknown)?;
        Ok(publisher.peer.handle_answer(now, sdp)?)
    }

    /// The answer to an offer of the subscriber's connection, which is made if there is none yet.
    pub(super) fn answer(&mut self, now: Instant, offer: &str) -> Result<String, SetupError> {
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.peer.handle_offer(now, offer)?;
            return Ok(subscriber.peer.answer());
        }
        let peer = Peer::client_answering(self.config()?, now, offer)?;
        let subscriber = self.subscriber.insert(Connection::new(peer, &self.hosts)?);
        Ok(subscriber.peer.answer())
    }

    /// See [`Peer::set_negotiated_channels`]; for the publisher's connection.
    pub(super) fn set_negotiated_channels(&mut self, negotiated: bool) {
        if let Some(publisher) = &mut self.publisher {
            publisher.peer.set_negotiated_channels(negotiated);
        }
    }

    pub(super) fn handle_candidate(&mut self, target: Target, candidate: &str) -> Result<(), CandidateError> {
        // A server that trickles before it has offered says all of it again in the offer, or the client finds it out.
        match self.connection_mut(target) {
            Some(connection) => connection.peer.handle_candidate(candidate),
            None => Ok(()),
        }
    }

    /// The publisher's candidates, as JSON `RTCIceCandidateInit`s.
    pub(super) fn publisher_candidates(&self) -> Vec<String> {
        let candidates = self.publisher.as_ref().map(|connection| connection.peer.local_candidates());
        let to_json = |candidate: tramline_transport::LocalCandidate| {
            serde_json::json!({
                "candidate": candidate.candidate,
                "sdpMid": candidate.mid,
                "sdpMLineIndex": candidate.mline_index,
            })
            .to_string()
        };
        candidates.into_iter().flatten().map(to_json).collect()
    }

    fn config(&self) -> io::Result<PeerConfig> {
        Ok(PeerConfig::new(self.certificate.clone(), random::bytes()?))
    }

    // ---- The loop.

    /// Whether datagrams have come, for [`handle_datagrams`](Self::handle_datagrams).
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut has_come = false;
        for connection in self.iter_mut() {
            match connection.sockets.poll_recv(cx, &mut connection.batch) {
                Poll::Ready(Ok(())) => {
                    connection.has_datagrams = true;
                    has_come = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if has_come { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    pub(super) fn handle_datagrams(&mut self, now: Instant) {
        for connection in self.iter_mut() {
            if std::mem::take(&mut connection.has_datagrams) {
                for datagram in connection.batch.iter() {
                    connection.peer.handle_datagram(now, datagram.local, datagram.remote, datagram.payload);
                }
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for connection in self.iter_mut() {
            if connection.peer.poll_timeout().is_some_and(|due| due <= now) {
                connection.peer.handle_timeout(now);
            }
        }
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        self.iter_mut().filter_map(|connection| connection.peer.poll_timeout()).min()
    }

    pub(super) fn poll_event(&mut self) -> Option<(Target, PeerEvent)> {
        for (target, connection) in
            [(Target::Publisher, &mut self.publisher), (Target::Subscriber, &mut self.subscriber)]
        {
            let Some(connection) = connection else { continue };
            if let Some(event) = connection.peer.poll_event() {
                connection.is_connected |= event == PeerEvent::Connected;
                return Some((target, event));
            }
        }
        None
    }

    /// Sends what can leave now.
    pub(super) fn transmit(&mut self, now: Instant) {
        let transmits = &mut self.transmits;
        for connection in self.publisher.iter_mut().chain(&mut self.subscriber) {
            connection.peer.poll_transmit(now, transmits);
            if !transmits.is_empty() {
                connection.sockets.send(transmits);
            }
        }
    }

    /// Once more what the sockets were too busy for.
    pub(super) fn flush(&mut self) {
        for connection in self.iter_mut() {
            connection.sockets.flush();
        }
    }

    pub(super) fn close(&mut self, now: Instant) {
        for connection in self.iter_mut() {
            connection.peer.close(now);
        }
    }

    // ---- Data.

    /// Whether data can be received, and be sent if that was prepared.
    pub(super) fn is_usable(&self, primary: Target) -> bool {
        let can_receive = match primary {
            // The server opens its channels when it has something to send.
            Target::Subscriber => self.subscriber.as_ref().is_some_and(|subscriber| subscriber.is_connected),
            Target::Publisher => self.publisher.is_some(),
        };
        can_receive
            && self.publisher.as_ref().is_none_or(|publisher| publisher.peer.is_open(Channel::DataTrack))
    }

    /// See [`Peer::send_capacity`].
    pub(super) fn send_capacity(&self, channel: Channel) -> usize {
        self.publisher.as_ref().map_or(0, |publisher| publisher.peer.send_capacity(channel))
    }

    /// See [`Peer::send_rate`].
    pub(super) fn send_rate(&self) -> Option<u64> {
        self.publisher.as_ref()?.peer.send_rate()
    }

    pub(super) fn send(&mut self, channel: Channel, packet: &Bytes) -> Result<(), SendError> {
        self.send_with_receipt(channel, packet, None)
    }

    /// The receipt comes back when the packet has arrived ([`PeerEvent::Acknowledged`]).
    pub(super) fn send_with_receipt(
        &mut self,
        channel: Channel,
        packet: &Bytes,
        receipt: Option<u64>,
    ) -> Result<(), SendError> {
        self.send_with(channel, packet, &SendOptions { receipt, ..SendOptions::default() })
    }

    /// See [`Peer::suggested_copies`].
    pub(super) fn suggested_copies(&self) -> u8 {
        self.publisher.as_ref().map_or(0, |publisher| publisher.peer.suggested_copies())
    }

    pub(super) fn send_with(
        &mut self,
        channel: Channel,
        packet: &Bytes,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        match &mut self.publisher {
            Some(publisher) => publisher.peer.send_with(channel, packet, options),
            None => Err(SendError::NotOpen(channel)),
        }
    }

    /// Bytes that were handed over and have not arrived yet.
    pub(super) fn buffered_amount(&self, channel: Channel) -> usize {
        self.publisher.as_ref().map_or(0, |publisher| publisher.peer.buffered_amount(channel))
    }

    /// Longest message that the server takes.
    pub(super) fn max_message_size(&self) -> usize {
        self.publisher.as_ref().map_or(0, |publisher| publisher.peer.max_message_size())
    }

    // ---- Counters.

    pub(super) fn stats(&self) -> PeerStats {
        self.iter().fold(PeerStats::default(), |mut sum, connection| {
            sum += connection.peer.stats();
            sum
        })
    }

    pub(super) fn udp_counters(&self) -> UdpCounters {
        self.iter().fold(UdpCounters::default(), |mut sum, connection| {
            sum += connection.sockets.counters();
            sum
        })
    }

    fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.publisher.iter().chain(&self.subscriber)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.publisher.iter_mut().chain(&mut self.subscriber)
    }

    fn connection_mut(&mut self, target: Target) -> Option<&mut Connection> {
        match target {
            Target::Publisher => self.publisher.as_mut(),
            Target::Subscriber => self.subscriber.as_mut(),
        }
    }
}

impl Connection {
    fn new(peer: Peer, hosts: &[IpAddr]) -> io::Result<Self> {
        let sockets = UdpSockets::bind_any()?;
        let mut connection =
            Self { peer, sockets, batch: RecvBatch::new(), has_datagrams: false, is_connected: false };
        connection.add_candidates(hosts);
        Ok(connection)
    }

    fn add_candidates(&mut self, hosts: &[IpAddr]) {
        for &ip in hosts {
            if let Some(addr) = self.sockets.addr_of(ip) {
                self.peer.add_local_candidate(addr);
            }
        }
    }
}
