//! What strangers and broken peers may send without doing harm.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tramline_transport::{Channel, Peer, PeerEvent, Transmits};

use crate::link::{End, Link, Setup, client_config, message, server_config};

/// Both ends still talk to each other.
fn assert_alive(link: &mut Link) {
    link.run_for(Duration::from_secs(1));
    for end in End::BOTH {
        link.messages(end.other());
        link.send(end, Channel::Reliable, &Bytes::from_static(b"alive"));
        link.run_for(Duration::from_secs(3));
        assert!(!link.peer(end).is_closed(), "{:?}", link.events(end));
        assert_eq!(link.messages(end.other()), [(Channel::Reliable, Bytes::from_static(b"alive"))]);
    }
}

/// Hands `datagram` to one end as if it came from its peer.
fn inject(link: &mut Link, end: End, datagram: &[u8]) {
    let now = link.now();
    match end {
        End::Client => link.client.handle_datagram(now, link.client_addr, link.server_addr, datagram),
        End::Server => link.server.handle_datagram(now, link.server_addr, link.public_addr, datagram),
    }
}

/// The first DTLS datagram of a client: a ClientHello that any server would take.
fn client_hello() -> Vec<u8> {
    let mut link = Link::new(&Setup { seed: 77, ..Setup::default() });
    let mut out = Transmits::new();
    let mut hello = None;
    for _ in 0..50 {
        let now = link.clock.advance(Duration::from_millis(5));
        link.client.handle_timeout(now);
        out.clear();
        link.client.poll_transmit(now, &mut out);
        let sent: Vec<Vec<u8>> = out.iter().map(|(_, _, datagram)| datagram.to_vec()).collect();
        for datagram in sent {
            if datagram[0] == 22 {
                hello.get_or_insert(datagram);
            } else {
                link.server.handle_datagram(now, link.server_addr, link.client_addr, &datagram);
            }
        }
        out.clear();
        link.server.poll_transmit(now, &mut out);
        for (_, _, datagram) in out.iter() {
            link.client.handle_datagram(now, link.client_addr, link.server_addr, datagram);
        }
    }
    let hello = hello.expect("a ClientHello");
    assert_eq!((hello[0], hello[13]), (22, 1), "handshake record with a ClientHello");
    hello
}

#[test]
fn a_stray_client_hello_does_not_end_a_session() {
    let hello = client_hello();
    for server_active in [false, true] {
        let mut link = Link::connected(&Setup { server_active, ..Setup::default() });
        for end in End::BOTH {
            for _ in 0..40 {
                inject(&mut link, end, &hello);
            }
            assert_alive(&mut link);
            assert!(link.peer(end).stats().rejected_dtls >= 40, "{end:?}");
        }
    }
}

#[test]
fn a_stray_client_hello_before_any_data_does_not_end_a_session() {
    let hello = client_hello();
    // Established on the server, but the client's first data has not arrived yet.
    let mut link = Link::new(&Setup::default());
    while link.server.stats().datagrams_received < 4 {
        link.run_for(Duration::from_millis(1));
        inject(&mut link, End::Client, &hello);
    }
    for _ in 0..40 {
        inject(&mut link, End::Server, &hello);
        link.run_for(Duration::from_millis(1));
    }
    link.run_until(Duration::from_secs(5), |link| link.server.is_open(Channel::Reliable));
    assert_alive(&mut link);
}

#[test]
fn forged_alerts_and_unencrypted_records_do_not_end_a_session() {
    let mut link = Link::connected(&Setup::default());
    for end in End::BOTH {
        for content_type in 20..=23 {
            for body in [[2, 40], [1, 0], [2, 0], [1, 1]] {
                let mut record = vec![content_type, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2];
                record.extend_from_slice(&body);
                inject(&mut link, end, &record);
                // The same, claiming to be encrypted.
                record[4] = 1;
                inject(&mut link, end, &record);
            }
        }
        assert_alive(&mut link);
    }
}

#[test]
fn a_handshake_from_an_address_without_a_check_is_not_answered() {
    let hello = client_hello();
    let mut link = Link::new(&Setup::default());
    let now = link.now();
    let stranger: SocketAddr = "203.0.113.66:6666".parse().unwrap();
    link.server.handle_datagram(now, link.server_addr, stranger, &hello);
    let mut out = Transmits::new();
    link.server.poll_transmit(now, &mut out);
    assert!(out.is_empty());
    assert_eq!(link.server.stats().rejected_dtls, 1);
    link.run_until(Duration::from_secs(5), |link| link.server.is_open(Channel::Reliable));
}

#[test]
fn replayed_datagrams_are_ignored() {
    let mut link = Link::connected(&Setup::default());
    let now = link.now();
    link.send(End::Client, Channel::Reliable, &message(50, 3));
    let mut out = Transmits::new();
    link.client.poll_transmit(now, &mut out);
    for _ in 0..5 {
        for (_, _, datagram) in out.iter() {
            link.server.handle_datagram(now, link.server_addr, link.public_addr, datagram);
        }
    }
    link.run_for(Duration::from_secs(1));
    assert_eq!(link.messages(End::Server).len(), 1);
    assert_alive(&mut link);
}

#[test]
fn garbage_is_counted_by_kind() {
    let mut link = Link::connected(&Setup::default());
    let before = link.server.stats();
    inject(&mut link, End::Server, b"");
    inject(&mut link, End::Server, &[0x80; 100]);
    inject(&mut link, End::Server, &[0; 100]);
    inject(&mut link, End::Server, &[22; 100]);
    let after = link.server.stats();
    assert_eq!(after.malformed_datagrams - before.malformed_datagrams, 2);
    assert_eq!(after.rejected_stun - before.rejected_stun, 1);
    assert_eq!(after.rejected_dtls - before.rejected_dtls, 1);
    assert_eq!(after.datagrams_received - before.datagrams_received, 4);
}

