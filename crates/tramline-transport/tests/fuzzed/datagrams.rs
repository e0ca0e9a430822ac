//! A session on a network that anybody can write to: strangers put in, change, repeat and hold back datagrams. Before
//! the handshake is over they can prevent the session; afterwards they can only delay it. What is delivered is what was
//! sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tramline_sim::{Choices, VirtualClock};
use tramline_transport::{Certificate, Channel, CloseReason, Peer, PeerConfig, PeerEvent, Transmits};

/// Certificates are dear; one serves all runs.
static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().expect("a certificate"));

/// Most bytes that a peer may have to send at once: its window, the ICE checks, and headers.
const LARGEST_BURST: usize = 600_000;
/// Datagrams that the network holds.
const NETWORK: usize = 64;

/// Runs the operations that `data` stands for.
pub(crate) fn check(data: &[u8]) {
    let mut input = Choices::new(data);
    let mut run = Run::new(input.flag());
    if input.below(4) != 0 {
        run.connect();
    }
    while !input.is_empty() {
        run.disturb(&mut input);
        run.exchange();
    }
    // Without strangers everything that was sent reliably arrives.
    if run.connected {
        for _ in 0..400 {
            run.pass(Duration::from_millis(20));
            run.deliver_all();
        }
        assert_eq!(
            run.ends[0].closed.clone().or(run.ends[1].closed.clone()),
            None,
            "strangers cannot end a session"
        );
        for from in 0..2 {
            assert_eq!(run.ends[1 - from].received, run.ends[from].sent, "all of it, in order");
        }
    }
}

struct Run {
    clock: VirtualClock,
    /// Client and server.
    ends: [End; 2],
    /// On their way: to which end, and what.
    network: VecDeque<(usize, Vec<u8>)>,
    /// Delivered before, for those who repeat.
    seen: Vec<(usize, Vec<u8>)>,
    /// Both ends were connected, and all time since was short of a time-out.
    connected: bool,
    connected_at: Instant,
}

struct End {
    peer: Peer,
    addr: SocketAddr,
    sent: Vec<Bytes>,
    received: Vec<Bytes>,
    closed: Option<CloseReason>,
}

impl End {
    fn new(peer: Peer, addr: SocketAddr) -> Self {
        Self { peer, addr, sent: Vec::new(), received: Vec::new(), closed: None }
    }
}

impl Run {
    fn new(negotiated: bool) -> Self {
        let clock = VirtualClock::new();
        let now = clock.now();
        let [client_addr, server_addr] =
            ["192.0.2.1:1000", "192.0.2.2:2000"].map(|addr| addr.parse::<SocketAddr>().expect("an address"));
        let config = |secret| {
            let mut config = PeerConfig::new(CERTIFICATE.clone(), [secret; 32]);
            config.negotiated_channels = negotiated;
            config
        };
        let mut client = Peer::client(config(1), now);
        client.add_local_candidate(client_addr);
        let mut server = Peer::server(config(2), now, &client.offer()).expect("our own offer");
        server.add_local_candidate(server_addr);
        client.handle_answer(now, &server.answer()).expect("our own answer");
        Self {
            clock,
            ends: [End::new(client, client_addr), End::new(server, server_addr)],
            network: VecDeque::new(),
            seen: Vec::new(),
            connected: false,
            connected_at: now,
        }
    }

    fn connect(&mut self) {
        for _ in 0..200 {
            self.pass(Duration::from_millis(5));
            self.deliver_all();
            if self.ends.iter().all(|end| Channel::ALL.iter().all(|channel| end.peer.is_open(*channel))) {
                self.connected = true;
                self.connected_at = self.clock.now();
                return;
            }
        }
        panic!("no session on a good network");
    }

