//! Any packets at any time: what comes out is a frame that was sent, whole, and once; what is held is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tramline_core::frame::Frame;
use tramline_core::reassemble::{Config, Reassembler};
use tramline_core::stats::DropReason;
use tramline_sim::{Choices, VirtualClock};
use tramline_wire::{Extensions, Header, MAX_PACKETS_PER_FRAME, Marker, TrackHandle};

use super::memory::Ledger;

/// Runs the operations that `data` stands for.
pub(crate) fn check(data: &[u8]) {
    let mut input = Choices::new(data);
    let mut run = Run::new(&mut input);
    while !input.is_empty() {
        match input.below(8) {
            0..=4 => run.push(&mut input),
            5 => run.push_many(&mut input),
            6 => {
                run.clock.advance(Duration::from_millis(8 * u64::from(input.byte())));
            }
            _ => run.set_config(&mut input),
        }
        run.check_bounds();
        if input.flag() {
            run.expire();
        }
    }
}

struct Run {
    reassembler: Reassembler,
    config: Config,
    clock: VirtualClock,
    ledger: Ledger,
    sent: BTreeSet<(u8, u8, u16, u8)>,
    /// The first time that each number was used with.
    times: BTreeMap<u8, u8>,
    /// For each number, the last frame delivered.
    delivered: BTreeMap<u8, Delivered>,
    /// Numbers that were used with two times: a publisher that begins again, after which copies are not known.
    reused: BTreeSet<u8>,
}

struct Delivered {
    first: u16,
    packets: u16,
    at: Instant,
}

impl Run {
    fn new(input: &mut Choices<'_>) -> Self {
        let config = config(input, input_is_strict);
        Self {
            reassembler: Reassembler::new(config),
            config,
            clock: VirtualClock::new(),
            ledger: Ledger::default(),
            sent: BTreeSet::new(),
            times: BTreeMap::new(),
            delivered: BTreeMap::new(),
            reused: BTreeSet::new(),
        }
    }

    fn is_strict(&self) -> bool {
        self.config.max_partial_frames <= 1
    }

    fn set_config(&mut self, input: &mut Choices<'_>) {
        let strict = self.is_strict();
        self.config = config(input, |_| strict);
        self.reassembler.set_config(self.clock.now(), self.config);
    }

    fn push(&mut self, input: &mut Choices<'_>) {
        let marker = input.one_of(&[Marker::Start, Marker::Inter, Marker::Final, Marker::Single]);
        let number = input.byte() % 16;
        let timestamp = u8::from(input.byte() > 240);
        let sequence = u16::from(input.byte()).wrapping_sub(6);
        self.push_one(number, timestamp, sequence, marker);
    }

    fn push_many(&mut self, input: &mut Choices<'_>) {
        let (number, first, count) = (input.byte() % 16, u16::from(input.byte()), u16::from(input.byte()));
        for at in 0..count {
            let marker = if at == 0 { Marker::Start } else { Marker::Inter };
            self.push_one(number, 0, first.wrapping_add(at), marker);
        }
    }

    fn push_one(&mut self, number: u8, timestamp: u8, sequence: u16, marker: Marker) {
        self.sent.insert((number, timestamp, sequence, marker as u8));
        if *self.times.entry(number).or_insert(timestamp) != timestamp {
            self.reused.insert(number);
        }
        let header = Header {
            marker,
            handle: TrackHandle::FIRST,
            sequence,
            frame_number: number.into(),
            timestamp: timestamp.into(),
            extensions: Extensions { e2ee: None, user_timestamp: Some(u64::from(sequence)) },
        };
        let payload = self.ledger.lend(payload(number, timestamp, sequence));
        if let Some(frame) = self.reassembler.handle_packet(self.clock.now(), &header, payload) {
            self.check_frame(&frame);
        }
    }

