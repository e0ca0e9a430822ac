//! The bench that the tests share: two associations and the network between them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tramline_sctp::{Association, Config, Delivery, Event};
use tramline_sim::{Conditions, Network, VirtualClock};

pub(crate) const BINARY: u32 = 53;

pub(crate) fn config(seed: u64, end: usize) -> Config {
    let mut secret = [end as u8; 32];
    secret[8..16].copy_from_slice(&seed.to_le_bytes());
    Config::new(secret)
}

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) stream: u16,
    pub(crate) payload: Bytes,
}

/// A link of a fixed rate with a queue in front of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bottleneck {
    /// Bytes per second.
    pub(crate) rate: u64,
    /// Bytes that may wait.
    pub(crate) queue: u64,
    free_at: Option<Instant>,
}

impl Bottleneck {
    pub(crate) fn new(megabits: f64, queue: u64) -> Self {
        Self { rate: (megabits * 125_000.0) as u64, queue, free_at: None }
    }

    /// When a packet has left, if it finds room.
    fn pass(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let free_at = self.free_at.unwrap_or(now).max(now);
        let waiting = (free_at - now).as_secs_f64() * self.rate as f64;
        if waiting + len as f64 > self.queue as f64 {
            return None;
        }
        let out = free_at + Duration::from_secs_f64(len as f64 / self.rate as f64);
        self.free_at = Some(out);
        Some(out)
    }

    pub(crate) fn delay(&self, now: Instant) -> Duration {
        self.free_at.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now))
    }
}

/// What becomes of a packet: who sent it, its number from there, and its bytes; `false` loses it.
pub(crate) type Filter = Box<dyn FnMut(usize, u64, &Bytes) -> bool>;

/// What becomes of one packet beside what the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Twice,
    /// Comes so much later, behind others.
    Late(Duration),
}

pub(crate) struct Link {
    pub(crate) clock: VirtualClock,
    pub(crate) network: Network<usize, Bytes>,
    pub(crate) ends: [Association; 2],
    pub(crate) events: [Vec<Event>; 2],
    pub(crate) received: [Vec<Received>; 2],
    /// Whether messages are fetched as they come.
    pub(crate) reads: [bool; 2],
    pub(crate) bottleneck: [Option<Bottleneck>; 2],
    pub(crate) filter: Option<Filter>,
    /// By sender and number.
    pub(crate) fates: Vec<((usize, u64), Fate)>,
    /// Packets sent, and the length of the longest.
    pub(crate) packets: [u64; 2],
    pub(crate) longest: usize,
    /// Packets sent by type of their first chunk.
    pub(crate) kinds: [BTreeMap<u8, u64>; 2],
    unread: [Vec<u16>; 2],
}

impl Link {
    pub(crate) fn new(seed: u64, conditions: Conditions) -> Self {
        Self::with(seed, conditions, |_| {})
    }

    /// The same with changed configurations.
    pub(crate) fn with(seed: u64, conditions: Conditions, mut change: impl FnMut(&mut Config)) -> Self {
        let ends = [0, 1].map(|end| {
            let mut config = config(seed, end);
            change(&mut config);
            Association::new(config)
        });
        Self {
            clock: VirtualClock::new(),
            network: Network::new(seed, conditions),
            ends,
            events: Default::default(),
            received: Default::default(),
            reads: [true, true],
            bottleneck: [None, None],
            filter: None,
            fates: Vec::new(),
            packets: [0, 0],
            longest: 0,
            kinds: Default::default(),
            unread: Default::default(),
        }
    }

    /// Connected, the events of that already taken.
    pub(crate) fn connected(seed: u64, conditions: Conditions) -> Self {
        Self::new(seed, conditions).connect()
    }

    pub(crate) fn connect(mut self) -> Self {
        self.ends[0].connect();
        self.run_until(Duration::from_secs(60), |link| link.ends.iter().all(Association::is_connected));
        self.events = Default::default();
        self
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn send(&mut self, from: usize, stream: u16, payload: Bytes, delivery: Delivery) {
        let now = self.now();
        self.ends[from].send(now, stream, BINARY, payload, delivery).expect("a connected association");
    }

    pub(crate) fn take(&mut self, end: usize) -> Vec<Received> {
        std::mem::take(&mut self.received[end])
    }

    pub(crate) fn payloads(&mut self, end: usize) -> Vec<Bytes> {
        self.take(end).into_iter().map(|received| received.payload).collect()
    }

    /// Runs until `done`, and panics when that takes longer than `limit` of virtual time.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now() + limit;
        self.flush();
        while !done(self) {
            assert!(
                self.step(end),
                "not done within {limit:?}: {:?}",
                self.ends.each_ref().map(|end| end.stats())
            );
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.step(end) {}
        self.clock.advance_to(end);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.network.poll_timeout(), self.ends[0].poll_timeout(), self.ends[1].poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Everything that happens next, all of it at one instant; `false` when that is after `end`.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        self.flush();
        let Some(next) = self.poll_timeout().filter(|next| *next <= end) else { return false };
        let now = self.clock.advance_to(next);
        while let Some(delivery) = self.network.poll_delivery(now) {
            self.ends[delivery.to].handle_packet(now, &delivery.datagram);
        }
        for end in &mut self.ends {
            if end.poll_timeout().is_some_and(|at| at <= now) {
                end.handle_timeout(now);
            }
        }
        self.flush();
        true
    }

    /// Fetches messages that were left lying.
    pub(crate) fn fetch(&mut self, end: usize) {
        let now = self.now();
        for stream in std::mem::take(&mut self.unread[end]) {
            while let Some(message) = self.ends[end].recv(stream) {
                self.received[end].push(Received { at: now, stream, payload: message.payload });
            }
        }
    }

    pub(crate) fn flush(&mut self) {
        let now = self.now();
        let mut buf = [0; 1_500];
        for end in 0..2 {
            while let Some(event) = self.ends[end].poll_event() {
                if let Event::Readable(stream) = event {
                    self.unread[end].push(stream);
                } else {
                    self.events[end].push(event);
                }
            }
            if self.reads[end] {
                self.fetch(end);
            }
            let mut burst = 0;
            while let Some(len) = self.ends[end].poll_transmit(now, &mut buf) {
                burst += 1;
                assert!(burst < 20_000, "packets without end");
                let packet = Bytes::copy_from_slice(&buf[..len]);
                let number = self.packets[end];
                self.packets[end] += 1;
                self.longest = self.longest.max(len);
                *self.kinds[end].entry(packet[12]).or_default() += 1;
                if self.filter.as_mut().is_some_and(|filter| !filter(end, number, &packet)) {
                    continue;
                }
                let leaves = match &mut self.bottleneck[end] {
                    Some(bottleneck) => bottleneck.pass(now, len + 65),
                    None => Some(now),
                };
                let Some(mut leaves) = leaves else { continue };
                let fate = self.fates.iter().find(|(which, _)| *which == (end, number));
                match fate.map(|(_, fate)| *fate) {
                    Some(Fate::Lost) => continue,
                    Some(Fate::Twice) => self.network.send(leaves, end, 1 - end, packet.clone()),
                    Some(Fate::Late(by)) => leaves += by,
                    None => {}
                }
                self.network.send(leaves, end, 1 - end, packet);
            }
        }
    }
}

pub(crate) fn delay(millis: u64) -> Conditions {
    Conditions { delay: Duration::from_millis(millis), ..Conditions::default() }
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

pub(crate) fn percentile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}
