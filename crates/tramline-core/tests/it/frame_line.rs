//! A frame's way from packetizer to reassembler, over networks that lose, delay, repeat and reorder.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tramline_core::packetize::Packetizer;
use tramline_core::queue::{LiveQueue, QueueConfig};
use tramline_core::reassemble::{self, Reassembler};
use tramline_core::stats::{Counters, DropReason};
use tramline_sim::{Conditions, Network, Rng, VirtualClock, run_seeds};
use tramline_wire::{Extensions, TrackHandle, forward};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_lossy_network_costs_frames_but_never_corrupts_or_repeats_one() {
    run_seeds(150, |seed| {
        let mut rng = Rng::with_seed(seed);
        let conditions = Conditions {
            loss: rng.f64() * 0.2,
            duplicate: rng.f64() * 0.2,
            delay: 20 * MS,
            jitter: Duration::from_micros(rng.u64(0..30_000)),
        };
        let mut line = Line::new(seed, conditions, reassemble::Config::default());
        line.publish(200, 5 * MS, |rng| rng.usize(0..12_000));
        let Counters { accepted, sent, dropped, .. } = line.finish();
        let opened = accepted - sent;
        assert_eq!(dropped.total() - dropped.count(DropReason::Duplicate), opened, "{dropped:?}");
        assert!(sent < 200 || conditions.loss < 0.02);
        assert!(sent > 20, "{sent} of 200 with {conditions:?}");
    });
}

#[test]
fn without_loss_every_frame_arrives_once_however_its_packets_overtake() {
    run_seeds(150, |seed| {
        // Up to seven frames are on their way at once: fewer than may be in flight.
        let conditions = Conditions { duplicate: 0.3, delay: 20 * MS, jitter: 30 * MS, loss: 0.0 };
        let mut line = Line::new(seed, conditions, reassemble::Config::default());
        line.publish(150, 5 * MS, |rng| rng.usize(0..12_000));
        assert_eq!(line.finish().sent, 150);
    });
}

#[test]
fn one_frame_in_flight_survives_an_orderly_network() {
    run_seeds(20, |seed| {
        let conditions = Conditions { delay: 20 * MS, ..Conditions::default() };
        let config = reassemble::Config::default().with_max_partial_frames(1);
        let mut line = Line::new(seed, conditions, config);
        line.publish(150, 5 * MS, |rng| rng.usize(0..12_000));
        assert_eq!(line.finish().sent, 150);
    });
}

#[test]
fn a_slow_hop_drops_whole_frames_and_what_it_sends_is_whole() {
    run_seeds(60, |seed| {
        let conditions =
            Conditions { delay: 10 * MS, jitter: Duration::from_micros(seed * 50), ..Conditions::default() };
        let mut line = Line::new(seed, conditions, reassemble::Config::default());
        // 600 kB/s are published, 200 kB/s leave the hop.
        line.hop_rate = Some(200_000);
        line.publish(300, 10 * MS, |rng| rng.usize(2_000..10_000));
        let [hop, reassembled] = line.finish_both();
        let delivered = reassembled.sent;
        assert!(hop.dropped.count(DropReason::Stale) > 50, "{hop:?}");
        assert_eq!(delivered, hop.sent, "what the hop sends is whole: {hop:?}");
        assert!((60..200).contains(&delivered), "a third has room: {delivered}");
    });
}

#[test]
fn a_frame_that_needs_longer_than_max_age_on_a_slow_hop_arrives() {
    let conditions = Conditions { delay: 10 * MS, ..Conditions::default() };
    let mut line = Line::new(1, conditions, reassemble::Config::default());
    line.hop_rate = Some(200_000);
    // 100 kB each, half a second on the wire, one a second.
    line.publish(10, 1_000 * MS, |_| 100_000);
    assert_eq!(line.finish().sent, 10);
}

