//! Setting up and ending, with every packet lost, repeated or late.

use std::time::Duration;

use bytes::Bytes;
use tramline_sctp::{Association, Closed, Delivery, Event};
use tramline_sim::{Conditions, run_seeds};

use crate::link::{Link, config, delay, message};

/// Both ends talk to each other.
fn assert_alive(link: &mut Link) {
    for from in 0..2 {
        link.send(from, 3, message(3_000, 9), Delivery::RELIABLE);
    }
    link.run_until(Duration::from_secs(30), |link| link.received.iter().all(|received| received.len() == 1));
    for end in 0..2 {
        assert_eq!(link.payloads(end), [message(3_000, 9)]);
    }
}

#[test]
fn four_packets_set_an_association_up() {
    let mut link = Link::new(1, delay(10));
    link.ends[0].connect();
    link.run_for(Duration::from_secs(2));
    assert_eq!(link.events, [vec![Event::Connected], vec![Event::Connected]]);
    assert_eq!(link.packets, [2, 2], "INIT and COOKIE ECHO, INIT ACK and COOKIE ACK");
    assert_alive(&mut link);
}

#[test]
fn any_handshake_packets_may_be_lost_or_repeated() {
    // The first six packets of each side: bit by bit, lost or sent once more.
    for both in [false, true] {
        for lost in 0..64_u64 {
            for twice in [false, true] {
                let mut link = Link::new(lost, delay(10));
                let conditions = Conditions { duplicate: if twice { 1.0 } else { 0.0 }, ..delay(10) };
                link.network.set_conditions(conditions);
                link.filter = Some(Box::new(move |end, number, _| {
                    let bit = number * 2 + end as u64;
                    bit >= 6 || lost & (1 << bit) == 0
                }));
                link.ends[0].connect();
                if both {
                    link.ends[1].connect();
                }
                link.run_until(Duration::from_secs(20), |link| {
                    link.ends.iter().all(Association::is_connected)
                });
                assert_alive(&mut link);
                for end in 0..2 {
                    assert_eq!(
                        link.events[end],
                        [Event::Connected],
                        "lost {lost:b} twice {twice} both {both}"
                    );
                }
            }
        }
    }
}

#[test]
fn both_sides_may_begin_at_once_on_any_network() {
    run_seeds(300, |seed| {
        let conditions = Conditions {
            loss: 0.3,
            duplicate: 0.3,
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(800),
        };
        let mut link = Link::new(seed, conditions);
        link.ends[0].connect();
        if seed % 3 != 0 {
            link.run_for(Duration::from_millis(seed % 7 * 100));
            link.ends[1].connect();
        }
        link.run_until(Duration::from_secs(200), |link| link.ends.iter().all(Association::is_connected));
        link.network.set_conditions(delay(5));
        link.run_for(Duration::from_secs(2));
        assert_alive(&mut link);
        for end in 0..2 {
            assert_eq!(link.events[end], [Event::Connected]);
        }
    });
}

#[test]
fn a_peer_that_begins_anew_is_taken_back() {
    for restarted in 0..2 {
        let mut link = Link::connected(1, delay(10));
        link.send(1 - restarted, 1, message(50_000, 1), Delivery::RELIABLE);
        link.run_for(Duration::from_millis(15));
        link.received = Default::default();
        link.ends[restarted] = Association::new(config(99, restarted));
        link.ends[restarted].connect();
        link.run_until(Duration::from_secs(5), |link| link.ends.iter().all(Association::is_connected));
        link.run_for(Duration::from_secs(3));
        assert_eq!(link.events[restarted], [Event::Connected]);
        assert_eq!(link.events[1 - restarted], [Event::Restarted, Event::Connected]);
        link.received = Default::default();
        assert_alive(&mut link);
    }
}

#[test]
fn a_late_or_strange_init_changes_nothing() {
    let mut link = Link::new(1, delay(10));
    link.ends[0].connect();
    let mut buf = [0; 1_500];
    let now = link.now();
    let len = link.ends[0].poll_transmit(now, &mut buf).expect("an INIT");
    let init = Bytes::copy_from_slice(&buf[..len]);
    link.ends[1].handle_packet(now, &init);
    link.run_until(Duration::from_secs(5), |link| link.ends.iter().all(Association::is_connected));
    let mut other = Association::new(config(77, 0));
    other.connect();
    let len = other.poll_transmit(now, &mut buf).expect("an INIT");
    for _ in 0..1_000 {
        link.ends[1].handle_packet(link.clock.now(), &init);
        link.ends[1].handle_packet(link.clock.now(), &Bytes::copy_from_slice(&buf[..len]));
    }
    let before = link.packets[1];
    link.flush();
    assert_eq!(link.packets[1], before + 1, "a flood is answered once");
    assert_alive(&mut link);
    assert_eq!(link.events, [vec![Event::Connected], vec![Event::Connected]]);
}

