//! Lossy links: what is delivered, and when. All times are virtual.

use std::time::Duration;

use tramline_sctp::{Congestion, Delivery};
use tramline_sim::{Conditions, run_seeds};

use crate::link::{Link, delay, message, number, percentile};

/// What arrived of a stream of messages.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) delivered: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
    /// Whether none came after a newer one.
    pub(crate) in_order: bool,
    /// Part of all that came within 12 ms of the fastest, and within 250 ms of being sent.
    pub(crate) within: [f64; 2],
}

/// Sends messages of one length at one rate for `seconds`, one way.
pub(crate) fn stream(link: &mut Link, len: usize, rate: u64, seconds: u64, delivery: Delivery) -> Outcome {
    let interval = Duration::from_micros(1_000_000 / rate);
    let count = rate * seconds;
    let mut sent_at = Vec::new();
    for i in 0..count {
        sent_at.push(link.now());
        link.send(0, 1, message(len, i), delivery);
        link.run_for(interval);
    }
    link.run_for(Duration::from_secs(3));
    let got = link.take(1);
    let in_order = got.is_sorted_by_key(|got| number(&got.payload));
    let mut delays: Vec<Duration> =
        got.iter().map(|got| got.at - sent_at[number(&got.payload) as usize]).collect();
    delays.sort();
    let part = |limit: Duration| delays.iter().filter(|delay| **delay <= limit).count() as f64 / count as f64;
    Outcome {
        in_order,
        within: [part(delays[0] + Duration::from_millis(12)), part(Duration::from_millis(250))],
        delivered: delays.len() as f64 / count as f64,
        p50: percentile(&delays, 0.5),
        p99: percentile(&delays, 0.99),
        max: *delays.last().expect("messages"),
    }
}

pub(crate) fn one_percent() -> Conditions {
    Conditions { loss: 0.01, ..delay(25) }
}

#[test]
fn a_stream_over_a_lossy_link_loses_what_the_link_loses_and_waits_for_nothing() {
    run_seeds(5, |seed| {
        for (len, rate) in [(1_024, 1_000), (1_024, 200), (38, 200)] {
            let mut link = Link::connected(seed, one_percent());
            // The window opens within the first round trips.
            stream(&mut link, len, rate, 1, Delivery::ONCE);
            let got = stream(&mut link, len, rate, 10, Delivery::ONCE);
            let sent = rate * 10;
            // 1 % within four standard deviations.
            let least = 0.99 - 4.0 * (0.01 / sent as f64).sqrt();
            assert!(got.delivered >= least, "{len} B x {rate} Hz: {got:?}");
            assert_eq!((got.p50, got.p99), (Duration::from_millis(25), Duration::from_millis(25)), "{got:?}");
            assert_eq!(link.ends[0].stats().timeouts, 0);
        }
    });
}

#[test]
fn lost_chunks_that_may_be_sent_again_arrive_a_round_trip_later() {
    run_seeds(5, |seed| {
        let mut link = Link::connected(seed, one_percent());
        let delivery =
            Delivery { max_retransmits: None, lifetime: Some(Duration::from_millis(250)), ..Delivery::ONCE };
        let got = stream(&mut link, 1_024, 1_000, 10, delivery);
        assert!(got.delivered >= 0.9995, "{got:?}");
        assert_eq!(got.p50, Duration::from_millis(25), "{got:?}");
        assert!(got.p99 <= Duration::from_millis(90), "{got:?}");

        let mut link = Link::connected(seed, one_percent());
        let got = stream(&mut link, 16_384, 20, 10, delivery);
        assert!(got.delivered >= 0.995, "{got:?}");
    });
}

#[test]
fn a_reliable_stream_over_a_lossy_link_keeps_its_pace() {
    run_seeds(5, |seed| {
        let mut link = Link::connected(seed, one_percent());
        let got = stream(&mut link, 1_024, 1_000, 10, Delivery::RELIABLE);
        assert_eq!(got.delivered, 1.0);
        assert!(got.p50 <= Duration::from_millis(60), "{got:?}");
        assert!(got.max <= Duration::from_millis(400), "{got:?}");
        assert_eq!(link.ends[0].stats().timeouts, 0);
    });
}

