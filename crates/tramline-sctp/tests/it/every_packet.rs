//! Each packet of the handshake, of a transfer and of its end lost, repeated and late, singly and in pairs.

use std::time::Duration;

use tramline_sctp::{Closed, Delivery, Event};

use crate::link::{Fate, Link, delay, message};

const FATES: [Fate; 3] = [Fate::Lost, Fate::Twice, Fate::Late(Duration::from_millis(45))];

/// A handshake, messages of one and of several packets in both directions, a reset, and the end. Returns how many packets
/// each side sent.
fn run(fates: &[((usize, u64), Fate)]) -> [u64; 2] {
    let mut link = Link::with(3, delay(10), |config| config.first_tsn = Some(u32::MAX - 2));
    link.fates = fates.to_vec();
    link.ends[0].connect();
    link.run_until(Duration::from_secs(30), |link| link.ends.iter().all(|end| end.is_connected()));
    let sizes = [1, 900, 4_000, 20];
    for (nth, len) in sizes.into_iter().enumerate() {
        for from in 0..2 {
            link.send(from, 1, message(len, nth as u64), Delivery::RELIABLE);
            link.send(from, 2, message(len, nth as u64), Delivery { copies: 1, ..Delivery::ONCE });
        }
        link.run_for(Duration::from_millis(7));
    }
    link.ends[0].reset_stream(1);
    link.run_for(Duration::from_millis(5));
    link.ends[0].shutdown();
    let closed = Event::Closed(Closed::Shutdown);
    link.run_until(Duration::from_secs(60), |link| link.events.iter().all(|events| events.contains(&closed)));
    for end in 0..2 {
        let got = link.take(end);
        let reliable: Vec<_> =
            got.iter().filter(|got| got.stream == 1).map(|got| got.payload.clone()).collect();
        let wanted = sizes.iter().enumerate().map(|(nth, len)| message(*len, nth as u64)).collect::<Vec<_>>();
        assert_eq!(reliable, wanted, "end {end}");
        let mut once: Vec<_> =
            got.iter().filter(|got| got.stream == 2).map(|got| got.payload.clone()).collect();
        let count = once.len();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), count, "a message came twice at end {end}");
        assert!(once.iter().all(|got| wanted.contains(got)), "a message came damaged at end {end}");
    }
    link.packets
}

#[test]
fn any_packet_may_be_lost_repeated_or_late() {
    let packets = run(&[]);
    assert!(packets.iter().all(|packets| *packets > 8), "{packets:?}");
    for (end, packets) in packets.into_iter().enumerate() {
        // Some more than there are without trouble: the ones that mend it.
        for number in 0..packets + 4 {
            for fate in FATES {
                run(&[((end, number), fate)]);
            }
        }
    }
}

#[test]
fn any_two_packets_may_be_lost_repeated_or_late() {
    let packets = run(&[]);
    let all: Vec<(usize, u64)> =
        (0..2).flat_map(|end| (0..packets[end] + 2).map(move |number| (end, number))).collect();
    for (at, first) in all.iter().enumerate() {
        for second in &all[at + 1..] {
            for (nth, fate) in FATES.into_iter().enumerate() {
                run(&[(*first, fate), (*second, FATES[(nth + at) % 3])]);
            }
        }
    }
}
