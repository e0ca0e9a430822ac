//! What goes in comes out.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use tramline_sim::{Conditions, run_seeds};
use tramline_transport::{Channel, PeerEvent, SendError, SendOptions};

use crate::link::{End, Link, Setup, message, number};

#[test]
fn messages_of_every_size_arrive_intact() {
    for negotiated in [false, true] {
        let mut link = Link::connected(&Setup { negotiated, ..Setup::default() });
        let sizes = [
            0, 1, 2, 1_023, 1_024, 1_099, 1_100, 1_101, 1_150, 4_097, 16_000, 65_535, 65_536, 262_143,
            262_144,
        ];
        for end in End::BOTH {
            for channel in Channel::ALL {
                for len in sizes {
                    let sent = message(len, 7);
                    link.send(end, channel, &sent);
                    link.run_for(Duration::from_secs(2));
                    let got = link.messages(end.other());
                    assert!(got == [(channel, sent)], "{len} bytes on {channel:?}: {} messages", got.len());
                }
            }
        }
    }
}

#[test]
fn a_message_that_the_peer_would_not_take_is_refused_with_its_size_and_the_limit() {
    let setup = Setup::default();
    let limit = |sdp: String| sdp.replace("max-message-size:262144", "max-message-size:65535");
    let mut link = Link::with(&setup, |offer| offer, limit);
    link.run_until(Duration::from_secs(5), |link| link.client.is_open(Channel::Reliable));
    assert_eq!(link.client.max_message_size(), 65_535);
    let refused = link.client.send(Channel::Reliable, &message(65_536, 0));
    assert_eq!(refused, Err(SendError::TooLarge { size: 65_536, limit: 65_535 }));
    link.send(End::Client, Channel::Reliable, &message(65_535, 0));
}

#[test]
fn sending_before_a_channel_is_open_is_refused() {
    let mut link = Link::new(&Setup::default());
    let refused = link.client.send(Channel::DataTrack, &message(10, 0));
    assert_eq!(refused, Err(SendError::NotOpen(Channel::DataTrack)));
    assert_eq!(link.client.send_capacity(Channel::DataTrack), 0);
}

#[test]
fn reliable_messages_survive_a_bad_network_in_order() {
    run_seeds(15, |seed| {
        let setup = Setup { seed, negotiated: seed % 2 == 0, conditions: bad(), ..Setup::default() };
        let mut link = Link::connected(&setup);
        let mut sent = Vec::new();
        for i in 0..150 {
            let len = [8, 100, 1_100, 5_000, 30_000][i as usize % 5];
            for end in End::BOTH {
                link.send(end, Channel::Reliable, &message(len, i));
            }
            sent.push((Channel::Reliable, message(len, i)));
            link.run_for(Duration::from_millis(5));
        }
        for end in End::BOTH {
            let mut got = Vec::new();
            link.run_until(Duration::from_secs(120), |link| {
                got.extend(link.messages(end));
                got.len() >= sent.len()
            });
            assert!(got == sent, "order or content differs at {end:?}");
        }
    });
}

#[test]
fn lossy_messages_arrive_whole_or_not_at_all_and_never_twice() {
    run_seeds(15, |seed| {
        let setup = Setup { seed, negotiated: seed % 2 == 0, conditions: bad(), ..Setup::default() };
        let mut link = Link::connected(&setup);
        let mut got = Vec::new();
        for i in 0..600_u64 {
            let channel = if i.is_multiple_of(2) { Channel::Lossy } else { Channel::DataTrack };
            link.send(End::Client, channel, &message(8 + (i as usize * 37) % 4_000, i));
            link.run_for(Duration::from_millis(5));
            got.extend(link.messages(End::Server));
        }
        link.run_for(Duration::from_secs(5));
        got.extend(link.messages(End::Server));
        let mut seen = HashSet::new();
        for (channel, received) in &got {
            let i = number(received);
            assert!(seen.insert(i), "message {i} arrived twice");
            assert_eq!(*channel == Channel::Lossy, i.is_multiple_of(2));
            assert!(*received == message(8 + (i as usize * 37) % 4_000, i), "message {i} was damaged");
        }
        // 3 % of the datagrams are lost, and a message is up to four of them.
        assert!(got.len() > 400, "only {} of 600 arrived", got.len());
        assert_eq!(link.client.buffered_amount(Channel::Lossy), 0, "given up messages are let go");
        assert_eq!(link.client.buffered_amount(Channel::DataTrack), 0);
    });
}

