//! A peer that means harm: it knows the tags and says what it likes.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tramline_sctp::{Closed, Delivery, Event};
use tramline_sim::Choices;

use crate::link::{Link, delay, message};

/// Chunks in a packet as end 0 would send it to end 1.
struct Forger {
    tag: u32,
    /// The next TSN that end 1 expects.
    tsn: u32,
    /// The last TSN that end 1 has sent.
    sent: u32,
}

impl Forger {
    /// Listens to one message in each direction.
    fn new(link: &mut Link) -> Self {
        let seen = std::rc::Rc::new(std::cell::Cell::new((0, [0_u32; 2])));
        let note = seen.clone();
        link.filter = Some(Box::new(move |end, _, packet| {
            let (mut tag, mut tsns) = note.get();
            let mut at = 12;
            while let Some(header) = packet.get(at..at + 8) {
                if header[0] == 0 {
                    tsns[end] = u32::from_be_bytes(header[4..8].try_into().expect("four bytes"));
                }
                at += usize::from(u16::from_be_bytes([header[2], header[3]])).next_multiple_of(4);
            }
            if end == 0 {
                tag = u32::from_be_bytes(packet[4..8].try_into().expect("four bytes"));
            }
            note.set((tag, tsns));
            true
        }));
        for from in 0..2 {
            link.send(from, 0, message(10, 1), Delivery::RELIABLE);
        }
        link.run_for(Duration::from_secs(1));
        link.filter = None;
        link.received = Default::default();
        let (tag, [tsn, sent]) = seen.get();
        Self { tag, tsn: tsn.wrapping_add(1), sent }
    }