    fn disturb(&mut self, input: &mut Choices<'_>) {
        let to = usize::from(input.flag());
        match input.below(8) {
            0 => {
                let datagram = input.bytes().to_vec();
                let from = self.stranger(input, to);
                self.hand_in(to, from, &datagram);
            }
            1 => {
                // A genuine datagram, changed.
                if let Some((to, mut datagram)) = self.network.pop_front() {
                    let at = usize::from(input.byte()) % datagram.len();
                    datagram[at] ^= input.byte();
                    datagram.truncate(datagram.len() - usize::from(input.byte() / 8).min(datagram.len() - 1));
                    let from = self.stranger(input, to);
                    self.hand_in(to, from, &datagram);
                }
            }
            2 => {
                // One that was delivered before, perhaps to the other end.
                if !self.seen.is_empty() {
                    let (to, datagram) = self.seen[usize::from(input.byte()) % self.seen.len()].clone();
                    let to = if input.below(4) == 0 { 1 - to } else { to };
                    let from = self.ends[1 - to].addr;
                    self.hand_in(to, from, &datagram);
                }
            }
            3 => {
                self.network.pop_front();
            }
            4 => {
                if let Some(last) = self.network.pop_back() {
                    self.network.push_front(last);
                }
            }
            5 if self.clock.now() - self.connected_at < Duration::from_secs(5) => {
                self.pass(Duration::from_millis(u64::from(input.byte())));
            }
            6 => {
                let message = Bytes::from(vec![input.byte(); 40 * usize::from(input.byte())]);
                let end = &mut self.ends[to];
                if end.peer.send(Channel::Reliable, &message).is_ok() {
                    end.sent.push(message);
                }
            }
            _ => {
                for _ in 0..input.below(8) {
                    self.deliver();
                }
            }
        }
    }

    /// Where a disturbance claims to come from.
    fn stranger(&self, input: &mut Choices<'_>, to: usize) -> SocketAddr {
        let stranger = "203.0.113.66:6666".parse().expect("an address");
        input.one_of(&[self.ends[1 - to].addr, stranger])
    }

    fn deliver(&mut self) {
        if let Some((to, datagram)) = self.network.pop_front() {
            self.hand_in(to, self.ends[1 - to].addr, &datagram);
            if self.seen.len() < NETWORK {
                self.seen.push((to, datagram));
            }
        }
    }

    fn deliver_all(&mut self) {
        while !self.network.is_empty() {
            self.deliver();
            self.exchange();
        }
    }

    fn hand_in(&mut self, to: usize, from: SocketAddr, datagram: &[u8]) {
        let now = self.clock.now();
        let end = &mut self.ends[to];
        end.peer.handle_datagram(now, end.addr, from, datagram);
    }

    fn pass(&mut self, time: Duration) {
        let now = self.clock.advance(time);
        for end in &mut self.ends {
            end.peer.handle_timeout(now);
        }
        self.exchange();
    }

    /// Takes what the peers have to say.
    fn exchange(&mut self) {
        let now = self.clock.now();
        let mut out = Transmits::new();
        for to in 0..2 {
            let end = &mut self.ends[1 - to];
            while let Some(event) = end.peer.poll_event() {
                match event {
                    PeerEvent::Message(Channel::Reliable, message) => end.received.push(message),
                    PeerEvent::Message(channel, _) => panic!("nothing was sent on {channel:?}"),
                    PeerEvent::Closed(reason) => end.closed = Some(reason),
                    _ => assert_eq!(end.closed, None, "nothing follows the end"),
                }
            }
            out.clear();
            end.peer.poll_transmit(now, &mut out);
            assert!(out.bytes().len() <= LARGEST_BURST, "{} bytes at once", out.bytes().len());
            for (_, destination, datagram) in out.iter() {
                assert!(!datagram.is_empty());
                if destination == self.ends[to].addr && self.network.len() < NETWORK {
                    self.network.push_back((to, datagram.to_vec()));
                }
            }
        }
        for (end, other) in [(0, 1), (1, 0)] {
            let received = &self.ends[end].received;
            assert!(self.ends[other].sent.starts_with(received), "what arrives was sent, in that order");
        }
    }
}