#[test]
fn a_loss_does_not_hold_up_later_messages_for_long() {
    run_seeds(10, |seed| {
        let conditions = Conditions { loss: 0.01, delay: Duration::from_millis(10), ..Conditions::default() };
        let mut link = Link::connected(&Setup { seed, conditions, ..Setup::default() });
        let mut worst = Duration::ZERO;
        let mut got = 0;
        let mut sent_at = Vec::new();
        for i in 0..1_000 {
            sent_at.push(link.now());
            link.send(End::Client, Channel::DataTrack, &message(1_024, i));
            link.run_for(Duration::from_millis(5));
            for (_, received) in link.messages(End::Server) {
                worst = worst.max(link.now() - sent_at[number(&received) as usize]);
                got += 1;
            }
        }
        assert!(got > 950, "{got} of 1000 arrived");
        assert!(worst < Duration::from_millis(700), "a message waited {worst:?}");
    });
}

#[test]
fn a_frame_of_a_mebibyte_arrives_whole_when_the_sender_keeps_to_the_capacity() {
    for from in End::BOTH {
        let mut link = Link::connected(&Setup {
            conditions: Conditions { delay: Duration::from_micros(100), ..Conditions::default() },
            ..Setup::default()
        });
        let mut next = 0;
        let mut got = Vec::new();
        link.run_until(Duration::from_secs(2), |link| {
            while next < 66 && link.peer(from).send_capacity(Channel::DataTrack) > 0 {
                link.send(from, Channel::DataTrack, &message(16_000, next));
                next += 1;
                let buffered = link.peer(from).buffered_amount(Channel::DataTrack);
                assert!(buffered <= 256 * 1024 + 16_000, "{buffered} bytes buffered");
            }
            got.extend(link.messages(from.other()));
            got.len() == 66
        });
        assert_eq!(got.iter().map(|(_, m)| number(m)).collect::<HashSet<_>>().len(), 66);
        assert_eq!(link.peer(from).stats().retransmission_timeouts, 0);
    }
}

#[test]
fn datagrams_keep_to_1200_bytes() {
    for (len, count) in [(1_024, 300), (1_100, 100), (16_000, 20), (600, 300), (200, 500)] {
        let mut link = Link::connected(&Setup::default());
        for i in 0..count {
            link.send(End::Client, Channel::DataTrack, &message(len, i));
        }
        link.run_for(Duration::from_secs(5));
        assert_eq!(link.messages(End::Server).len() as u64, count);
        assert!(link.longest <= 1_200, "{} bytes for messages of {len}", link.longest);
    }
}

#[test]
fn a_full_datagram_is_a_whole_run_for_gso() {
    let mut link = Link::connected(&Setup::default());
    // Open the window first.
    for i in 0..200 {
        link.send(End::Client, Channel::DataTrack, &message(1_024, i));
    }
    link.run_for(Duration::from_secs(5));
    for i in 0..10 {
        link.send(End::Client, Channel::DataTrack, &message(1_024, i));
    }
    let mut out = tramline_transport::Transmits::new();
    let now = link.now();
    link.client.poll_transmit(now, &mut out);
    assert_eq!(out.len(), 10, "one datagram for each message");
    let lens: HashSet<usize> = out.items().iter().map(|t| t.range.len()).collect();
    assert_eq!(lens.len(), 1, "all of one length: {lens:?}");
    assert_eq!(out.bytes().len(), 10 * lens.into_iter().next().unwrap());
    assert!(out.items().windows(2).all(|pair| pair[0].range.end == pair[1].range.start));
}

