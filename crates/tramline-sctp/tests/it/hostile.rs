//! A peer that means harm: it knows the tags and says what it likes.

use std::time::Duration;

use proptest::prelude::*;
use tramline_sctp::{Closed, Delivery, Event};

use crate::forger::{Forger, chunk, data, sack, survives, survives_packets, words};
use crate::link::{Link, delay, message};

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
        survives_packets(packets.iter().map(Vec::as_slice));
    }
}