    fn packet(&self, chunks: &[Vec<u8>]) -> Bytes {
        let mut packet = Vec::new();
        packet.extend_from_slice(&5_000_u16.to_be_bytes());
        packet.extend_from_slice(&5_000_u16.to_be_bytes());
        packet.extend_from_slice(&self.tag.to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
        chunks.iter().for_each(|chunk| packet.extend_from_slice(chunk));
        let crc = crc32c(&packet);
        packet[8..12].copy_from_slice(&crc.to_le_bytes());
        packet.into()
    }

    fn hand_in(&self, link: &mut Link, chunks: &[Vec<u8>]) {
        let now = link.now();
        link.ends[1].handle_packet(now, &self.packet(chunks));
    }
}

/// Bit by bit: slow, and nobody's code but the polynomial's.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
    chunk.extend_from_slice(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn data(flags: u8, tsn: u32, stream: u16, ssn: u16, payload: &[u8]) -> Vec<u8> {
    let mut value = words(&[tsn, u32::from(stream) << 16 | u32::from(ssn), 53]);
    value.extend_from_slice(payload);
    chunk(0, flags, &value)
}

fn sack(cumulative: u32, window: u32, gaps: &[(u16, u16)], claimed: u16) -> Vec<u8> {
    let mut value = words(&[cumulative, window, u32::from(claimed) << 16]);
    for (start, end) in gaps {
        value.extend_from_slice(&words(&[u32::from(*start) << 16 | u32::from(*end)]));
    }
    chunk(3, 0, &value)
}

fn assert_alive(link: &mut Link) {
    link.received = Default::default();
    link.send(1, 5, message(5_000, 4), Delivery::RELIABLE);
    link.run_until(Duration::from_secs(10), |link| link.received[0].len() == 1);
    assert_eq!(link.payloads(0), [message(5_000, 4)]);
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_ignored() {
    let mut link = Link::connected(1, delay(10));
    let forger = Forger::new(&mut link);
    let before = link.ends[1].stats();
    let forged = [
        sack(forger.sent.wrapping_add(1), 0, &[], 0),
        sack(forger.sent.wrapping_add(0x7fff_fff0), 0, &[], 0),
        sack(forger.sent, 0, &[(1, 1)], 1),
        sack(forger.sent, 0, &[(2, 60_000)], 1),
        sack(forger.sent, 0, &[(5, 2)], 1),
        // More blocks than there are bytes.
        sack(forger.sent, 0, &[(2, 3)], 2),
        sack(forger.sent, 0, &[], 65_535),
        chunk(3, 0, &[0; 11]),
    ];
    for forged in &forged {
        forger.hand_in(&mut link, std::slice::from_ref(forged));
    }
    let after = link.ends[1].stats();
    assert_eq!(after.chunks_rejected - before.chunks_rejected, forged.len() as u64);
    assert_eq!(after.peer_window, before.peer_window);
    assert_alive(&mut link);
}

#[test]
fn chunks_of_impossible_length_end_the_reading_of_their_packet() {
    let mut link = Link::connected(1, delay(10));
    let forger = Forger::new(&mut link);
    for len in [0_u16, 1, 3, 9, 2_000, 65_535] {
        let mut bad = vec![0_u8, 3];
        bad.extend_from_slice(&len.to_be_bytes());
        bad.extend_from_slice(&[0; 4]);
        forger.hand_in(&mut link, &[bad, data(3, forger.tsn, 1, 0, b"behind it")]);
    }
    assert_eq!(link.ends[1].stats().packets_rejected, 6);
    link.flush();
    assert!(link.take(1).is_empty());
    assert_alive(&mut link);
}

#[test]
fn data_without_data_ends_the_association() {
    let mut link = Link::connected(1, delay(10));
    let forger = Forger::new(&mut link);
    forger.hand_in(&mut link, &[data(3, forger.tsn, 1, 0, b"")]);
    link.run_for(Duration::from_secs(1));
    assert_eq!(link.events[1], [Event::Closed(Closed::Violation("DATA without user data"))]);
    assert_eq!(link.events[0], [Event::Closed(Closed::Remote("no user data"))]);
}

#[test]
fn fragments_of_messages_that_never_end_cost_no_more_than_the_receive_buffer() {
    let limit = 200_000;
    for (flags, step) in [(2, 1), (0, 1), (4, 1), (6, 1), (0, 2), (2, 3), (3, 2), (1, 5)] {
        let mut link = Link::with(1, delay(10), |config| config.receive_buffer = limit).connect();
        let forger = Forger::new(&mut link);
        for nth in 0..30_000_u32 {
            // Never the first, so that nothing is ever whole or in turn.
            let tsn = forger.tsn.wrapping_add(1 + nth * step);
            forger.hand_in(&mut link, &[data(flags, tsn, (nth % 900) as u16, (nth / 900 + 1) as u16, b"x")]);
            assert!(link.ends[1].stats().receive_buffered <= limit);
        }
        let now = link.now();
        let mut buf = [0; 1_500];
        let mut packets = 0;
        while link.ends[1].poll_transmit(now, &mut buf).is_some() {
            packets += 1;
        }
        assert!(packets <= 2, "{packets} packets in answer");
        assert_alive(&mut link);
    }
}

#[test]
fn a_message_that_fills_the_receive_buffer_without_end_is_an_offence() {
    let mut link = Link::with(1, delay(10), |config| config.receive_buffer = 100_000).connect();
    let forger = Forger::new(&mut link);
    for nth in 0..200 {
        let flags = if nth == 0 { 2 } else { 0 };
        forger.hand_in(&mut link, &[data(flags, forger.tsn.wrapping_add(nth), 1, 0, &[1; 1_000])]);
    }
    link.flush();
    let reason = "a message longer than the receive buffer";
    assert_eq!(link.events[1], [Event::Closed(Closed::Violation(reason))]);
}

#[test]
fn skipping_beyond_reason_costs_nothing() {
    let mut link = Link::connected(1, delay(10));
    let forger = Forger::new(&mut link);
    for ahead in [0_u32, 5, 40_000, 0x4000_0000, 0x7000_0000, 0xffff_fff0] {
        let streams: Vec<u32> = (0..250).map(|id| id << 16 | 0xffff).collect();
        let mut value = words(&[forger.tsn.wrapping_add(ahead)]);
        value.extend_from_slice(&words(&streams));
        for _ in 0..500 {
            forger.hand_in(&mut link, &[chunk(192, 0, &value)]);
        }
    }
    let now = link.now();
    let mut buf = [0; 1_500];
    let mut packets = 0;
    while link.ends[1].poll_transmit(now, &mut buf).is_some() {
        packets += 1;
    }
    assert_eq!(packets, 1, "one SACK for all");
}

#[test]
fn requests_heartbeats_and_unknown_chunks_are_answered_within_bounds() {
    let mut link = Link::connected(1, delay(10));
    let forger = Forger::new(&mut link);
    for nth in 0..5_000_u32 {
        let request = words(&[13 << 16 | 16, nth, 0, forger.tsn.wrapping_sub(1)]);
        forger.hand_in(
            &mut link,
            &[
                chunk(4, 0, &[7; 200]),
                chunk(130, 0, &request),
                chunk(0xff, 0, &[1; 500]),
                data(3, forger.tsn.wrapping_add(nth), 5_000, 0, b"no such stream"),
            ],
        );
    }
    let now = link.now();
    let mut buf = [0; 1_500];
    let mut packets = 0;
    while link.ends[1].poll_transmit(now, &mut buf).is_some() {
        packets += 1;
    }
    assert!(packets <= 2, "{packets} packets in answer");
    assert_alive(&mut link);
}

#[test]
fn an_optimistic_peer_gets_no_more_than_the_largest_window() {
    let mut link = Link::with(1, delay(10), |config| config.max_window = 300_000).connect();
    let forger = Forger::new(&mut link);
    for i in 0..4_000 {
        link.send(1, 1, message(1_100, i), Delivery::RELIABLE);
    }
    // Everything sent is acknowledged a millisecond later, arrived or not.
    for _ in 0..100 {
        link.run_for(Duration::from_millis(1));
        let stats = link.ends[1].stats();
        let sent = forger.sent.wrapping_add(stats.chunks_sent as u32);
        forger.hand_in(&mut link, &[sack(sent.wrapping_sub(1), 0xffff_ffff, &[], 0)]);
        assert!(link.ends[1].stats().window <= 300_000);
        assert!(link.ends[1].stats().in_flight <= 300_000 + 1_160);
    }
}

/// Well-formed chunks with hostile numbers, and sometimes nonsense.
fn forged(forger: &Forger, input: &mut Choices<'_>) -> Vec<u8> {
    let near = |base: u32, input: &mut Choices<'_>| match input.below(4) {
        0 => base.wrapping_add(u32::from(input.byte()) << 8),
        1 => base.wrapping_sub(u32::from(input.byte())),
        2 => u32::from_be_bytes([input.byte(), input.byte(), input.byte(), input.byte()]),
        _ => base.wrapping_add(u32::from(input.byte() % 8)),
    };
    match input.below(10) {
        0..=2 => {
            let (flags, tsn) = (input.byte() & 15, near(forger.tsn, input));
            let (stream, ssn) = (u16::from(input.byte() % 4), u16::from(input.byte() % 4));
            data(flags, tsn, stream, ssn, &vec![7; 1 + usize::from(input.byte())])
        }
        3..=4 => {
            let gaps: Vec<(u16, u16)> =
                (0..input.below(4)).map(|_| (u16::from(input.byte()), u16::from(input.byte()))).collect();
            let claimed = gaps.len() as u16 + u16::from(input.byte() == 255);
            sack(near(forger.sent, input), u32::from(input.byte()) << 12, &gaps, claimed)
        }
        5 => {
            let mut value = words(&[near(forger.tsn, input)]);
            value.extend_from_slice(input.bytes());
            chunk(192, 0, &value)
        }
        6 => {
            let kind = u32::from(input.below(8) as u8 + 12);
            let mut value = words(&[kind << 16 | 18, near(forger.tsn, input), 0, near(forger.tsn, input)]);
            value.extend_from_slice(&[0, input.byte() % 4, 0, 0]);
            chunk(130, 0, &value)
        }
        7 => chunk(input.one_of(&[1, 2, 4, 5, 7, 9, 10, 11, 132]), input.byte(), input.bytes()),
        8 => chunk(input.byte(), input.byte(), input.bytes()),
        _ => input.bytes().to_vec(),
    }
}

/// Anything at all from a peer that knows the tags, between genuine traffic.
fn survives(input: &[u8]) {
    let mut input = Choices::new(input);
    let mut link = Link::with(1, delay(5), |config| {
        config.receive_buffer = 50_000;
        config.first_tsn = Some(u32::MAX - 20);
    })
    .connect();
    let forger = Forger::new(&mut link);
    while !input.is_empty() {
        match input.below(6) {
            0 if link.ends[1].is_connected() => {
                let delivery = input.one_of(&[Delivery::RELIABLE, Delivery::ONCE]);
                let len = 1 + 30 * usize::from(input.byte());
                let (now, stream) = (link.now(), u16::from(input.byte() % 4));
                // Refused while the stream is being reset.
                let _ = link.ends[1].send(now, stream, 53, message(len, 5), delivery);
            }
            1 => link.run_for(Duration::from_millis(u64::from(input.byte()))),
            2 if link.ends[1].is_connected() => link.ends[1].reset_stream(u16::from(input.byte() % 4)),
            _ => {
                let chunks: Vec<Vec<u8>> =
                    (0..=input.below(3)).map(|_| forged(&forger, &mut input)).collect();
                forger.hand_in(&mut link, &chunks);
            }
        }
        let stats = link.ends[1].stats();
        assert!(stats.receive_buffered <= 100_000, "{stats:?}");
        assert!(link.events[1].len() < 10_000);
    }
    link.run_for(Duration::from_secs(2));
    let stats = link.ends[1].stats();
    assert!(stats.buffered < 1_000_000 && stats.in_flight < 1_000_000, "{stats:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_established_association_survives_any_peer(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        survives(&data);
    }

    #[test]
    fn any_packet_at_all_is_survived(packets in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..200), 0..20,
    )) {
        for connected in [false, true] {
            let mut link = Link::new(1, delay(5));
            if connected {
                link = link.connect();
            }
            let now = link.now();
            for packet in &packets {
                link.ends[1].handle_packet(now, &Bytes::copy_from_slice(packet));
            }
            if !connected {
                link = link.connect();
            }
            assert_alive(&mut link);
        }
    }
}
