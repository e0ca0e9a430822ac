//! Client, server, client: as the SDK and the server put the machines together, without DTLS and signalling.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tramline_core::outbox::{Outbox, Priority, SlotKey};
use tramline_core::packetize::{PacketLayout, Packetizer};
use tramline_core::queue::{LiveQueue, QueueConfig};
use tramline_core::reassemble::{self, Reassembler, split};
use tramline_core::repair::{Repair, lifetime};
use tramline_sctp::{Association, Config, Delivery, Event};
use tramline_sim::{LinkConfig, Network, VirtualClock};
use tramline_wire::{Extensions, TrackHandle, forward};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// What a track does.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) size: usize,
    /// Frames per second.
    pub(crate) rate: u32,
}

/// What became of a track's frames.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) pushed: usize,
    /// Number, time of the push and of the arrival, since the start, in order of arrival.
    pub(crate) arrived: Vec<(u32, Duration, Duration)>,
}

impl Outcome {
    pub(crate) fn delivered(&self) -> f64 {
        self.arrived.len() as f64 / self.pushed as f64
    }

    /// Part of all that were pushed that arrived within `limit`.
    pub(crate) fn within(&self, limit: Duration) -> f64 {
        self.ages().filter(|age| *age <= limit).count() as f64 / self.pushed as f64
    }

