//! Copies of small messages that ride ahead of the next ones. All times are virtual.

use std::time::Duration;

use tramline_sctp::Delivery;
use tramline_sim::{Conditions, run_seeds};

use crate::link::{Bottleneck, Link, delay, message, number};
use crate::lossy::{one_percent, stream};

fn spared(copies: u8) -> Delivery {
    Delivery { copies, flow: 7, ..Delivery::ONCE }
}

#[test]
fn a_lost_message_comes_with_the_next_one_and_in_order() {
    run_seeds(5, |seed| {
        let mut link = Link::connected(seed, one_percent());
        let got = stream(&mut link, 54, 200, 60, spared(2));
        let stats = link.ends[0].stats();
        assert!(got.within[0] >= 0.9998, "{got:?} {stats:?}");
        assert!(got.in_order && got.delivered <= 1.0, "{got:?}");
        assert_eq!(got.p50, Duration::from_millis(25));
        assert!(stats.losses < 5, "a chunk whose spare arrived is not lost: {stats:?}");
        assert!(link.ends[1].stats().duplicates_received > 20_000, "the spares were sent");
        let round_trip = stats.round_trip.expect("measured");
        assert!(
            round_trip < Duration::from_millis(60),
            "spares do not disturb what is measured: {round_trip:?}"
        );
    });
}

#[test]
fn messages_that_fill_a_packet_have_one_spare_in_a_packet_of_its_own() {
    run_seeds(5, |seed| {
        let mut link = Link::connected(seed, one_percent());
        for (rate, seconds) in [(200, 20), (1_000, 10)] {
            let got = stream(&mut link, 1_040, rate, seconds, spared(4));
            assert!(got.delivered >= 0.999 && got.in_order, "{rate} Hz: {got:?}");
            assert_eq!(got.p50, Duration::from_millis(25));
            assert!(got.p99 <= Duration::from_millis(31), "{got:?}");
        }
        let stats = link.ends[0].stats();
        assert!(stats.copies <= stats.chunks_sent, "{stats:?}");
    });
}

#[test]
fn no_message_comes_after_a_newer_one_of_its_flow() {
    run_seeds(30, |seed| {
        let mut link = Link::connected(seed, Conditions { loss: 0.3, duplicate: 0.05, ..delay(15) });
        // Two flows whose messages differ in size, and bulk beside them that leaves no room in its packets.
        for i in 0..1_500_u64 {
            let [small, large] = [(40 + i % 300) as usize, (800 + i % 250) as usize];
            link.send(0, 1, message(small, i), Delivery { copies: 3, flow: 1, ..Delivery::ONCE });
            if i % 2 == 0 {
                link.send(0, 2, message(large, i), Delivery { copies: 3, flow: 2, ..Delivery::ONCE });
            }
            if i % 5 == 0 {
                link.send(0, 3, message(5_000, i), Delivery::ONCE);
            }
            link.run_for(Duration::from_millis(4));
        }
        link.run_for(Duration::from_secs(5));
        let got = link.take(1);
        for stream in [1, 2] {
            let numbers: Vec<u64> =
                got.iter().filter(|got| got.stream == stream).map(|got| number(&got.payload)).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "flow {stream} {:?}", link.ends[0].stats());
            assert!(numbers.len() > 300, "{}", numbers.len());
        }
        assert_eq!(link.ends[0].stats().in_flight, 0);
        assert_eq!(link.ends[0].stats().buffered, 0);
    });
}

#[test]
fn the_advice_follows_losses_in_bursts() {
    run_seeds(5, |seed| {
        let conditions = Conditions { jitter: Duration::from_millis(16), ..delay(32) };
        let mut link = Link::connected(seed, conditions);
        // 5 % in bursts of 4: one in 76 packets begins a burst that goes on three times of four.
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut lossy = false;
        link.filter = Some(Box::new(move |end, _, _| {
            if end == 0 {
                lossy = if lossy { chance.u32(0..4) > 0 } else { chance.u32(0..76) == 0 };
            }
            end != 0 || !lossy
        }));
        let (mut sent_at, mut most) = (Vec::new(), 0);
        for i in 0..12_000_u64 {
            let copies = link.ends[0].suggested_copies();
            most = most.max(copies);
            sent_at.push(link.now());
            link.send(0, 1, message(54, i), spared(copies));
            link.run_for(Duration::from_millis(5));
        }
        link.run_for(Duration::from_secs(1));
        let in_time = link
            .take(1)
            .iter()
            .filter(|got| got.at - sent_at[number(&got.payload) as usize] <= Duration::from_millis(250))
            .count();
        assert!(in_time >= 11_940, "{in_time} of 12000, {most} copies, {:?}", link.ends[0].stats());
        assert!(most > 4);
    });
}

#[test]
fn a_short_path_that_loses_nothing_has_no_spares() {
    let mut link =
        Link::connected(1, Conditions { delay: Duration::from_micros(100), ..Conditions::default() });
    stream(&mut link, 54, 1_000, 1, Delivery::ONCE);
    assert_eq!(link.ends[0].suggested_copies(), 0);
    // And where they are asked for all the same, only what was not acknowledged has one.
    let before = link.ends[0].stats();
    stream(&mut link, 54, 200, 10, spared(2));
    let after = link.ends[0].stats();
    assert!(after.copies - before.copies < 200, "{} copies of 2000", after.copies - before.copies);
}

#[test]
fn spares_stop_when_more_waits_than_the_path_takes() {
    run_seeds(3, |seed| {
        let mut link = Link::connected(seed, delay(10));
        link.bottleneck[0] = Some(Bottleneck::new(2.0, 60_000));
        let wanted = Delivery { lifetime: Some(Duration::from_millis(100)), ..spared(2) };
        // 4 Mbit/s into a link of 2.
        for i in 0..10_000 {
            link.send(0, 1, message(500, i), wanted);
            link.run_for(Duration::from_millis(1));
        }
        let stats = link.ends[0].stats();
        assert!(stats.copies < stats.chunks_sent / 10, "{stats:?}");
    });
}
