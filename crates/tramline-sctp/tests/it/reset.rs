//! Ending streams and using their ids anew.

use std::time::Duration;

use tramline_sctp::{Delivery, Event, SendError};
use tramline_sim::{Conditions, run_seeds};

use crate::link::{BINARY, Link, delay, message, number};

#[test]
fn a_stream_ends_after_what_was_queued_and_begins_anew() {
    run_seeds(60, |seed| {
        let bad = Conditions {
            loss: 0.1,
            duplicate: 0.1,
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(10),
        };
        let mut link = Link::connected(seed, bad);
        for round in 0..5 {
            for i in 0..10 {
                link.send(0, 7, message(3_000, round * 10 + i), Delivery::RELIABLE);
            }
            link.ends[0].reset_stream(7);
            let now = link.now();
            let refused = link.ends[0].send(now, 7, BINARY, message(10, 1), Delivery::RELIABLE);
            assert_eq!(refused, Err(SendError::Resetting(7)));
            // Another stream is not disturbed.
            link.send(0, 8, message(500, 1_000 + round), Delivery::RELIABLE);
            link.run_until(Duration::from_secs(20), |link| link.events[0].contains(&Event::OutgoingReset(7)));
            assert_eq!(link.events[1], [Event::IncomingReset(7)]);
            link.events = Default::default();
        }
        link.run_for(Duration::from_secs(2));
        let got = link.take(1);
        let on = |stream: u16| -> Vec<u64> {
            got.iter().filter(|got| got.stream == stream).map(|got| number(&got.payload)).collect()
        };
        assert!(on(7).into_iter().eq(0..50));
        assert!(on(8).into_iter().eq(1_000..1_005));
    });
}

#[test]
fn both_directions_can_be_ended_at_once() {
    run_seeds(30, |seed| {
        let mut link = Link::connected(seed, Conditions { loss: 0.1, ..delay(10) });
        for from in 0..2 {
            for stream in 0..20 {
                link.send(from, stream, message(2_000, 1), Delivery::ONCE);
            }
        }
        for end in 0..2 {
            (0..20).for_each(|stream| link.ends[end].reset_stream(stream));
        }
        link.run_for(Duration::from_secs(10));
        for end in 0..2 {
            for stream in 0..20 {
                assert!(link.events[end].contains(&Event::OutgoingReset(stream)), "{:?}", link.events[end]);
                assert!(link.events[end].contains(&Event::IncomingReset(stream)), "{:?}", link.events[end]);
            }
            assert_eq!(link.events[end].len(), 40);
        }
    });
}

#[test]
fn a_stream_that_was_never_used_has_nothing_to_end() {
    let mut link = Link::connected(1, delay(10));
    link.ends[0].reset_stream(3);
    link.run_for(Duration::from_secs(1));
    assert!(link.events.iter().all(Vec::is_empty));
}
