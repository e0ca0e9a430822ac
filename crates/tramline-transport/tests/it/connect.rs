//! From descriptions to open channels, and the ways in which that ends.

use std::time::Duration;

use bytes::Bytes;
use tramline_sim::{Conditions, run_seeds};
use tramline_transport::{Channel, CloseReason, IceFailure, PeerEvent, SdpError, SendError};

use crate::link::{End, Link, Offerer, Setup, client_config};

fn closed(link: &Link, end: End, wanted: &CloseReason) -> bool {
    link.has_event(end, |event| matches!(event, PeerEvent::Closed(reason) if reason == wanted))
}

#[test]
fn every_channel_carries_both_ways_in_either_dtls_role_and_either_kind_of_negotiation() {
    for offerer in [Offerer::Client, Offerer::Server, Offerer::FullServer] {
        for (negotiated, server_active) in [(false, false), (false, true), (true, false), (true, true)] {
            for ipv6 in [false, true] {
                let setup = Setup { negotiated, server_active, ipv6, offerer, ..Setup::default() };
                let mut link = Link::connected(&setup);
                for end in End::BOTH {
                    let events = link.events(end);
                    assert_eq!(
                        events.iter().filter(|e| **e == PeerEvent::Connected).count(),
                        1,
                        "{events:?}"
                    );
                    for channel in Channel::ALL {
                        let opened = events.iter().filter(|e| **e == PeerEvent::ChannelOpen(channel)).count();
                        assert_eq!(opened, 1, "{channel:?} {events:?}");
                        link.send(end, channel, &Bytes::from_static(channel.label().as_bytes()));
                    }
                }
                link.run_for(Duration::from_secs(1));
                for end in End::BOTH {
                    let mut got = link.messages(end);
                    got.sort();
                    let sent = Channel::ALL.map(|c| (c, Bytes::from_static(c.label().as_bytes())));
                    let how = (offerer, negotiated, server_active);
                    assert_eq!(got, sent, "{how:?}");
                }
            }
        }
    }
}

#[test]
fn a_connection_is_up_after_a_handful_of_round_trips() {
    for (negotiated, round_trips) in [(true, 7), (false, 8)] {
        let setup = Setup {
            negotiated,
            conditions: Conditions { delay: Duration::from_millis(50), ..Conditions::default() },
            ..Setup::default()
        };
        let link = Link::connected(&setup);
        // Two checks, two round trips of DTLS, two of SCTP, and the opening of channels.
        let took = link.clock.elapsed();
        assert!(took <= Duration::from_millis(100) * round_trips, "took {took:?}, negotiated {negotiated}");
    }
}

#[test]
fn a_connection_comes_up_over_a_bad_network() {
    run_seeds(40, |seed| {
        let setup = Setup {
            seed,
            negotiated: seed % 2 == 0,
            server_active: seed % 4 >= 2,
            conditions: BAD,
            connect_timeout: BAD_CONNECT,
            ..Setup::default()
        };
        Link::connected(&setup);
    });
}

#[test]
fn an_idle_connection_stays_up() {
    let mut link = Link::connected(&Setup::default());
    link.run_for(Duration::from_secs(600));
    assert!(!link.client.is_closed() && !link.server.is_closed());
    link.send(End::Client, Channel::Reliable, &Bytes::from_static(b"still there"));
    link.run_for(Duration::from_secs(1));
    assert_eq!(link.messages(End::Server).len(), 1);
}

#[test]
fn a_silent_peer_is_given_up_on_both_sides() {
    let mut link = Link::connected(&Setup::default());
    link.network.set_conditions(Conditions { loss: 1.0, ..Conditions::default() });
    link.run_for(Duration::from_secs(14));
    assert!(!link.client.is_closed() && !link.server.is_closed(), "a pause shorter than 15 s is survived");
    link.run_for(Duration::from_secs(3));
    let silent = CloseReason::IceFailed(IceFailure::Silent(Duration::from_secs(15)));
    for end in End::BOTH {
        assert!(closed(&link, end, &silent), "{end:?}");
        assert_eq!(link.peer(end).poll_timeout(), None);
    }
}

#[test]
fn a_pause_shorter_than_the_time_limit_is_survived() {
    let good = Conditions { delay: Duration::from_millis(5), ..Conditions::default() };
    let mut link = Link::connected(&Setup { conditions: good, ..Setup::default() });
    link.network.set_conditions(Conditions { loss: 1.0, ..good });
    link.send(End::Client, Channel::Reliable, &Bytes::from_static(b"through the tunnel"));
    link.run_for(Duration::from_secs(12));
    link.network.set_conditions(good);
    link.run_for(Duration::from_secs(5));
    assert_eq!(link.messages(End::Server).len(), 1);
}

#[test]
fn a_client_whose_checks_nobody_answers_says_so() {
    let conditions = Conditions { loss: 1.0, ..Conditions::default() };
    let mut link = Link::new(&Setup { conditions, ..Setup::default() });
    link.run_for(Duration::from_secs(31));
    let failed = CloseReason::IceFailed(IceFailure::NoPath(Duration::from_secs(30)));
    assert!(closed(&link, End::Client, &failed));
    assert!(closed(&link, End::Server, &failed));
}

