//! The bench that the tests share: a client behind a NAT, a server, and the network between them.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tramline_sim::{Conditions, Network, VirtualClock};
use tramline_transport::{Certificate, Channel, Peer, PeerConfig, PeerEvent, Transmits};

/// Certificates are dear; two serve all tests.
static CERTIFICATES: LazyLock<[Certificate; 2]> =
    LazyLock::new(|| [0, 1].map(|_| Certificate::generate().expect("a certificate")));

pub(crate) fn client_config(seed: u64) -> PeerConfig {
    config(0, seed)
}

pub(crate) fn server_config(seed: u64) -> PeerConfig {
    config(1, seed)
}

fn config(side: usize, seed: u64) -> PeerConfig {
    let mut secret = [side as u8; 32];
    secret[..8].copy_from_slice(&seed.to_le_bytes());
    PeerConfig::new(CERTIFICATES[side].clone(), secret)
}

/// How a link is set up.
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) conditions: Conditions,
    pub(crate) negotiated: bool,
    /// The client is the DTLS server, as against an answer with `a=setup:active`.
    pub(crate) server_active: bool,
    pub(crate) ipv6: bool,
    pub(crate) offerer: Offerer,
    /// How long connecting may take.
    pub(crate) connect_timeout: Duration,
}

/// Who makes the offer and the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offerer {
    Client,
    Server,
    /// A server that is not ICE lite.
    FullServer,
}

impl Default for Setup {
    fn default() -> Self {
        let conditions = Conditions { delay: Duration::from_millis(5), ..Conditions::default() };
        Self {
            seed: 1,
            conditions,
            negotiated: true,
            server_active: false,
            ipv6: false,
            offerer: Offerer::Client,
            connect_timeout: Duration::from_secs(30),
        }
    }
}

/// One of the two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Server,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

pub(crate) struct Link {
    pub(crate) clock: VirtualClock,
    pub(crate) network: Network<SocketAddr, Vec<u8>>,
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    /// The client's own address; only it and its NAT know it.
    pub(crate) client_addr: SocketAddr,
    /// What the NAT makes of it.
    pub(crate) public_addr: SocketAddr,
    pub(crate) server_addr: SocketAddr,
    events: [Vec<PeerEvent>; 2],
    /// Length of the longest datagram so far.
    pub(crate) longest: usize,
    /// Whether the driver fetches the events of each side.
    pub(crate) reads: [bool; 2],
    out: Transmits,
    /// The last instant, and how often something happened in it.
    steps: (Option<Instant>, usize),
}

impl Link {
    /// Both descriptions are exchanged; nothing was sent yet.
    pub(crate) fn new(setup: &Setup) -> Self {
        Self::with(setup, |offer| offer, |answer| answer)
    }

    /// The same, with descriptions that are tampered with on their way.
    pub(crate) fn with(
        setup: &Setup,
        tamper_offer: impl FnOnce(String) -> String,
        tamper_answer: impl FnOnce(String) -> String,
    ) -> Self {
        let clock = VirtualClock::new();
        let now = clock.now();
        let [client_addr, public_addr, server_addr] = if setup.ipv6 {
            ["[fd00::2]:40000", "[2001:db8::7]:50000", "[2001:db8::1]:7882"]
        } else {
            ["10.0.0.2:40000", "192.0.2.7:50000", "198.51.100.1:7882"]
        }
        .map(|addr| addr.parse().expect("an address"));

        let (mut client_config, mut server_config) = (client_config(setup.seed), server_config(setup.seed));
        client_config.negotiated_channels = setup.negotiated;
        server_config.negotiated_channels = setup.negotiated;
        client_config.connect_timeout = setup.connect_timeout;
        server_config.connect_timeout = setup.connect_timeout;
        let (client, server) = if setup.offerer == Offerer::Client {
            let mut client = Peer::client(client_config, now);
            client.add_local_candidate(client_addr);
            let role = if setup.server_active { "a=setup:actpass" } else { "a=setup:active" };
            let offer = client.offer().replace("a=setup:actpass", role);
            let mut server = Peer::server(server_config, now, &tamper_offer(offer)).expect("a good offer");
            server.add_local_candidate(server_addr);
            client.handle_answer(now, &tamper_answer(server.answer())).expect("a good answer");
            (client, server)
        } else {
            let mut server = match setup.offerer {
                Offerer::FullServer => Peer::client(server_config, now),
                _ => Peer::server_offering(server_config, now),
            };
            server.add_local_candidate(server_addr);
            let mut offer = server.offer();
            if setup.server_active {
                offer = offer.replace("a=setup:actpass", "a=setup:active");
            }
            let offer = tamper_offer(offer);
            let mut client = Peer::client_answering(client_config, now, &offer).expect("a good offer");
            client.add_local_candidate(client_addr);
            server.handle_answer(now, &tamper_answer(client.answer())).expect("a good answer");
            (client, server)
        };
        Self {
            clock,
            network: Network::new(setup.seed, setup.conditions),
            client,
            server,
            client_addr,
            public_addr,
            server_addr,
            events: [Vec::new(), Vec::new()],
            longest: 0,
            reads: [true, true],
            out: Transmits::new(),
            steps: (None, 0),
        }
    }

