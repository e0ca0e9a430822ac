//! Against `sctp-proto`, in memory: an implementation that shares no line with ours.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto::{
    AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent,
};
use tramline_sctp::{Association, Delivery, Event};
use tramline_sim::{Conditions, Network, VirtualClock, run_seeds};

use crate::link::{BINARY, config, message, number};

struct Theirs {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, sctp_proto::Association)>,
    connected: bool,
    received: Vec<(u16, Bytes)>,
    reset: Vec<u16>,
}

struct Pair {
    clock: VirtualClock,
    network: Network<usize, Bytes>,
    ours: Association,
    events: VecDeque<Event>,
    received: Vec<(u16, Bytes)>,
    theirs: Theirs,
    addr: SocketAddr,
}

impl Pair {
    fn new(seed: u64, conditions: Conditions, we_begin: bool) -> Self {
        let addr = "127.0.0.1:5000".parse().expect("an address");
        let mut endpoint =
            Endpoint::new(Arc::new(EndpointConfig::new()), Some(Arc::new(ServerConfig::new())));
        let mut ours = Association::new(config(seed, 0));
        let association = if we_begin {
            ours.connect();
            None
        } else {
            Some(endpoint.connect(ClientConfig::new(), addr).expect("a configuration"))
        };
        let theirs =
            Theirs { endpoint, association, connected: false, received: Vec::new(), reset: Vec::new() };
        let mut pair = Self {
            clock: VirtualClock::new(),
            network: Network::new(seed, conditions),
            ours,
            events: VecDeque::new(),
            received: Vec::new(),
            theirs,
            addr,
        };
        pair.run_until(Duration::from_secs(120), |pair| pair.ours.is_connected() && pair.theirs.connected);
        pair
    }

    fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.clock.now() + limit;
        while !done(self) {
            assert!(self.clock.now() < end, "not done within {limit:?}: {:?}", self.ours.stats());
            self.step();
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.clock.advance(Duration::from_millis(1));
        while let Some(delivery) = self.network.poll_delivery(now) {
            if delivery.to == 0 {
                self.ours.handle_packet(now, &delivery.datagram);
            } else {
                self.theirs.handle(now, self.addr, delivery.datagram);
            }
        }
        if self.ours.poll_timeout().is_some_and(|at| at <= now) {
            self.ours.handle_timeout(now);
        }
        while let Some(event) = self.ours.poll_event() {
            if let Event::Readable(stream) = event {
                while let Some(message) = self.ours.recv(stream) {
                    self.received.push((stream, message.payload));
                }
            } else {
                self.events.push_back(event);
            }
        }
        let mut buf = [0; 1_500];
        while let Some(len) = self.ours.poll_transmit(now, &mut buf) {
            self.network.send(now, 0, 1, Bytes::copy_from_slice(&buf[..len]));
        }
        for packet in self.theirs.turn(now) {
            self.network.send(now, 1, 0, packet);
        }
    }
}

impl Theirs {
    fn handle(&mut self, now: Instant, addr: SocketAddr, packet: Bytes) {
        match self.endpoint.handle(now, addr, None, None, packet) {
            // A repeated INIT makes another one; the first is kept, as its cookie is.
            Some((_, DatagramEvent::NewAssociation(association))) => {
                self.association.get_or_insert((AssociationHandle(0), association));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = &mut self.association {
                    association.handle_event(event);
                }
            }
            None => {}
        }
    }

    fn turn(&mut self, now: Instant) -> Vec<Bytes> {
        let Some((_, association)) = &mut self.association else { return Vec::new() };
        if association.poll_timeout().is_some_and(|at| at <= now) {
            association.handle_timeout(now);
        }
        while let Some(event) = association.poll() {
            match event {
                sctp_proto::Event::Connected => self.connected = true,
                sctp_proto::Event::Stream(StreamEvent::Readable { id }) => {
                    let Ok(mut stream) = association.stream(id) else { continue };
                    while let Ok(Some(chunks)) = stream.read_sctp() {
                        let mut whole = vec![0; chunks.len()];
                        let len = chunks.read(&mut whole).expect("a buffer of its length");
                        whole.truncate(len);
                        self.received.push((id, whole.into()));
                    }
                }
                sctp_proto::Event::Stream(StreamEvent::Finished { id }) => self.reset.push(id),
                _ => {}
            }
        }
        let mut out = Vec::new();
        while let Some(transmit) = association.poll_transmit(now) {
            if let Payload::RawEncode(packets) = transmit.payload {
                out.extend(packets);
            }
        }
        out
    }

