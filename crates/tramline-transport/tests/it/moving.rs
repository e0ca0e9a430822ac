//! Addresses that change under a session.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tramline_sim::{Conditions, run_seeds};
use tramline_transport::{Channel, Peer, PeerEvent, Transmits};

use crate::link::{End, Link, Offerer, Setup, message, number, server_config};

fn rebind(link: &mut Link) -> SocketAddr {
    link.public_addr.set_port(link.public_addr.port() + 1);
    link.public_addr
}

#[test]
fn a_client_that_its_nat_moves_goes_on_without_signalling() {
    run_seeds(10, |seed| {
        let conditions = Conditions { loss: 0.02, delay: Duration::from_millis(10), ..Conditions::default() };
        let mut link = Link::connected(&Setup { seed, conditions, ..Setup::default() });
        for round in 0..3 {
            link.events(End::Server);
            let moved = rebind(&mut link);
            link.send(End::Server, Channel::Reliable, &message(100, round));
            link.run_until(Duration::from_secs(5), |link| link.messages(End::Client).len() == 1);
            assert!(link.has_event(End::Server, |event| *event == PeerEvent::RemoteAddress(moved)));
            assert_eq!(link.server.path(), Some((link.server_addr, moved)));
        }
        assert_eq!(link.server.stats().address_changes, 3);
    });
}

#[test]
fn a_stream_of_data_survives_the_move() {
    let mut link = Link::connected(&Setup::default());
    let mut got = Vec::new();
    for i in 0..1_000 {
        if i == 300 {
            rebind(&mut link);
        }
        link.send(End::Server, Channel::DataTrack, &message(500, i));
        link.run_for(Duration::from_millis(10));
        got.extend(link.messages(End::Client).iter().map(|(_, m)| number(m)));
    }
    assert!(got.contains(&299) && got.contains(&999));
    assert!(got.len() > 800, "{} of 1000 arrived", got.len());
}

#[test]
fn an_address_without_an_authentic_check_is_not_sent_to() {
    let mut link = Link::connected(&Setup::default());
    link.events(End::Server);
    let before = link.server.path();
    let stranger: SocketAddr = "203.0.113.66:6666".parse().unwrap();
    // A check of another session, with the right user name but another password, and old datagrams of the real client.
    let mut other = Peer::client(crate::link::client_config(99), link.now());
    other.add_local_candidate(stranger);
    other.offer();
    let ufrag = link.server.local_ufrag().to_owned();
    let answer = link.server.answer().replace("a=ice-pwd:", "a=ice-pwd:x");
    other.handle_answer(link.now(), &answer).unwrap();
    let mut out = Transmits::new();
    other.poll_transmit(link.now(), &mut out);
    assert!(out.iter().any(|(_, _, check)| check.windows(ufrag.len()).any(|w| w == ufrag.as_bytes())));
    let now = link.now();
    for (_, _, check) in out.iter() {
        link.server.handle_datagram(now, link.server_addr, stranger, check);
    }
    link.send(End::Client, Channel::Lossy, &Bytes::from_static(b"copied by a stranger"));
    out.clear();
    link.client.poll_transmit(now, &mut out);
    for (_, _, datagram) in out.iter() {
        link.server.handle_datagram(now, link.server_addr, stranger, datagram);
        link.server.handle_datagram(now, link.server_addr, link.public_addr, datagram);
    }
    link.run_for(Duration::from_secs(1));
    assert_eq!(link.server.path(), before);
    assert!(!link.has_event(End::Server, |event| matches!(event, PeerEvent::RemoteAddress(_))));
    assert_eq!(link.messages(End::Server).len(), 1, "a copy counts once");
    assert!(link.server.stats().rejected_stun > 0);
}

