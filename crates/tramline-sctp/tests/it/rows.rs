//! A publisher, a server that passes messages on, and a subscriber: 25 ms and 1 % loss each way on both hops. All times are
//! virtual; the server passes on once a millisecond.

use std::time::Duration;

use tramline_sctp::Delivery;
use tramline_sim::run_seeds;

use crate::link::{Link, message, number, percentile};
use crate::lossy::one_percent;

#[derive(Debug)]
struct Outcome {
    delivered: f64,
    p50: Duration,
    p99: Duration,
    in_order: bool,
    /// Part of all within the path's own 50 ms and so much more.
    within_12: f64,
}

/// `how` says for each hop how its next message is sent.
fn two_hops(seed: u64, len: usize, rate: u64, seconds: u64, how: fn(&Link) -> Delivery) -> Outcome {
    let mut hops = [seed, seed + 1_000].map(|seed| Link::connected(seed, one_percent()));
    let begin = hops.each_ref().map(Link::now);
    let tick = Duration::from_millis(1);
    let every = 1_000 / rate;
    let mut got = Vec::new();
    let ticks = seconds * 1_000;
    for at in 0..ticks + 2_000 {
        if at < ticks && at % every == 0 {
            let delivery = how(&hops[0]);
            hops[0].send(0, 1, message(len, at), delivery);
        }
        hops[0].run_for(tick);
        for passed in hops[0].take(1) {
            let delivery = how(&hops[1]);
            hops[1].send(0, 1, passed.payload, delivery);
        }
        hops[1].run_for(tick);
        got.extend(hops[1].take(1));
    }
    let count = (ticks / every) as f64;
    let mut delays: Vec<Duration> =
        got.iter().map(|got| got.at - begin[1] - tick * number(&got.payload) as u32).collect();
    let in_order = got.is_sorted_by_key(|got| number(&got.payload));
    delays.sort();
    Outcome {
        delivered: delays.len() as f64 / count,
        p50: percentile(&delays, 0.5),
        p99: percentile(&delays, 0.99),
        in_order,
        within_12: delays.iter().filter(|delay| **delay <= Duration::from_millis(62)).count() as f64 / count,
    }
}

/// As a track of small frames is sent.
fn spared(hop: &Link) -> Delivery {
    Delivery { copies: hop.ends[0].suggested_copies(), flow: 1, ..Delivery::ONCE }
}

/// As a track of large frames is sent.
fn mended(_: &Link) -> Delivery {
    Delivery { max_retransmits: None, lifetime: Some(Duration::from_millis(250)), ..Delivery::ONCE }
}

#[test]
fn a_track_of_1_kib_at_200_hz_loses_nothing_to_speak_of_and_waits_for_nothing() {
    run_seeds(3, |seed| {
        let got = two_hops(seed, 1_040, 200, 60, spared);
        assert!(got.delivered >= 0.999 && got.in_order, "{got:?}");
        assert!(got.p50 <= Duration::from_micros(52_500) && got.p99 <= Duration::from_millis(70), "{got:?}");
    });
}

#[test]
fn a_track_of_1_kib_at_1000_hz_loses_nothing_to_speak_of_and_waits_for_nothing() {
    run_seeds(2, |seed| {
        let got = two_hops(seed, 1_040, 1_000, 20, spared);
        assert!(got.delivered >= 0.999 && got.in_order, "{got:?}");
        assert!(got.p50 <= Duration::from_micros(52_500), "{got:?}");
    });
}

#[test]
fn control_commands_arrive_within_12_ms_of_the_path_and_in_order() {
    run_seeds(3, |seed| {
        let got = two_hops(seed, 54, 200, 60, spared);
        assert!(got.within_12 >= 0.9998 && got.in_order, "{got:?}");
    });
}

#[test]
fn frames_of_16_kib_are_mended() {
    run_seeds(3, |seed| {
        let got = two_hops(seed, 16_384, 20, 60, mended);
        assert!(got.delivered >= 0.995, "{got:?}");
    });
}