    fn check_frame(&mut self, frame: &Frame) {
        let packets = packets(&frame.payload);
        let number = u8::try_from(frame.number).expect("only such numbers were sent");
        let &(_, timestamp, first, _) = packets.first().expect("no packet sent was empty");
        let &(_, _, last, _) = packets.last().expect("it has a first one");
        assert!(packets.len() <= MAX_PACKETS_PER_FRAME);
        assert_eq!(frame.user_timestamp, Some(u64::from(first)), "extensions are those of the first packet");
        for (offset, &(of, at, sequence, _)) in (0_u16..).zip(&packets) {
            assert_eq!(
                (of, sequence),
                (number, first.wrapping_add(offset)),
                "packets in order, of this frame alone"
            );
            // LiveKit's way does not look at times.
            assert!(self.is_strict() || (u32::from(at), at) == (frame.timestamp, timestamp));
        }
        // LiveKit's way lets a packet with another time replace one, so the marker may have come with either.
        let strict = self.is_strict();
        let marked = |sequence, marker| {
            let with = |at| self.sent.contains(&(number, at, sequence, marker as u8));
            if strict { with(0) || with(1) } else { with(timestamp) }
        };
        assert!(
            packets.len() == 1 && marked(first, Marker::Single)
                || marked(first, Marker::Start) && marked(last, Marker::Final),
            "a frame ends where it was marked to end"
        );
        if strict {
            return;
        }
        let now = self.clock.now();
        if let Some(before) = self.delivered.get(&number)
            && !self.reused.contains(&number)
        {
            // A peer may number a single packet and a longer frame alike; those are not copies of each other.
            let same = (before.first, before.packets) == (first, packets.len() as u16);
            let recent = now - before.at < Duration::from_millis(9_990);
            assert!(!(same && recent), "frame {number} from packet {first} was delivered before");
        }
        let packets = packets.len() as u16;
        self.delivered.insert(number, Delivered { first, packets, at: now });
    }

    fn expire(&mut self) {
        let now = self.clock.now();
        self.reassembler.handle_timeout(now);
        assert!(
            self.reassembler.poll_timeout().is_none_or(|at| at > now),
            "time-outs are dealt with at once"
        );
        self.check_bounds();
    }

    fn check_bounds(&self) {
        let held = self.ledger.held();
        assert!(held <= self.config.max_bytes, "{held} bytes held, {} allowed", self.config.max_bytes);
        let partial = self.reassembler.partial_frames();
        assert!(partial <= self.config.max_partial_frames.max(1));
        assert!(held <= partial * MAX_PACKETS_PER_FRAME * LONGEST_PAYLOAD, "bytes held for no frame");

        let counters = self.reassembler.counters();
        let unheld =
            [DropReason::Duplicate, DropReason::UnknownFrame].map(|reason| counters.dropped.count(reason));
        let ended = counters.sent + counters.dropped.total() - unheld.iter().sum::<u64>();
        assert_eq!(counters.accepted, ended + partial as u64, "each frame ends once: {counters:?}");
    }
}

fn input_is_strict(input: &mut Choices<'_>) -> bool {
    input.below(4) == 0
}

fn config(input: &mut Choices<'_>, strict: impl Fn(&mut Choices<'_>) -> bool) -> Config {
    let partial = if strict(input) { input.below(2) } else { 2 + input.below(7) };
    Config::default()
        .with_max_partial_frames(partial)
        .with_max_bytes(input.one_of(&[0, 5, 40, 400, 4_000, 8 << 20]))
        .with_max_age(Duration::from_millis(input.one_of(&[0, 1, 100, 1_000, 60_000])))
}

const LONGEST_PAYLOAD: usize = 6;

/// A payload that says which packet it was.
fn payload(number: u8, timestamp: u8, sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let mut payload = vec![number, timestamp, high, low];
    payload.resize(4 + usize::from(sequence % 3), 0xee);
    payload
}

/// Number, timestamp, sequence and length of the payloads that a frame was made of.
fn packets(mut payload: &[u8]) -> Vec<(u8, u8, u16, usize)> {
    let mut packets = Vec::new();
    while let [number, timestamp, high, low, rest @ ..] = payload {
        let sequence = u16::from_be_bytes([*high, *low]);
        let (padding, rest) = rest.split_at(usize::from(sequence % 3));
        assert!(padding.iter().all(|byte| *byte == 0xee));
        packets.push((*number, *timestamp, sequence, 4 + padding.len()));
        payload = rest;
    }
    assert!(payload.is_empty(), "a frame is made of whole packets");
    packets
}