    /// Both peers connected and all channels open.
    pub(crate) fn connected(setup: &Setup) -> Self {
        let mut link = Self::new(setup);
        link.run_until(setup.connect_timeout, |link| {
            End::BOTH
                .into_iter()
                .all(|end| Channel::ALL.into_iter().all(|channel| link.peer(end).is_open(channel)))
        });
        link
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn peer(&mut self, end: End) -> &mut Peer {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    pub(crate) fn send(&mut self, from: End, channel: Channel, message: &Bytes) {
        self.peer(from).send(channel, message).expect("an open channel with room");
    }

    /// The events that came up at this end since the last call.
    pub(crate) fn events(&mut self, end: End) -> Vec<PeerEvent> {
        std::mem::take(&mut self.events[end as usize])
    }

    /// The messages that arrived at this end since the last call; other events stay.
    pub(crate) fn messages(&mut self, end: End) -> Vec<(Channel, Bytes)> {
        let mut messages = Vec::new();
        self.events[end as usize].retain(|event| match event {
            PeerEvent::Message(channel, message) => {
                messages.push((*channel, message.clone()));
                false
            }
            _ => true,
        });
        messages
    }

    pub(crate) fn has_event(&self, end: End, wanted: impl Fn(&PeerEvent) -> bool) -> bool {
        self.events[end as usize].iter().any(wanted)
    }

    /// Runs until `done`, and panics when that takes longer than `limit` of virtual time.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now() + limit;
        self.flush();
        while !done(self) {
            assert!(self.step(end), "not done within {limit:?}; {:?} {:?}", self.client, self.server);
        }
    }

    /// A peer whose next timer is always now would keep the clock from moving on for ever.
    fn note_instant(&mut self, now: Instant) {
        let (instant, steps) = &mut self.steps;
        *steps = if *instant == Some(now) { *steps + 1 } else { 0 };
        *instant = Some(now);
        assert!(
            self.steps.1 < 1_000,
            "time stands still; timers in {:?} and {:?}; {:?} {:?}",
            self.client.poll_timeout().map(|at| at.saturating_duration_since(now)),
            self.server.poll_timeout().map(|at| at.saturating_duration_since(now)),
            self.client,
            self.server
        );
    }

    /// Runs for this long.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.step(end) {}
        self.clock.advance_to(end);
    }

    /// Everything that happens next, all of it at one instant; `false` when that is after `end`.
    fn step(&mut self, end: Instant) -> bool {
        self.flush();
        let timeouts = [self.network.poll_timeout(), self.client.poll_timeout(), self.server.poll_timeout()];
        let Some(next) = timeouts.into_iter().flatten().min().filter(|next| *next <= end) else {
            return false;
        };
        let now = self.clock.advance_to(next);
        self.note_instant(now);
        while let Some(delivery) = self.network.poll_delivery(now) {
            if delivery.to == self.public_addr {
                self.client.handle_datagram(now, self.client_addr, delivery.from, &delivery.datagram);
            } else if delivery.to == self.server_addr {
                self.server.handle_datagram(now, self.server_addr, delivery.from, &delivery.datagram);
            }
        }
        for end in End::BOTH {
            if self.peer(end).poll_timeout().is_some_and(|at| at <= now) {
                self.peer(end).handle_timeout(now);
            }
        }
        self.flush();
        true
    }

    fn flush(&mut self) {
        let now = self.now();
        for end in End::BOTH {
            if self.reads[end as usize] {
                while let Some(event) = self.peer(end).poll_event() {
                    self.events[end as usize].push(event);
                }
            }
            let mut out = std::mem::take(&mut self.out);
            out.clear();
            self.peer(end).poll_transmit(now, &mut out);
            for (src, dst, datagram) in out.iter() {
                let src = match end {
                    End::Client => {
                        assert_eq!(src, Some(self.client_addr));
                        self.public_addr
                    }
                    End::Server => {
                        assert_eq!(
                            src,
                            Some(self.server_addr),
                            "answers leave from where the question arrived"
                        );
                        self.server_addr
                    }
                };
                self.longest = self.longest.max(datagram.len());
                self.network.send(now, src, dst, datagram.to_vec());
            }
            self.out = out;
        }
    }
}

/// A message whose content depends on its length and number, so that mixing them up shows.
pub(crate) fn message(len: usize, number: u64) -> Bytes {
    let mut state = (len as u64) << 32 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes: Vec<u8> = (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    if let Some(head) = bytes.first_chunk_mut() {
        *head = number.to_be_bytes();
    }
    bytes.into()
}

/// The number inside a [`message`] of at least 8 bytes.
pub(crate) fn number(message: &[u8]) -> u64 {
    u64::from_be_bytes(*message.first_chunk().expect("a numbered message"))
}
