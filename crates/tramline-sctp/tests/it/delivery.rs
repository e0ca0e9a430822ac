//! What goes in comes out.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use tramline_sctp::{Delivery, SendError};
use tramline_sim::{Conditions, run_seeds};

use crate::link::{BINARY, Link, delay, message, number};

fn bad() -> Conditions {
    Conditions {
        loss: 0.05,
        duplicate: 0.05,
        delay: Duration::from_millis(8),
        jitter: Duration::from_millis(10),
    }
}

#[test]
fn messages_of_every_size_arrive_intact() {
    for delivery in [Delivery::RELIABLE, Delivery::ONCE, Delivery { ordered: true, ..Delivery::ONCE }] {
        let mut link = Link::connected(1, delay(1));
        for len in (1..40).chain(1_100..1_180).chain([2_264, 2_265, 4_097, 65_535, 65_536, 262_143, 262_144])
        {
            link.send(0, 1, message(len, 7), delivery);
            link.run_for(Duration::from_secs(1));
            assert!(link.payloads(1) == [message(len, 7)], "{len} bytes");
        }
        assert!(link.longest <= 1_160, "{} bytes", link.longest);
        assert_eq!(link.ends[0].stats().retransmissions, 0);
    }
}

#[test]
fn packets_keep_to_any_budget_and_use_it() {
    for budget in [300, 1_000, 1_160, 1_163, 1_400] {
        let mut link = Link::with(1, delay(1), |config| config.packet_budget = budget).connect();
        for len in [1, 7, 63, 200, 600, 900, 16_000] {
            let before = link.packets[0];
            for i in 0..64 {
                link.send(0, 1, message(len, i), Delivery::ONCE);
            }
            link.run_for(Duration::from_secs(2));
            assert_eq!(link.take(1).len(), 64, "{len} of {budget}");
            let used = (link.packets[0] - before) as usize;
            let least = 64 * (len + 16) / (budget - 12);
            assert!(used <= 2 * least + 16, "{used} packets for 64 messages of {len}, {least} would do");
        }
        assert!(link.longest <= budget && link.longest + 8 > budget, "{} of {budget}", link.longest);
    }
}

#[test]
fn small_messages_share_a_packet() {
    let mut link = Link::connected(1, delay(1));
    let before = link.packets[0];
    for i in 0..100 {
        link.send(0, 1, message(40, i), Delivery::ONCE);
    }
    link.flush();
    assert_eq!(link.packets[0] - before, 5, "20 chunks of 56 bytes in each");
}

#[test]
fn reliable_messages_survive_a_bad_network_in_order() {
    run_seeds(60, |seed| {
        let mut link = Link::connected(seed, bad());
        for i in 0..300 {
            for from in 0..2 {
                let len = [1, 100, 1_132, 5_000, 30_000][(i as usize + from) % 5].max(8);
                link.send(from, (i % 3) as u16, message(len, i), Delivery::RELIABLE);
            }
            link.run_for(Duration::from_millis(5));
        }
        link.run_until(Duration::from_secs(60), |link| link.received.iter().all(|r| r.len() == 300));
        link.run_for(Duration::from_secs(1));
        for end in 0..2 {
            let mut last = BTreeMap::new();
            for got in link.take(end) {
                let i = number(&got.payload);
                let len = [1, 100, 1_132, 5_000, 30_000][(i as usize + 1 - end) % 5].max(8);
                assert!(got.payload == message(len, i), "message {i} was damaged");
                assert_eq!(u64::from(got.stream), i % 3);
                assert!(last.insert(got.stream, i).is_none_or(|last| last == i - 3), "out of order");
            }
            assert_eq!(link.ends[end].stats().buffered, 0);
        }
    });
}