#[test]
fn the_controller_of_rfc_9260_is_held_back_by_the_same_loss() {
    let mut link = Link::with(1, one_percent(), |config| config.congestion = Congestion::Reno).connect();
    let got = stream(&mut link, 1_024, 1_000, 10, Delivery::ONCE);
    assert!(got.p50 > Duration::from_millis(200), "the comparison would be pointless: {got:?}");
}

#[test]
fn jitter_is_not_taken_for_loss() {
    run_seeds(10, |seed| {
        let conditions = Conditions { jitter: Duration::from_millis(16), ..delay(32) };
        let mut link = Link::connected(seed, conditions);
        let got = stream(&mut link, 200, 200, 20, Delivery::ONCE);
        let stats = link.ends[0].stats();
        assert!(got.delivered >= 0.998, "{got:?} {stats:?}");
        assert!(stats.losses <= 10, "{stats:?}");
    });
}

#[test]
fn a_burst_ends_without_a_time_out() {
    run_seeds(100, |seed| {
        let mut link = Link::connected(seed, Conditions { loss: 0.05, ..delay(10) });
        for _ in 0..10 {
            for i in 0..30 {
                link.send(0, 1, message(1_000, i), Delivery::RELIABLE);
            }
            let start = link.now();
            link.run_until(Duration::from_secs(5), |link| link.received[1].len() == 30);
            link.received[1].clear();
            assert!(link.now() - start < Duration::from_millis(350), "{:?}", link.now() - start);
            link.run_for(Duration::from_millis(100));
        }
    });
}

#[test]
fn skipping_neither_stalls_nor_storms() {
    for ordered in [false, true] {
        run_seeds(10, |seed| {
            let mut link = Link::connected(seed, one_percent());
            let delivery = Delivery { ordered, ..Delivery::ONCE };
            // Bursts of loss in both directions, for half a second each.
            for round in 0..6_u64 {
                link.network.set_conditions(Conditions { loss: 0.9, ..delay(25) });
                for i in 0..500 {
                    link.send(0, 1, message(500, round * 1_500 + i), delivery);
                    link.run_for(Duration::from_millis(1));
                }
                link.network.set_conditions(delay(25));
                link.run_for(Duration::from_millis(300));
                link.received[1].clear();
                for i in 500..1_500 {
                    link.send(0, 1, message(500, round * 1_500 + i), delivery);
                    link.run_for(Duration::from_millis(1));
                }
                assert!(link.received[1].len() > 950, "{} of 1000 after a burst", link.received[1].len());
            }
            let stats = link.ends[0].stats();
            assert!(stats.forward_tsns < 12 * 150, "{stats:?}");
            link.run_for(Duration::from_secs(1));
            assert_eq!(link.ends[0].stats().buffered, 0);
            assert_eq!(link.ends[1].stats().receive_buffered, 0);
        });
    }
}

#[test]
fn an_outage_is_over_soon_after_the_link_is_back() {
    run_seeds(20, |seed| {
        let mut link = Link::connected(seed, delay(25));
        stream(&mut link, 1_024, 200, 2, Delivery::ONCE);
        link.network.set_conditions(Conditions { loss: 1.0, ..delay(25) });
        let delivery = Delivery { lifetime: Some(Duration::from_millis(100)), ..Delivery::ONCE };
        for i in 0..600 {
            link.send(0, 1, message(1_024, i), delivery);
            link.run_for(Duration::from_millis(5));
        }
        link.network.set_conditions(delay(25));
        let back = link.now();
        let before = link.packets[0];
        let mut sent_at = Vec::new();
        for i in 0..200 {
            sent_at.push(link.now());
            link.send(0, 1, message(1_024, 10_000 + i), delivery);
            link.run_for(Duration::from_millis(5));
        }
        let got = link.take(1);
        let fresh = got.iter().find(|got| number(&got.payload) >= 10_000).expect("a fresh message");
        assert!(fresh.at - back <= Duration::from_millis(250), "{:?}", fresh.at - back);
        let late = got.iter().rfind(|got| number(&got.payload) < 10_000).map(|got| got.at - back);
        assert!(late.is_none_or(|late| late < Duration::from_millis(200)), "{late:?}");
        assert!(got.len() > 150, "{}", got.len());
        assert!(link.packets[0] - before < 400);
    });
}