    fn send(&mut self, stream: u16, payload: &Bytes, delivery: Delivery) {
        let (_, association) = self.association.as_mut().expect("an association");
        let _ = association.open_stream(stream, PayloadProtocolIdentifier::Binary);
        let mut stream = association.stream(stream).expect("a stream");
        let (kind, value) = match delivery.max_retransmits {
            Some(count) => (ReliabilityType::Rexmit, count),
            None => (ReliabilityType::Reliable, 0),
        };
        stream.set_reliability_params(!delivery.ordered, kind, value).expect("an open stream");
        stream.write_with_ppi(payload, PayloadProtocolIdentifier::Binary).expect("an open stream");
    }
}

fn link(loss: f64) -> Conditions {
    Conditions { loss, delay: Duration::from_millis(10), ..Conditions::default() }
}

#[test]
fn sctp_proto_connects_in_both_directions() {
    for we_begin in [false, true] {
        run_seeds(10, |seed| {
            let pair = Pair::new(seed, link(0.0), we_begin);
            assert_eq!(pair.events, [Event::Connected]);
        });
    }
}

#[test]
fn reliable_messages_of_every_size_go_both_ways() {
    for (we_begin, loss) in [(false, 0.0), (true, 0.0), (false, 0.02), (true, 0.02)] {
        run_seeds(5, |seed| {
            let mut pair = Pair::new(seed, link(0.0), we_begin);
            pair.network.set_conditions(link(loss));
            let lens = [8, 100, 1_132, 1_133, 5_000, 16_000, 60_000];
            for i in 0..70_u64 {
                let payload = message(lens[i as usize % 7], i);
                let now = pair.clock.now();
                pair.ours.send(now, 2, BINARY, payload.clone(), Delivery::RELIABLE).expect("connected");
                pair.theirs.send(3, &payload, Delivery::RELIABLE);
                pair.run_for(Duration::from_millis(10));
            }
            pair.run_until(Duration::from_secs(120), |pair| {
                pair.received.len() == 70 && pair.theirs.received.len() == 70
            });
            for (received, stream) in [(&pair.received, 3), (&pair.theirs.received, 2)] {
                for (i, (on, payload)) in received.iter().enumerate() {
                    assert_eq!(*on, stream);
                    assert!(*payload == message(lens[i % 7], i as u64), "message {i}");
                }
            }
        });
    }
}

#[test]
fn messages_without_retransmission_go_both_ways_over_a_lossy_link() {
    run_seeds(10, |seed| {
        let mut pair = Pair::new(seed, link(0.0), seed % 2 == 0);
        pair.network.set_conditions(link(0.01));
        for i in 0..1_000_u64 {
            let payload = message(600, i);
            let now = pair.clock.now();
            pair.ours.send(now, 2, BINARY, payload.clone(), Delivery::ONCE).expect("connected");
            pair.theirs.send(3, &payload, Delivery::ONCE);
            pair.run_for(Duration::from_millis(5));
        }
        pair.run_for(Duration::from_secs(5));
        for received in [&pair.received, &pair.theirs.received] {
            assert!(received.len() >= 970, "{}", received.len());
            assert!(received.iter().all(|(_, payload)| *payload == message(600, number(payload))));
        }
        assert_eq!(pair.ours.stats().buffered, 0, "{:?}", pair.ours.stats());
        assert_eq!(pair.ours.stats().receive_buffered, 0);
    });
}

#[test]
fn streams_are_reset_in_both_directions() {
    run_seeds(10, |seed| {
        let mut pair = Pair::new(seed, link(0.0), seed % 2 == 0);
        let now = pair.clock.now();
        pair.ours.send(now, 2, BINARY, message(3_000, 1), Delivery::RELIABLE).expect("connected");
        pair.run_until(Duration::from_secs(5), |pair| pair.theirs.received.len() == 1);
        pair.ours.reset_stream(2);
        pair.run_until(Duration::from_secs(10), |pair| pair.theirs.reset == [2]);
        pair.run_until(Duration::from_secs(10), |pair| pair.events.contains(&Event::OutgoingReset(2)));
        pair.theirs.send(3, &message(3_000, 2), Delivery::RELIABLE);
        pair.run_until(Duration::from_secs(5), |pair| pair.received.len() == 1);
        let (_, association) = pair.theirs.association.as_mut().expect("an association");
        association.stream(3).expect("a stream").close().expect("an open stream");
        pair.run_until(Duration::from_secs(10), |pair| pair.events.contains(&Event::IncomingReset(3)));
    });
}