#[test]
fn messages_sent_once_arrive_whole_or_not_at_all_and_never_twice() {
    run_seeds(60, |seed| {
        let mut link = Link::connected(seed, bad());
        let delivery = Delivery { ordered: seed % 2 == 0, ..Delivery::ONCE };
        for i in 0..600_u64 {
            link.send(0, 2, message(8 + (i as usize * 37) % 4_000, i), delivery);
            link.run_for(Duration::from_millis(5));
        }
        link.run_for(Duration::from_secs(3));
        let mut seen = HashSet::new();
        let mut last = None;
        let got = link.payloads(1);
        for received in &got {
            let i = number(received);
            assert!(seen.insert(i), "message {i} arrived twice");
            assert!(*received == message(8 + (i as usize * 37) % 4_000, i), "message {i} was damaged");
            assert!(!delivery.ordered || last.is_none_or(|last| last < i), "out of order");
            last = Some(i);
        }
        // 5 % of the packets are lost, and a message is up to four of them.
        assert!(got.len() > 480, "only {} of 600 arrived", got.len());
        let stats = link.ends[0].stats();
        assert_eq!((stats.buffered, stats.in_flight), (0, 0));
        assert_eq!(link.ends[1].stats().receive_buffered, 0, "nothing incomplete is left");
        assert!(stats.forward_tsns < 400, "{} FORWARD TSNs for 3 s", stats.forward_tsns);
    });
}

#[test]
fn sequence_numbers_of_both_kinds_may_wrap() {
    let mut link = Link::with(3, bad(), |config| config.first_tsn = Some(u32::MAX - 40_000)).connect();
    for i in 0..70_000_u64 {
        link.send(0, 1, message(8, i), Delivery::RELIABLE);
        if i % 50 == 0 {
            link.run_for(Duration::from_millis(2));
        }
    }
    link.run_until(Duration::from_secs(60), |link| link.received[1].len() == 70_000);
    assert!(link.payloads(1).iter().enumerate().all(|(i, payload)| number(payload) == i as u64));
}

#[test]
fn every_kind_of_delivery_survives_the_wrap_of_the_tsn() {
    run_seeds(40, |seed| {
        let first = u32::MAX - (seed as u32 * 7) % 200;
        let mut link = Link::with(seed, bad(), |config| config.first_tsn = Some(first)).connect();
        for i in 0..200_u64 {
            let delivery = match i % 4 {
                0 => Delivery::RELIABLE,
                1 => Delivery::ONCE,
                2 => Delivery { ordered: true, max_retransmits: Some(1), ..Delivery::RELIABLE },
                _ => Delivery { lifetime: Some(Duration::from_millis(60)), ..Delivery::RELIABLE },
            };
            link.send(0, (i % 4) as u16, message(2_000, i), delivery);
            link.run_for(Duration::from_millis(3));
        }
        link.run_for(Duration::from_secs(3));
        let got = link.take(1);
        assert_eq!(got.iter().filter(|received| received.stream == 0).count(), 50);
        assert!(got.len() > 160, "{}", got.len());
        assert_eq!(link.ends[0].stats().buffered, 0);
    });
}

#[test]
fn a_lost_message_is_sent_again_as_often_as_allowed() {
    for allowed in 0..4_u32 {
        let mut link = Link::connected(1, delay(10));
        // The first message is lost every time; the ones behind it arrive.
        link.filter = Some(Box::new(|end, _, packet| {
            end == 1 || packet.windows(8).all(|window| window != 77_u64.to_be_bytes())
        }));
        let delivery = Delivery { ordered: true, max_retransmits: Some(allowed), ..Delivery::RELIABLE };
        link.send(0, 1, message(1_000, 77), delivery);
        for i in 0..200 {
            link.run_for(Duration::from_millis(5));
            link.send(0, 1, message(1_000, 1_000 + i), delivery);
        }
        link.run_for(Duration::from_secs(1));
        let stats = link.ends[0].stats();
        assert_eq!((stats.retransmissions, stats.abandoned_messages), (u64::from(allowed), 1));
        assert_eq!(link.payloads(1).len(), 200, "the others do not wait for ever");
    }
}