#[test]
fn closing_one_side_is_a_leave_for_the_other() {
    for end in End::BOTH {
        let mut link = Link::connected(&Setup::default());
        link.send(end, Channel::Reliable, &Bytes::from_static(b"last words"));
        link.run_for(Duration::from_millis(100));
        let now = link.now();
        link.peer(end).close(now);
        link.run_for(Duration::from_millis(100));
        assert!(closed(&link, end, &CloseReason::Local));
        assert!(closed(&link, end.other(), &CloseReason::CloseNotify), "{end:?}");
        assert_eq!(link.messages(end.other()).len(), 1);
        let refused = link.peer(end).send(Channel::Lossy, &Bytes::from_static(b"too late"));
        assert_eq!(refused, Err(SendError::NotOpen(Channel::Lossy)));
    }
}

#[test]
fn messages_that_arrived_before_the_farewell_are_delivered_first() {
    let mut link = Link::connected(&Setup::default());
    link.events(End::Server);
    link.reads[End::Server as usize] = false;
    link.send(End::Client, Channel::Reliable, &Bytes::from_static(b"read me"));
    link.run_for(Duration::from_millis(50));
    let now = link.now();
    link.client.close(now);
    link.run_for(Duration::from_millis(50));
    let message = PeerEvent::Message(Channel::Reliable, Bytes::from_static(b"read me"));
    assert_eq!(link.server.poll_event(), Some(message));
    assert_eq!(link.server.poll_event(), Some(PeerEvent::Closed(CloseReason::CloseNotify)));
    assert_eq!(link.server.poll_event(), None);
}

/// The fingerprint of a certificate that neither side has.
fn tamper(sdp: &str) -> String {
    let at = sdp.find("a=fingerprint:sha-256 ").expect("a fingerprint") + "a=fingerprint:sha-256 ".len();
    let other = if sdp[at..].starts_with("00") { "11" } else { "00" };
    format!("{}{other}{}", &sdp[..at], &sdp[at + 2..])
}

#[test]
fn a_certificate_that_was_not_announced_ends_the_session() {
    for server_active in [false, true] {
        for end in End::BOTH {
            let setup = Setup { server_active, ..Setup::default() };
            let mut link = match end {
                End::Client => Link::with(&setup, |offer| offer, |answer| tamper(&answer)),
                End::Server => Link::with(&setup, |offer| tamper(&offer), |answer| answer),
            };
            link.run_for(Duration::from_secs(5));
            let wrong = |event: &PeerEvent| {
                matches!(event, PeerEvent::Closed(CloseReason::WrongFingerprint { expected, actual })
                    if expected != actual)
            };
            assert!(link.has_event(end, wrong), "{end:?} {:?}", link.events(end));
            assert!(!link.has_event(End::Client, |event| *event == PeerEvent::Connected));
            assert!(!link.has_event(End::Server, |event| *event == PeerEvent::Connected));
        }
    }
}

#[test]
fn descriptions_at_the_wrong_time_are_refused() {
    let now = tramline_sim::VirtualClock::new().now();
    let mut client = tramline_transport::Peer::client(client_config(1), now);
    assert!(matches!(client.handle_answer(now, "v=0"), Err(SdpError::WrongState(_))));
    assert!(matches!(client.handle_offer(now, "v=0"), Err(SdpError::WrongState(_))));
    let mut link = Link::connected(&Setup::default());
    let answer = link.server.answer();
    assert!(matches!(link.server.handle_answer(now, &answer), Err(SdpError::WrongState(_))));
    let changed = tamper(&answer);
    assert!(matches!(link.client.handle_answer(now, &changed), Err(SdpError::Mismatch(_))));
    assert_eq!(link.client.handle_answer(now, &answer), Ok(()), "a repeated answer changes nothing");
    assert_eq!(link.server.offer(), "", "who answers offers nothing");

    let mut link = Link::connected(&Setup { offerer: Offerer::Server, ..Setup::default() });
    let (offer, answer) = (link.server.offer(), link.client.answer());
    assert!(matches!(link.client.handle_answer(now, &answer), Err(SdpError::WrongState(_))));
    assert!(matches!(link.server.handle_offer(now, &offer), Err(SdpError::WrongState(_))));
    assert!(matches!(link.client.handle_offer(now, &tamper(&offer)), Err(SdpError::Mismatch(_))));
    assert!(matches!(link.server.handle_answer(now, &tamper(&answer)), Err(SdpError::Mismatch(_))));
    assert_eq!(link.server.answer(), "", "who offers answers nothing");
    assert!(tramline_transport::Peer::client_answering(client_config(1), now, "v=0").is_err());
}

#[test]
fn a_client_that_answers_connects_over_a_bad_network() {
    run_seeds(40, |seed| {
        let setup = Setup {
            seed,
            negotiated: false,
            server_active: seed % 4 >= 2,
            offerer: if seed % 2 == 0 { Offerer::Server } else { Offerer::FullServer },
            conditions: BAD,
            connect_timeout: BAD_CONNECT,
            ..Setup::default()
        };
        Link::connected(&setup);
    });
}

const BAD: Conditions = Conditions {
    loss: 0.15,
    duplicate: 0.1,
    delay: Duration::from_millis(10),
    jitter: Duration::from_millis(20),
};

/// The DTLS handshake doubles its pause with each lost flight; of a thousand one takes half a minute here.
const BAD_CONNECT: Duration = Duration::from_secs(240);