#[test]
fn data_sent_right_after_opening_is_not_overtaken_by_its_open() {
    run_seeds(20, |seed| {
        let conditions =
            Conditions { delay: Duration::from_millis(5), jitter: Duration::from_millis(30), ..bad() };
        let mut link = Link::new(&Setup { seed, negotiated: false, conditions, ..Setup::default() });
        link.run_until(Duration::from_secs(20), |link| link.client.is_open(Channel::DataTrack));
        for i in 0..20 {
            link.send(End::Client, Channel::Reliable, &message(100, i));
        }
        let mut got = Vec::new();
        link.run_until(Duration::from_secs(30), |link| {
            got.extend(link.messages(End::Server));
            got.len() == 20
        });
        assert!(got.iter().enumerate().all(|(i, (_, m))| number(m) == i as u64));
    });
}

#[test]
fn a_reader_that_stops_holds_the_sender_back_and_loses_nothing_reliable() {
    let mut link = Link::connected(&Setup::default());
    link.reads[End::Server as usize] = false;
    let mut next = 0;
    for _ in 0..400 {
        while next < 400 && link.client.send_capacity(Channel::Reliable) > 0 {
            link.send(End::Client, Channel::Reliable, &message(16_000, next));
            next += 1;
        }
        link.run_for(Duration::from_millis(10));
    }
    assert!(next < 200, "{next} messages of 16 kB were taken although nobody reads");
    link.reads[End::Server as usize] = true;
    let mut got = Vec::new();
    link.run_until(Duration::from_secs(60), |link| {
        while next < 400 && link.client.send_capacity(Channel::Reliable) > 0 {
            link.send(End::Client, Channel::Reliable, &message(16_000, next));
            next += 1;
        }
        got.extend(link.messages(End::Server));
        got.len() == 400
    });
    assert!(got.iter().enumerate().all(|(i, (_, m))| number(m) == i as u64));
}

#[test]
fn the_peer_counts_what_it_does() {
    let mut link = Link::connected(&Setup::default());
    for i in 0..10 {
        link.send(End::Client, Channel::Reliable, &message(100, i));
    }
    link.run_for(Duration::from_secs(1));
    let (client, server) = (link.client.stats(), link.server.stats());
    assert_eq!((client.messages_sent, server.messages_received), (10, 10));
    assert_eq!(
        (client.datagrams_sent, client.bytes_sent),
        (server.datagrams_received, server.bytes_received)
    );
    assert_eq!(client.round_trip, Some(Duration::from_millis(10)));
    assert!(link.has_event(End::Server, |event| matches!(event, PeerEvent::RemoteAddress(_))));
}

fn bad() -> Conditions {
    Conditions {
        loss: 0.03,
        duplicate: 0.03,
        delay: Duration::from_millis(8),
        jitter: Duration::from_millis(10),
    }
}

#[test]
fn an_empty_message_is_a_message() {
    let mut link = Link::connected(&Setup::default());
    link.send(End::Server, Channel::DataTrack, &Bytes::new());
    link.run_for(Duration::from_secs(1));
    assert_eq!(link.messages(End::Client), [(Channel::DataTrack, Bytes::new())]);
}

#[test]
fn a_receipt_comes_back_when_the_message_has_arrived() {
    run_seeds(10, |seed| {
        let conditions = Conditions { loss: 0.05, delay: Duration::from_millis(20), ..Conditions::default() };
        let mut link = Link::connected(&Setup { seed, conditions, ..Setup::default() });
        let (count, limit) = (200, Duration::from_secs(30));
        let mut told = Vec::new();
        for i in 0..count {
            let options = SendOptions { receipt: Some(1_000 + i), ..SendOptions::default() };
            let data = message(1 + 40 * i as usize, i);
            link.client.send_with(Channel::Reliable, &data, &options).expect("room");
            link.run_for(Duration::from_millis(5));
            let arrived = link.messages(End::Server).len();
            told.extend(receipts(&mut link));
            assert!(arrived <= 200);
        }
        link.run_until(limit, |link| {
            told.extend(receipts(link));
            told.len() as u64 == count
        });
        told.sort_unstable();
        assert_eq!(told, (1_000..1_000 + count).collect::<Vec<_>>(), "each once");
    });
}