#[test]
fn flooding_with_stray_checks_makes_no_responses() {
    let mut link = Link::connected(&Setup::default());
    let now = link.now();
    let mut other = Link::new(&Setup { seed: 5, ..Setup::default() });
    let mut out = Transmits::new();
    other.client.handle_timeout(now);
    other.client.poll_transmit(now, &mut out);
    for (_, _, check) in out.iter() {
        for _ in 0..100 {
            link.server.handle_datagram(now, link.server_addr, link.public_addr, check);
        }
    }
    out.clear();
    link.server.poll_transmit(now, &mut out);
    assert!(out.is_empty());
}

/// Datagrams that look like something.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        body.clone(),
        // STUN with a good header.
        (any::<u16>(), body.clone()).prop_map(|(kind, body)| {
            let body = &body[..body.len() / 4 * 4];
            let mut datagram = (kind & 0x3fff).to_be_bytes().to_vec();
            datagram.extend_from_slice(&(body.len() as u16).to_be_bytes());
            datagram.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            datagram.extend_from_slice(&[7; 12]);
            datagram.extend_from_slice(body);
            datagram
        }),
        // A DTLS record with a good header.
        (20..24_u8, 0..3_u8, any::<u8>(), body).prop_map(|(content_type, epoch, sequence, body)| {
            let mut datagram = vec![content_type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, sequence];
            datagram.extend_from_slice(&(body.len() as u16).to_be_bytes());
            datagram.extend_from_slice(&body);
            datagram
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn garbage_datagrams_do_not_end_a_session(
        datagrams in proptest::collection::vec(datagram(), 1..60),
        server_active: bool,
    ) {
        let mut link = Link::connected(&Setup { server_active, ..Setup::default() });
        for datagram in &datagrams {
            inject(&mut link, End::Client, datagram);
            inject(&mut link, End::Server, datagram);
        }
        assert_alive(&mut link);
    }

    #[test]
    fn damaged_copies_of_real_datagrams_do_not_end_a_session(
        at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<prop::sample::Index>(),
    ) {
        let mut link = Link::connected(&Setup::default());
        let now = link.now();
        link.send(End::Client, Channel::Reliable, &message(300, 3));
        let mut out = Transmits::new();
        link.client.poll_transmit(now, &mut out);
        for (_, _, datagram) in out.iter() {
            let mut damaged = datagram.to_vec();
            let index = at.index(damaged.len());
            damaged[index] ^= flip;
            damaged.truncate(cut.index(damaged.len()) + 1);
            link.server.handle_datagram(now, link.server_addr, link.public_addr, &damaged);
            link.client.handle_datagram(now, link.client_addr, link.server_addr, &damaged);
        }
        for (_, _, datagram) in out.iter() {
            link.server.handle_datagram(now, link.server_addr, link.public_addr, datagram);
        }
        assert_alive(&mut link);
    }

    #[test]
    fn garbage_before_the_handshake_does_not_panic(
        datagrams in proptest::collection::vec(datagram(), 1..40), steps in 0..40_u64,
    ) {
        let mut link = Link::new(&Setup::default());
        link.run_for(Duration::from_millis(steps));
        for datagram in &datagrams {
            inject(&mut link, End::Client, datagram);
            inject(&mut link, End::Server, datagram);
        }
        link.run_for(Duration::from_secs(40));
        // A forged fatal alert may end a handshake, but then it is said why.
        for end in End::BOTH {
            let open = link.peer(end).is_open(Channel::Reliable);
            prop_assert!(open || link.has_event(end, |event| matches!(event, PeerEvent::Closed(_))));
        }
    }

    #[test]
    fn garbage_descriptions_are_refused_without_a_panic(sdp in "\\PC*", lines in proptest::collection::vec(
        "(v=0|m=application 9 UDP/DTLS/SCTP webrtc-datachannel|a=[a-z-]{0,20}:\\PC{0,40}|\\PC{0,40})", 0..20,
    )) {
        let now = tramline_sim::VirtualClock::new().now();
        let _ = Peer::server(server_config(1), now, &sdp);
        let _ = Peer::server(server_config(1), now, &lines.join("\r\n"));
        let mut client = Peer::client(client_config(1), now);
        client.offer();
        let _ = client.handle_answer(now, &sdp);
        let _ = client.handle_answer(now, &lines.join("\n"));
        let _ = client.handle_candidate(&sdp);
        for line in &lines {
            let _ = client.handle_candidate(line);
        }
    }

    #[test]
    fn damaged_descriptions_are_refused_without_a_panic(
        at in any::<prop::sample::Index>(), insert in "\\PC{0,3}", remove in 0..30_usize,
    ) {
        let offer = crate::official::NATIVE_OFFER;
        let mut start = at.index(offer.len());
        while !offer.is_char_boundary(start) {
            start -= 1;
        }
        let end = (start + remove).min(offer.len());
        let damaged = format!("{}{insert}{}", &offer[..start], &offer[end..]);
        let now = tramline_sim::VirtualClock::new().now();
        if let Ok(peer) = Peer::server(server_config(1), now, &damaged) {
            // What is taken is answered in a way that can be read again.
            prop_assert!(Peer::server(server_config(2), now, &peer.answer()).is_ok(), "{}", peer.answer());
        }
    }
}