#[test]
fn a_message_is_not_sent_after_its_lifetime() {
    let mut link = Link::connected(1, delay(10));
    let delivery = Delivery { lifetime: Some(Duration::from_millis(100)), ..Delivery::RELIABLE };
    link.network.set_conditions(Conditions { loss: 1.0, ..delay(10) });
    for i in 0..100 {
        link.send(0, 1, message(1_000, i), delivery);
        link.run_for(Duration::from_millis(10));
    }
    link.network.set_conditions(delay(10));
    let back = link.now();
    for i in 100..200 {
        link.send(0, 1, message(1_000, i), delivery);
        link.run_for(Duration::from_millis(10));
    }
    let got = link.take(1);
    let first = got.first().expect("messages after the outage");
    assert!(first.at - back < Duration::from_millis(250), "{:?}", first.at - back);
    // Sent at most 100 ms before; and 10 ms on the way.
    assert!(number(&first.payload) >= 88, "{}", number(&first.payload));
    assert!(got.len() >= 75, "{}", got.len());
    assert!(link.ends[0].stats().forward_tsns < 60, "{:?}", link.ends[0].stats());
}

#[test]
fn a_reader_that_stops_holds_the_sender_back_and_loses_nothing_reliable() {
    let mut link = Link::connected(1, delay(5));
    link.reads[1] = false;
    let total = 600;
    for i in 0..total {
        link.send(0, 1, message(16_000, i), Delivery::RELIABLE);
    }
    link.run_for(Duration::from_secs(10));
    let held = link.ends[1].stats().receive_buffered;
    assert!((1_900_000..=2_200_000).contains(&held), "{held} bytes");
    link.reads[1] = true;
    link.fetch(1);
    link.run_until(Duration::from_secs(60), |link| link.received[1].len() == total as usize);
    assert!(link.payloads(1).iter().enumerate().all(|(i, payload)| number(payload) == i as u64));
}

#[test]
fn a_small_message_overtakes_a_queue_of_large_ones_on_another_stream() {
    let mut link = Link::connected(1, delay(20));
    for i in 0..50 {
        link.send(0, 1, message(60_000, i), Delivery::RELIABLE);
    }
    link.run_for(Duration::from_millis(100));
    let before = link.take(1).len();
    link.send(0, 2, message(100, 500), Delivery::RELIABLE);
    link.run_until(Duration::from_secs(10), |link| link.received[1].iter().any(|got| got.stream == 2));
    let overtaken = link.take(1).len();
    assert!(before + overtaken < 45, "{before} and {overtaken} of 50 came first");
    link.run_until(Duration::from_secs(10), |link| before + overtaken + link.received[1].len() == 51);
}

#[test]
fn what_cannot_be_sent_is_refused_with_a_reason() {
    let mut link = Link::with(1, delay(5), |config| config.streams = 16);
    let now = link.now();
    let refused = link.ends[0].send(now, 1, BINARY, message(10, 1), Delivery::ONCE);
    assert_eq!(refused, Err(SendError::NotConnected));
    let mut link = link.connect();
    let refused = link.ends[0].send(now, 1, BINARY, Bytes::new(), Delivery::ONCE);
    assert_eq!(refused, Err(SendError::Empty));
    let refused = link.ends[0].send(now, 16, BINARY, message(10, 1), Delivery::ONCE);
    assert_eq!(refused, Err(SendError::NoSuchStream { stream: 16, limit: 16 }));
}

#[test]
fn messages_longer_than_accepted_are_dropped_and_counted() {
    let mut link = Link::with(1, delay(5), |config| config.max_receive_message_size = 5_000).connect();
    for (i, len) in [1_000, 5_001, 5_000, 100_000, 20].into_iter().enumerate() {
        link.send(0, 1, message(len, i as u64), Delivery::RELIABLE);
    }
    link.run_for(Duration::from_secs(3));
    let lens: Vec<usize> = link.payloads(1).iter().map(Bytes::len).collect();
    assert_eq!(lens, [1_000, 5_000, 20]);
    assert_eq!(link.ends[1].stats().oversize_messages, 2);
    assert_eq!(link.ends[1].stats().receive_buffered, 0);
}