#[test]
fn an_init_whose_checksum_is_zero_is_refused() {
    let mut link = Link::with(1, delay(1), |config| config.zero_checksum = true);
    link.ends[0].connect();
    let mut buf = [0; 1_500];
    let now = link.now();
    let len = link.ends[0].poll_transmit(now, &mut buf).expect("an INIT");
    buf[8..12].fill(0);
    link.ends[1].handle_packet(now, &Bytes::copy_from_slice(&buf[..len]));
    assert_eq!(link.ends[1].poll_transmit(now, &mut buf), None);
    assert_eq!(link.ends[1].stats().packets_rejected, 1);
}

#[test]
fn checksums_are_left_out_only_when_both_sides_said_so() {
    for (ours, theirs) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut sides = [ours, theirs].into_iter();
        let mut link =
            Link::with(1, delay(1), |config| config.zero_checksum = sides.next().expect("two sides"))
                .connect();
        let zeros = std::rc::Rc::new(std::cell::Cell::new(0_u32));
        let count = zeros.clone();
        link.filter = Some(Box::new(move |_, _, packet| {
            count.set(count.get() + u32::from(packet[8..12] == [0; 4]));
            true
        }));
        assert_alive(&mut link);
        assert_eq!(zeros.get() > 0, ours && theirs);
        assert_eq!(link.ends[0].stats().packets_rejected + link.ends[1].stats().packets_rejected, 0);
    }
}

#[test]
fn a_damaged_packet_is_refused() {
    let mut link = Link::connected(1, delay(10));
    let now = link.now();
    link.send(0, 1, message(100, 1), Delivery::RELIABLE);
    let mut buf = [0; 1_500];
    let len = link.ends[0].poll_transmit(now, &mut buf).expect("a packet");
    for at in 0..len {
        let mut bad = buf[..len].to_vec();
        bad[at] ^= 0x10;
        link.ends[1].handle_packet(now, &bad.into());
    }
    assert_eq!(link.ends[1].stats().packets_rejected, len as u64);
    assert!(link.ends[1].recv(1).is_none());
}

#[test]
fn a_shutdown_waits_for_what_was_queued() {
    run_seeds(40, |seed| {
        let conditions = Conditions { loss: 0.1, ..delay(20) };
        let mut link = Link::connected(seed, conditions);
        for i in 0..20 {
            link.send(0, 1, message(5_000, i), Delivery::RELIABLE);
            link.send(1, 1, message(5_000, i), Delivery::RELIABLE);
        }
        link.ends[0].shutdown();
        if seed % 2 == 0 {
            link.ends[1].shutdown();
        }
        link.run_until(Duration::from_secs(60), |link| link.events[0].len() == 1);
        assert_eq!(link.events[0], [Event::Closed(Closed::Shutdown)]);
        for end in 0..2 {
            assert_eq!(link.received[end].len(), 20);
        }
    });
}

#[test]
fn an_abort_ends_both_sides_at_once() {
    let mut link = Link::connected(1, delay(10));
    link.ends[1].abort();
    link.run_for(Duration::from_secs(1));
    assert_eq!(link.events[1], [Event::Closed(Closed::Local)]);
    assert_eq!(link.events[0], [Event::Closed(Closed::Remote("user initiated abort"))]);
    assert_eq!(link.poll_timeout(), None, "nothing goes on");
}

#[test]
fn attempts_without_an_answer_end_when_they_are_limited() {
    let mut link = Link::with(1, Conditions { loss: 1.0, ..delay(1) }, |config| {
        config.max_init_retransmits = Some(4);
    });
    link.ends[0].connect();
    link.run_for(Duration::from_secs(60));
    assert_eq!(link.events[0], [Event::Closed(Closed::TimedOut(5))]);
    assert_eq!(link.packets[0], 5);

    let mut link = Link::with(1, delay(1), |config| config.max_retransmits = Some(5)).connect();
    link.network.set_conditions(Conditions { loss: 1.0, ..delay(1) });
    link.send(0, 1, message(10, 1), Delivery::RELIABLE);
    link.run_for(Duration::from_secs(60));
    assert_eq!(link.events[0], [Event::Closed(Closed::TimedOut(6))]);
}

#[test]
fn an_idle_association_is_kept_warm_with_heartbeats() {
    let mut link = Link::connected(1, delay(10));
    let before = link.packets;
    link.run_for(Duration::from_secs(305));
    let sent = link.packets[0] - before[0];
    assert!((10..=20).contains(&sent), "{sent} heartbeats and answers in ten intervals");
    assert!(link.events.iter().all(Vec::is_empty));
}
