//! Two peers in one thread, no sockets: what a message costs both ends together.
//!
//! `cargo run --release -p tramline-transport --example peers_in_memory`
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::print_stdout, reason = "a measurement prints")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tramline_transport::{Certificate, Channel, Peer, PeerConfig, PeerEvent, Transmits};

fn main() {
    println!("{:>8} {:>9} {:>12} {:>10} {:>10}", "bytes", "messages", "us/message", "message/s", "MB/s");
    for (len, count) in [(100, 400_000), (1_024, 300_000), (16_000, 30_000)] {
        let mut pair = Pair::connected();
        pair.stream(len, count / 10);
        let took = pair.stream(len, count);
        let rate = count as f64 / took.as_secs_f64();
        println!(
            "{len:>8} {count:>9} {:>12.2} {rate:>10.0} {:>10.1}",
            took.as_secs_f64() * 1e6 / count as f64,
            rate * len as f64 / 1e6,
        );
    }
}

struct Pair {
    client: Peer,
    server: Peer,
    client_addr: SocketAddr,
    server_addr: SocketAddr,
    out: Transmits,
    received: usize,
}

impl Pair {
    fn connected() -> Self {
        let now = Instant::now();
        let config = |side| {
            let mut config = PeerConfig::new(Certificate::generate().expect("a certificate"), [side; 32]);
            config.negotiated_channels = true;
            config
        };
        let client_addr = "127.0.0.1:1".parse().expect("an address");
        let server_addr = "127.0.0.1:2".parse().expect("an address");
        let mut client = Peer::client(config(1), now);
        client.add_local_candidate(client_addr);
        let mut server = Peer::server(config(2), now, &client.offer()).expect("a good offer");
        server.add_local_candidate(server_addr);
        client.handle_answer(now, &server.answer()).expect("a good answer");
        let mut pair = Self { client, server, client_addr, server_addr, out: Transmits::new(), received: 0 };
        while !(pair.client.is_open(Channel::DataTrack) && pair.server.is_open(Channel::DataTrack)) {
            pair.turn();
            pair.client.handle_timeout(Instant::now());
            pair.server.handle_timeout(Instant::now());
        }
        pair
    }

    /// Sends `count` messages as fast as they go and waits for all of them.
    fn stream(&mut self, len: usize, count: usize) -> Duration {
        let message = Bytes::from(vec![7; len]);
        let start = Instant::now();
        self.received = 0;
        let mut sent = 0;
        while self.received < count {
            // About what a driver reads and writes at a time.
            let mut batch: usize = 64 * 1_024;
            while sent < count && batch > 0 && self.client.send_capacity(Channel::DataTrack) > 0 {
                self.client.send(Channel::DataTrack, &message).expect("an open channel");
                batch = batch.saturating_sub(len);
                sent += 1;
            }
            self.turn();
        }
        start.elapsed()
    }

    /// One turn of the loop of each side.
    fn turn(&mut self) {
        let now = Instant::now();
        self.out.clear();
        self.client.poll_transmit(now, &mut self.out);
        for (_, _, datagram) in self.out.iter() {
            self.server.handle_datagram(now, self.server_addr, self.client_addr, datagram);
        }
        while let Some(event) = self.server.poll_event() {
            self.received += usize::from(matches!(event, PeerEvent::Message(..)));
        }
        self.out.clear();
        self.server.poll_transmit(now, &mut self.out);
        for (_, _, datagram) in self.out.iter() {
            self.client.handle_datagram(now, self.client_addr, self.server_addr, datagram);
        }
        while self.client.poll_event().is_some() {}
        for peer in [&mut self.client, &mut self.server] {
            if peer.poll_timeout().is_some_and(|at| at <= now) {
                peer.handle_timeout(now);
            }
        }
    }
}