/// Publisher, a hop that forwards, subscriber: two networks and three queues on one clock.
struct Line {
    clock: VirtualClock,
    rng: Rng,
    packetizer: Packetizer,
    publisher: LiveQueue<Bytes>,
    network: Network<Place, Bytes>,
    hop: LiveQueue<Bytes>,
    /// Bytes per second that leave the hop; all at once when absent.
    hop_rate: Option<u64>,
    hop_free_at: Instant,
    reassembler: Reassembler,
    published: BTreeMap<u16, (Vec<u8>, Option<u64>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Publisher,
    Hop,
    Subscriber,
}

impl Line {
    fn new(seed: u64, conditions: Conditions, config: reassemble::Config) -> Self {
        let clock = VirtualClock::new();
        let mut network = Network::new(seed, conditions);
        // One bad link is enough; the other only takes its time.
        let good = Conditions { delay: 5 * MS, ..Conditions::default() };
        network.set_link(Place::Hop, Place::Subscriber, good);
        Self {
            hop_free_at: clock.now(),
            clock,
            rng: Rng::with_seed(seed ^ 0x5eed),
            packetizer: Packetizer::new(TrackHandle::FIRST, seed as u32, 1_150),
            publisher: LiveQueue::new(QueueConfig::default()),
            network,
            hop: LiveQueue::new(QueueConfig::default()),
            hop_rate: None,
            reassembler: Reassembler::new(config),
            published: BTreeMap::new(),
        }
    }

    fn publish(&mut self, frames: usize, interval: Duration, mut size: impl FnMut(&mut Rng) -> usize) {
        for _ in 0..frames {
            let size = size(&mut self.rng);
            let payload: Vec<u8> = std::iter::repeat_with(|| self.rng.u8(..)).take(size).collect();
            let user_timestamp = self.rng.bool().then(|| self.rng.u64(..));
            let extensions = Extensions { user_timestamp, ..Extensions::default() };
            let now = self.clock.now();
            let clock_90k = (self.clock.elapsed().as_micros() * 9 / 100) as u32;
            let frame = self.packetizer.packetize(clock_90k, &payload, extensions).expect("small enough");
            self.published.insert(frame.number(), (payload, user_timestamp));
            assert!(self.publisher.push_frame(now, frame));
            self.run_until(now + interval);
        }
    }

    /// Lets everything arrive or expire; returns what the reassembler counted.
    fn finish(self) -> Counters {
        self.finish_both()[1]
    }

    /// As [`finish`](Self::finish), with what the hop counted in front.
    fn finish_both(mut self) -> [Counters; 2] {
        self.run_until(self.clock.now() + 10_000 * MS);
        assert_eq!(self.reassembler.partial_frames(), 0);
        assert_eq!(self.network.in_flight(), 0);
        [self.hop.counters(), self.reassembler.counters()]
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            self.step();
            let wakes = [
                self.network.poll_timeout(),
                self.reassembler.poll_timeout(),
                self.hop.poll_timeout(),
                (!self.hop.is_empty()).then_some(self.hop_free_at),
            ];
            match wakes.into_iter().flatten().min() {
                Some(wake) if wake < end => self.clock.advance_to(wake),
                _ => break,
            };
        }
        self.clock.advance_to(end);
    }

    fn step(&mut self) {
        let now = self.clock.now();
        while let Some(packet) = self.publisher.pop(now) {
            self.network.send(now, Place::Publisher, Place::Hop, packet);
        }
        while let Some(delivery) = self.network.poll_delivery(now) {
            match delivery.to {
                Place::Hop => {
                    let packet = forward::check(&delivery.datagram).expect("own packet");
                    let (start, end) = (packet.marker.is_start(), packet.marker.is_end());
                    self.hop.push_part(now, packet.frame_number, start, end, delivery.datagram);
                }
                _ => self.read(now, delivery.datagram),
            }
        }
        self.hop.handle_timeout(now);
        while self.hop_free_at <= now
            && let Some(packet) = self.hop.pop(now)
        {
            if let Some(rate) = self.hop_rate {
                self.hop_free_at = now + Duration::from_secs(1) * packet.len() as u32 / rate as u32;
            }
            self.network.send(now, Place::Hop, Place::Subscriber, packet);
        }
        self.reassembler.handle_timeout(now);
    }

    fn read(&mut self, now: Instant, message: Bytes) {
        let (header, payload) = reassemble::split(message).expect("own packet");
        if let Some(frame) = self.reassembler.handle_packet(now, &header, payload) {
            let (payload, user_timestamp) =
                self.published.remove(&frame.number).expect("a published frame, and never twice");
            assert_eq!(frame.payload, payload, "frame {}", frame.number);
            assert_eq!(frame.user_timestamp, user_timestamp, "frame {}", frame.number);
        }
    }
}
