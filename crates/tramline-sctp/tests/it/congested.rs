//! Links of a fixed rate: how much of it is used and how long the queue in front of it gets. All times are virtual.

use std::time::Duration;

use tramline_sctp::{Congestion, Delivery};
use tramline_sim::Conditions;

use crate::link::{Bottleneck, Link, delay, message};

/// Keeps a sender busy for `seconds`; returns bytes per second received and the queue delays, sampled each millisecond,
/// both without the first three seconds.
fn saturate(link: &mut Link, seconds: u64, delivery: Delivery) -> (f64, Vec<Duration>) {
    let mut delays = Vec::new();
    let mut bytes = 0;
    for millisecond in 0..seconds * 1_000 {
        while link.ends[0].send_room() > 0 {
            link.send(0, 1, message(1_100, millisecond), delivery);
        }
        link.run_for(Duration::from_millis(1));
        let got: usize = link.take(1).iter().map(|got| got.payload.len()).sum();
        if millisecond >= 3_000 {
            bytes += got;
            let now = link.now();
            delays.push(link.bottleneck[0].map_or(Duration::ZERO, |bottleneck| bottleneck.delay(now)));
        }
    }
    delays.sort();
    (bytes as f64 / (seconds - 3) as f64, delays)
}

#[test]
fn a_deep_buffer_is_not_filled() {
    for (megabits, millis) in [(2.0, 5), (10.0, 25), (50.0, 10), (100.0, 25), (20.0, 100)] {
        let mut link = Link::connected(1, delay(millis));
        link.bottleneck[0] = Some(Bottleneck::new(megabits, 4_000_000));
        let (rate, delays) = saturate(&mut link, 40, Delivery::ONCE);
        let used = rate / (megabits * 125_000.0);
        let (mean, p99) =
            (delays.iter().sum::<Duration>() / delays.len() as u32, delays[delays.len() * 99 / 100]);
        eprintln!("{megabits} Mbit/s {millis} ms: used {used:.3} queue mean {mean:?} p99 {p99:?}");
        assert!(used > 0.80, "{megabits} Mbit/s {millis} ms: used {used}");
        assert!(mean < Duration::from_millis(25), "{megabits} Mbit/s {millis} ms: queue {mean:?}");
        assert!(p99 < Duration::from_millis(60), "{megabits} Mbit/s {millis} ms: queue {p99:?}");
    }
}

#[test]
fn a_shallow_buffer_is_not_flooded() {
    for (megabits, millis) in [(10.0, 25), (50.0, 10), (20.0, 50)] {
        let mut link = Link::connected(1, delay(millis));
        let product = (megabits * 125.0 * 2.0 * millis as f64) as u64;
        link.bottleneck[0] = Some(Bottleneck::new(megabits, product / 4));
        let (rate, _) = saturate(&mut link, 40, Delivery::RELIABLE);
        let used = rate / (megabits * 125_000.0);
        let stats = link.ends[0].stats();
        let lost = stats.losses as f64 / stats.chunks_sent as f64;
        eprintln!("{megabits} Mbit/s {millis} ms: used {used:.3} lost {lost:.4}");
        assert!(used > 0.75, "{megabits} Mbit/s {millis} ms: used {used}");
        assert!(lost < 0.05, "{megabits} Mbit/s {millis} ms: lost {lost}");
    }
}

#[test]
fn a_reliable_stream_fills_a_fast_link_in_spite_of_random_loss() {
    let mut link = Link::connected(1, Conditions { loss: 0.001, ..delay(25) });
    link.bottleneck[0] = Some(Bottleneck::new(100.0, 4_000_000));
    let (rate, _) = saturate(&mut link, 23, Delivery::RELIABLE);
    let used = rate / 12_500_000.0;
    eprintln!("used {used:.3}");
    assert!(used > 0.80, "{used}");
}

#[test]
fn a_link_that_slows_down_and_recovers_is_followed() {
    let mut link = Link::connected(1, delay(20));
    for megabits in [50.0, 5.0, 50.0] {
        link.bottleneck[0] = Some(Bottleneck::new(megabits, 4_000_000));
        let (rate, delays) = saturate(&mut link, 9, Delivery::ONCE);
        let used = rate / (megabits * 125_000.0);
        let p50 = delays[delays.len() / 2];
        eprintln!("{megabits} Mbit/s: used {used:.3} queue p50 {p50:?}");
        assert!(used > 0.75, "{megabits} Mbit/s: used {used}");
        assert!(p50 < Duration::from_millis(25), "{megabits} Mbit/s: queue {p50:?}");
    }
}

#[test]
fn a_rate_cap_is_kept() {
    let mut link = Link::with(1, delay(10), |config| {
        config.congestion = Congestion::DelayAware { max_rate: Some(500_000) };
    })
    .connect();
    let (rate, _) = saturate(&mut link, 8, Delivery::ONCE);
    assert!((400_000.0..=500_000.0).contains(&rate), "{rate}");
}