#[test]
fn a_server_answers_from_the_address_that_was_asked() {
    let link = Link::new(&Setup::default());
    let now = link.now();
    let [a, b]: [SocketAddr; 2] = ["127.0.0.1:7882", "[::1]:7882"].map(|addr| addr.parse().unwrap());
    for asked in [a, b] {
        let from: SocketAddr = SocketAddr::new(asked.ip(), 5555);
        let mut client = Peer::client(crate::link::client_config(5), now);
        client.add_local_candidate(from);
        let mut server = Peer::server(server_config(5), now, &client.offer()).unwrap();
        server.add_local_candidate(a);
        server.add_local_candidate(b);
        client.handle_answer(now, &server.answer()).unwrap();
        client.handle_timeout(now);
        let mut out = Transmits::new();
        client.poll_transmit(now, &mut out);
        assert!(!out.is_empty(), "a client on {from} checks {asked}");
        let check = out.iter().find(|(_, dst, _)| *dst == asked).expect("a check of this address").2.to_vec();
        server.handle_datagram(now, asked, from, &check);
        out.clear();
        server.poll_transmit(now, &mut out);
        let sent: Vec<_> = out.iter().map(|(src, dst, _)| (src, dst)).collect();
        // The response, and the ClientHello behind it.
        assert_eq!(sent, [(Some(asked), from); 2]);
    }
}

#[test]
fn an_ice_restart_keeps_the_session() {
    let mut link = Link::connected(&Setup::default());
    let old = link.server.local_ufrag().to_owned();
    let offer = link.client.restart_ice();
    link.send(End::Server, Channel::Reliable, &message(100, 0));
    let now = link.now();
    link.server.handle_offer(now, &offer).unwrap();
    assert_ne!(link.server.local_ufrag(), old);
    link.run_for(Duration::from_millis(300));
    assert_eq!(link.messages(End::Client).len(), 1, "data goes on over the old path");
    let moved = rebind(&mut link);
    let now = link.now();
    let answer = link.server.answer();
    link.client.handle_answer(now, &answer).unwrap();
    link.send(End::Server, Channel::Reliable, &message(100, 1));
    link.run_until(Duration::from_secs(5), |link| link.messages(End::Client).len() == 1);
    assert_eq!(link.server.path(), Some((link.server_addr, moved)));
    link.run_for(Duration::from_secs(60));
    assert!(!link.client.is_closed() && !link.server.is_closed());
}

#[test]
fn an_ice_restart_of_the_server_keeps_the_session() {
    let mut link = Link::connected(&Setup { offerer: Offerer::Server, ..Setup::default() });
    let old = [link.client.local_ufrag().to_owned(), link.server.local_ufrag().to_owned()];
    let offer = link.server.restart_ice();
    let now = link.now();
    link.client.handle_offer(now, &offer).unwrap();
    assert_ne!([link.client.local_ufrag(), link.server.local_ufrag()], old);
    link.send(End::Server, Channel::Reliable, &message(100, 0));
    link.run_for(Duration::from_millis(300));
    assert_eq!(link.messages(End::Client).len(), 1, "data goes on over the old path");
    let moved = rebind(&mut link);
    let now = link.now();
    let answer = link.client.answer();
    link.server.handle_answer(now, &answer).unwrap();
    link.send(End::Server, Channel::Reliable, &message(100, 1));
    link.run_until(Duration::from_secs(5), |link| link.messages(End::Client).len() == 1);
    assert_eq!(link.server.path(), Some((link.server_addr, moved)));
    link.run_for(Duration::from_secs(60));
    assert!(!link.client.is_closed() && !link.server.is_closed());
}

#[test]
fn a_later_offer_that_changes_nothing_disturbs_nothing() {
    let mut link = Link::connected(&Setup { offerer: Offerer::Server, ..Setup::default() });
    let ufrag = link.client.local_ufrag().to_owned();
    let (now, offer) = (link.now(), link.server.offer());
    link.client.handle_offer(now, &offer).unwrap();
    assert_eq!(link.client.local_ufrag(), ufrag);
    let answer = link.client.answer();
    link.server.handle_answer(now, &answer).unwrap();
    link.send(End::Server, Channel::Reliable, &message(100, 0));
    link.run_for(Duration::from_secs(60));
    assert_eq!(link.messages(End::Client).len(), 1);
}