    pub(crate) fn ages(&self) -> impl Iterator<Item = Duration> + '_ {
        self.arrived.iter().map(|(_, pushed, arrived)| *arrived - *pushed)
    }

    pub(crate) fn percentile(&self, part: f64) -> Duration {
        let mut ages: Vec<_> = self.ages().collect();
        ages.sort_unstable();
        ages.get(((ages.len() as f64 * part) as usize).min(ages.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn is_in_order(&self) -> bool {
        self.arrived.is_sorted_by_key(|(number, ..)| *number)
    }
}

/// A line with one publisher and one subscriber.
pub(crate) struct Line {
    clock: VirtualClock,
    network: Network<usize, Bytes>,
    /// Publisher, server towards it, server towards the subscriber, subscriber.
    ends: [Association; 4],
    up: Outbox,
    down: Outbox,
    tracks: Vec<Track>,
    unread: [Vec<u16>; 4],
}

struct Track {
    source: Source,
    handle: TrackHandle,
    packetizer: Packetizer,
    up: SlotKey,
    down: SlotKey,
    reassembler: Reassembler,
    next: Instant,
    outcome: Outcome,
}

impl Line {
    /// Connected; `up` is the publisher's link, `down` the subscriber's, each in both directions.
    pub(crate) fn new(seed: u64, up: &LinkConfig, down: &LinkConfig, sources: &[Source]) -> Self {
        let ends = [0, 1, 2, 3].map(|end| {
            let mut secret = [end as u8; 32];
            secret[8..16].copy_from_slice(&seed.to_le_bytes());
            Association::new(Config::new(secret))
        });
        let clock = VirtualClock::new();
        // Nothing happens to the handshakes; the links begin to exist with the first frames.
        let mut line = Self {
            network: Network::new(seed, LinkConfig::with_delay(up.delay)),
            ends,
            up: Outbox::new(),
            down: Outbox::new(),
            tracks: Vec::new(),
            unread: Default::default(),
            clock,
        };
        line.ends[0].connect();
        line.ends[2].connect();
        line.step(line.clock.now());
        while !line.ends.iter().all(Association::is_connected) {
            let next = line.next().expect("a handshake goes on");
            line.step(next);
        }
        line.network = Network::new(seed, LinkConfig::default());
        for (link, ends) in [(up, [0, 1]), (down, [2, 3])] {
            line.network.set_link(ends[0], ends[1], link.clone());
            line.network.set_link(ends[1], ends[0], link.clone());
        }
        for (index, source) in sources.iter().enumerate() {
            line.add(index, *source);
        }
        line
    }

    fn add(&mut self, index: usize, source: Source) {
        let handle = TrackHandle::new(index as u16 + 1).expect("not zero");
        let queue = || LiveQueue::new(QueueConfig::default());
        self.tracks.push(Track {
            source,
            handle,
            packetizer: Packetizer::new(handle, 0, tramline_wire::MAX_PACKET_LEN),
            up: self.up.add_with(queue(), Priority::Normal),
            down: self.down.add(queue()),
            reassembler: Reassembler::new(reassemble::Config::default()),
            next: self.clock.now(),
            outcome: Outcome::default(),
        });
    }

    /// Pushes for so long, waits for what is still on its way, and tells what became of each track.
    pub(crate) fn run(&mut self, time: Duration) -> Vec<Outcome> {
        let start = self.clock.now();
        let end = start + time;
        loop {
            let due = self.tracks.iter().map(|track| track.next).filter(|next| *next < end).min();
            let next = [due, self.next()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next < end + 2_000 * MS) else { break };
            self.clock.advance_to(next);
            for index in 0..self.tracks.len() {
                while self.tracks[index].next <= next && self.tracks[index].next < end {
                    self.push(index, start);
                }
            }
            self.step(next);
            self.receive(start);
        }
        self.tracks.iter_mut().map(|track| std::mem::take(&mut track.outcome)).collect()
    }

    fn push(&mut self, index: usize, start: Instant) {
        let stats = self.ends[0].stats();
        let track = &mut self.tracks[index];
        let rate = stats.round_trip.map_or(0.0, |round_trip| stats.window as f64 / round_trip.as_secs_f64());
        let mut payload = vec![0; track.source.size];
        payload[..4].copy_from_slice(&(track.outcome.pushed as u32).to_be_bytes());
        let pushed = track.next - start;
        payload[4..12].copy_from_slice(&(pushed.as_nanos() as u64).to_be_bytes());
        let none = Extensions::default();
        let layout =
            PacketLayout::of_datagrams((rate / 2_000.0 / 1_200.0) as usize).for_payload(payload.len(), &none);
        let frame = layout.prepare(&payload, none).expect("fits");
        let packets = track.packetizer.number(0, frame);
        self.up.push_frame(track.next, track.up, packets);
        track.outcome.pushed += 1;
        track.next += Duration::from_secs(1) / track.source.rate;
    }

    fn next(&self) -> Option<Instant> {
        let ends = self.ends.iter().filter_map(Association::poll_timeout);
        let queues = [self.network.poll_timeout(), self.up.poll_timeout(), self.down.poll_timeout()];
        ends.chain(queues.into_iter().flatten()).min().map(|next| next.max(self.clock.now()))
    }

    /// Everything that is due at `now`.
    fn step(&mut self, now: Instant) {
        self.clock.advance_to(now);
        while let Some(delivery) = self.network.poll_delivery(now) {
            self.ends[delivery.to].handle_packet(now, &delivery.datagram);
        }
        for end in &mut self.ends {
            if end.poll_timeout().is_some_and(|at| at <= now) {
                end.handle_timeout(now);
            }
        }
        self.up.handle_timeout(now);
        self.down.handle_timeout(now);
        for end in 0..4 {
            while let Some(event) = self.ends[end].poll_event() {
                if let Event::Readable(stream) = event {
                    self.unread[end].push(stream);
                }
            }
        }
        self.forward(now);
        for end in 0..4 {
            self.transmit(now, end);
        }
        while feed(now, &mut self.up, &mut self.ends[0]) {
            self.transmit(now, 0);
        }
        while feed(now, &mut self.down, &mut self.ends[2]) {
            self.transmit(now, 2);
        }
    }

    fn transmit(&mut self, now: Instant, end: usize) {
        let mut buffer = [0; 1_500];
        while let Some(len) = self.ends[end].poll_transmit(now, &mut buffer) {
            let packet = Bytes::copy_from_slice(&buffer[..len]);
            // What DTLS, UDP and IP add.
            self.network.send_sized(now, end, end ^ 1, len + 65, packet);
        }
    }

    /// The server: from one association into the queues towards the other.
    fn forward(&mut self, now: Instant) {
        for stream in std::mem::take(&mut self.unread[1]) {
            while let Some(message) = self.ends[1].recv(stream) {
                let packet = forward::check(&message.payload).expect("a packet");
                let track =
                    self.tracks.iter().find(|track| track.handle == packet.handle).expect("published");
                let (is_start, is_end) = (packet.marker.is_start(), packet.marker.is_end());
                self.down.push_part(now, track.down, packet.frame_number, is_start, is_end, message.payload);
            }
        }
    }

    fn receive(&mut self, start: Instant) {
        let now = self.clock.now();
        for stream in std::mem::take(&mut self.unread[3]) {
            while let Some(message) = self.ends[3].recv(stream) {
                let (header, payload) = split(message.payload).expect("a packet");
                let track =
                    self.tracks.iter_mut().find(|track| track.handle == header.handle).expect("published");
                let Some(frame) = track.reassembler.handle_packet(now, &header, payload) else { continue };
                assert_eq!(frame.payload.len(), track.source.size);
                let number = u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes"));
                let pushed = u64::from_be_bytes(frame.payload[4..12].try_into().expect("eight bytes"));
                track.outcome.arrived.push((number, Duration::from_nanos(pushed), now - start));
            }
        }
    }
}

/// As the SDK's driver and the server's shard do it; whether there was anything.
fn feed(now: Instant, outbox: &mut Outbox, end: &mut Association) -> bool {
    let mut is_fed = false;
    while end.send_room() > 0 {
        let Some((key, packet)) = outbox.next(now) else { break };
        let header = forward::check(&packet).expect("a packet");
        let mending = Repair::Auto.mending(header.marker, end.suggested_copies());
        let max_age = outbox.queue_mut(key).and_then(|queue| queue.config().max_age);
        let delivery = Delivery {
            max_retransmits: if mending.retransmit { None } else { Some(0) },
            lifetime: Some(lifetime(max_age)),
            copies: mending.copies,
            flow: header.handle.get().into(),
            ..Delivery::ONCE
        };
        end.send(now, 1, 53, packet, delivery).expect("connected");
        is_fed = true;
    }
    is_fed
}