fn receipts(link: &mut Link) -> Vec<u64> {
    let receipt = |event| match event {
        PeerEvent::Acknowledged(receipt) => Some(receipt),
        _ => None,
    };
    link.events(End::Client).into_iter().filter_map(receipt).collect()
}

#[test]
fn a_large_message_with_a_deadline_is_mended_in_time_or_given_up_whole() {
    run_seeds(5, |seed| {
        let conditions = Conditions { loss: 0.02, delay: Duration::from_millis(20), ..Conditions::default() };
        let mut link = Link::connected(&Setup { seed, conditions, ..Setup::default() });
        let (mut sent_at, mut mended) = (Vec::new(), 0);
        let (count, allowed) = (200, Duration::from_millis(150));
        for retransmit in [true, false] {
            sent_at.clear();
            for i in 0..count {
                let deadline = Some(link.now() + allowed);
                let options = SendOptions { deadline, retransmit, ..SendOptions::default() };
                sent_at.push(link.now());
                link.client.send_with(Channel::DataTrack, &message(16_000, i), &options).expect("room");
                link.run_for(Duration::from_millis(20));
            }
            link.run_for(Duration::from_secs(1));
            let got = link.messages(End::Server).len() as u64;
            if retransmit {
                mended = got;
                assert!(got >= count * 98 / 100, "{got} of {count}");
            } else {
                // 14 packets each: a quarter is hit.
                assert!(got <= count * 90 / 100 && got >= count / 2, "{got} of {count}");
            }
        }
        assert!(mended > 0);
        assert_eq!(link.client.stats().bytes_buffered, 0);

        // Nothing is sent of what is too late already, and nothing waits for it.
        link.network.set_conditions(Conditions { loss: 1.0, ..conditions });
        let options = SendOptions {
            deadline: Some(link.now() + Duration::from_millis(100)),
            retransmit: true,
            ..SendOptions::default()
        };
        link.client.send_with(Channel::DataTrack, &message(16_000, 1), &options).expect("room");
        link.run_for(Duration::from_secs(2));
        link.network.set_conditions(conditions);
        link.run_for(Duration::from_secs(2));
        assert_eq!(link.messages(End::Server), [], "its time was over");
        assert_eq!(link.client.stats().bytes_buffered, 0);
        assert_eq!(link.server.stats().malformed_datagrams, 0);
    });
}

#[test]
fn spares_mend_small_messages_in_order() {
    run_seeds(3, |seed| {
        let conditions = Conditions { loss: 0.05, delay: Duration::from_millis(20), ..Conditions::default() };
        let mut link = Link::connected(&Setup { seed, conditions, ..Setup::default() });
        for i in 0..2_000 {
            let options = SendOptions { copies: 3, flow: 5, ..SendOptions::default() };
            link.client.send_with(Channel::DataTrack, &message(54, i), &options).expect("room");
            link.run_for(Duration::from_millis(5));
        }
        link.run_for(Duration::from_secs(1));
        let got: Vec<u64> = link.messages(End::Server).iter().map(|(_, got)| number(got)).collect();
        assert!(got.len() >= 1_998, "{}", got.len());
        assert!(got.is_sorted_by(|a, b| a < b));
        assert!(link.client.stats().copies > 1_000);
    });
}

#[test]
fn a_long_path_is_filled() {
    let conditions = Conditions { loss: 0.001, delay: Duration::from_millis(25), ..Conditions::default() };
    let mut link = Link::connected(&Setup { conditions, ..Setup::default() });
    let payload = Bytes::from(vec![7; 16_000]);
    let mut got = 0;
    for millisecond in 0..3_000 {
        while link.client.send_capacity(Channel::Reliable) > 0
            && link.client.stats().bytes_buffered < 1_000_000
        {
            link.send(End::Client, Channel::Reliable, &payload);
        }
        link.run_for(Duration::from_millis(1));
        let arrived: usize = link.messages(End::Server).iter().map(|(_, message)| message.len()).sum();
        got += if millisecond >= 1_000 { arrived } else { 0 };
    }
    // 80 % of 100 Mbit/s.
    assert!(got >= 2 * 10_000_000, "{got} bytes in 2 s; {:?}", link.client.stats());
}
