//! Descriptions as official clients and servers write them.

use tramline_sim::VirtualClock;

use tramline_transport::{Peer, SdpError};

use crate::link::{client_config, server_config};

/// A single-connection offer in the form of the native client (libwebrtc): three audio and three video sections that only
/// receive, then the data channels. The codec lists are shortened.
pub(crate) const NATIVE_OFFER: &str = concat!(
    "v=0\r\no=- 3547439529460524480 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
    "a=group:BUNDLE 0 1 2 3 4 5 6\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n",
    "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:8hPZ\r\na=ice-pwd:kOmQd2xXgFBGvnMYbYTmVRwa\r\n",
    "a=ice-options:trickle goog-sped-v1\r\n",
    "a=fingerprint:sha-256 6E:0C:C7:23:DF:36:E1:C7:46:AB:D7:B1:CE:DD:97:C3:C1:17:25:D6:26:0A:8A:B4:50:F1:3E:2B:AE:5F:9D:11\r\n",
    "a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=recvonly\r\na=rtcp-mux\r\n",
    "a=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:8hPZ\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=recvonly\r\na=rtcp-mux\r\n",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102\r\nc=IN IP4 0.0.0.0\r\na=mid:3\r\na=recvonly\r\na=rtcp-mux\r\n",
    "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102\r\nc=IN IP4 0.0.0.0\r\na=mid:4\r\na=recvonly\r\na=rtcp-mux\r\n",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102\r\nc=IN IP4 0.0.0.0\r\na=mid:5\r\na=recvonly\r\na=rtcp-mux\r\n",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n",
    "a=ice-ufrag:8hPZ\r\na=ice-pwd:kOmQd2xXgFBGvnMYbYTmVRwa\r\na=ice-options:trickle goog-sped-v1\r\n",
    "a=fingerprint:sha-256 6E:0C:C7:23:DF:36:E1:C7:46:AB:D7:B1:CE:DD:97:C3:C1:17:25:D6:26:0A:8A:B4:50:F1:3E:2B:AE:5F:9D:11\r\n",
    "a=setup:actpass\r\na=mid:6\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n",
    "a=sctp-init:AQAAHkfVzqMAUAAA//8D//////+AAAAEgggABMCCwIA=\r\n",
);

/// The answer of a pion server: the fingerprint stands before the first section, and it takes the active role.
const PION_ANSWER: &str = concat!(
    "v=0\r\no=- 4596489990601351948 1732000000 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
    "a=msid-semantic:WMS *\r\n",
    "a=fingerprint:sha-256 0F:74:31:25:CB:A2:13:EC:28:6F:6D:2C:61:FF:5D:C2:BC:B9:DB:3D:98:14:8D:1A:BB:EA:33:0C:A4:60:A8:8E\r\n",
    "a=extmap-allow-mixed\r\na=ice-lite\r\na=group:BUNDLE 0\r\n",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=setup:active\r\na=mid:0\r\na=sendrecv\r\n",
    "a=sctp-port:5000\r\na=max-message-size:65535\r\na=ice-ufrag:CsxzEWmoKpJyscFj\r\na=ice-pwd:mktpbhgREmjEwUFSIJyPINPUhgDqJlSd\r\n",
    "a=candidate:233762139 1 udp 2130706431 192.168.1.5 7882 typ host ufrag CsxzEWmoKpJyscFj\r\n",
    "a=candidate:1233762139 1 tcp 1671430143 192.168.1.5 7881 typ host tcptype passive\r\n",
);

#[test]
fn an_official_offer_is_answered_with_its_media_idle() {
    let mut server =
        Peer::server(server_config(1), VirtualClock::new().now(), NATIVE_OFFER).expect("a good offer");
    server.add_local_candidate("127.0.0.1:7882".parse().unwrap());
    let answer = server.answer();
    assert!(answer.ends_with("\r\n") && answer.lines().all(|line| line.as_bytes()[1] == b'='));

    let sections: Vec<&str> = answer.split("m=").skip(1).collect();
    assert_eq!(sections.len(), 7);
    // The offer names the codec of two media sections only; the others cannot be answered but with a rejection.
    for (mid, section) in sections[..6].iter().enumerate() {
        let (kind, rtpmap) = if mid < 3 { ("audio", "111 opus/48000/2") } else { ("video", "96 VP8/90000") };
        let (port, idle) = match mid {
            0 | 3 => (9, format!("a=rtpmap:{rtpmap}\r\na=rtcp-mux\r\n")),
            _ => (0, String::new()),
        };
        let format = &rtpmap[..rtpmap.find(' ').unwrap()];
        let expected = format!(
            "{kind} {port} UDP/TLS/RTP/SAVPF {format}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=inactive\r\n{idle}"
        );
        let rest = section.strip_prefix(expected.as_str()).unwrap_or_else(|| panic!("{section}"));
        assert_eq!(rest.is_empty(), mid != 0, "only the first section speaks for the transport: {section}");
    }
    let data = sections[6];
    assert!(data.starts_with("application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"), "{data}");
    let ufrag = format!("a=ice-ufrag:{}", server.local_ufrag());
    for line in ["a=mid:6", "a=setup:active", "a=sctp-port:5000", "a=max-message-size:262144", &ufrag] {
        assert!(data.lines().any(|l| l == line), "{line} in {data}");
    }
    for line in ["a=setup:active", "a=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host", &ufrag] {
        assert!(sections[0].lines().any(|l| l == line), "{line} in {}", sections[0]);
    }
    let session = answer.split("m=").next().unwrap();
    assert!(session.lines().any(|l| l == "a=group:BUNDLE 0 3 6"), "{session}");
    assert!(session.lines().any(|l| l == "a=ice-lite"), "{session}");
    assert!(!answer.contains("sctp-init") && !answer.contains("sped"), "hints are not echoed");

    let trickled = server.local_candidates();
    assert_eq!(trickled.len(), 1);
    assert_eq!((trickled[0].mid.as_str(), trickled[0].mline_index), ("0", 0));
    assert_eq!(trickled[0].candidate, "candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host");
}

#[test]
fn an_answer_can_be_read_again() {
    let server = Peer::server(server_config(1), VirtualClock::new().now(), NATIVE_OFFER).unwrap();
    // Its rejected sections stay rejected, its idle ones idle.
    let again =
        Peer::server(server_config(2), VirtualClock::new().now(), &server.answer()).expect("our own answer");
    assert!(again.answer().contains("a=group:BUNDLE 0 3 6\r\n"));
    // Answered by the other side of an active peer.
    assert!(again.answer().contains("a=setup:passive\r\n"));
}

#[test]
fn a_client_takes_the_answer_of_a_pion_server() {
    let now = VirtualClock::new().now();
    let mut client = Peer::client(client_config(1), now);
    client.add_local_candidate("192.168.1.9:40000".parse().unwrap());
    client.offer();
    client.handle_answer(now, PION_ANSWER).expect("a good answer");
    assert_eq!(client.max_message_size(), 65_535);
    assert_eq!(client.stats().ignored_candidates, 1, "TCP");
    let mut out = tramline_transport::Transmits::new();
    client.poll_transmit(now, &mut out);
    assert_eq!(out.items()[0].dst, "192.168.1.5:7882".parse().unwrap(), "checked at once");
}

#[test]
fn our_offer_has_the_application_section_only() {
    let mut client = Peer::client(client_config(1), VirtualClock::new().now());
    client.add_local_candidate("192.168.1.9:40000".parse().unwrap());
    client.add_local_candidate("[fd00::9]:40000".parse().unwrap());
    let offer = client.offer();
    assert_eq!(offer.matches("m=").count(), 1);
    for line in [
        "a=group:BUNDLE 0",
        "a=mid:0",
        "a=setup:actpass",
        "a=ice-options:trickle",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
        "a=candidate:1 1 udp 2130706431 192.168.1.9 40000 typ host",
        "a=candidate:2 1 udp 2130706175 fd00::9 40000 typ host",
    ] {
        assert!(offer.lines().any(|l| l == line), "{line} in {offer}");
    }
    assert!(!offer.contains("ice-lite"));
    assert_eq!(client.local_candidates()[1].mline_index, 0);
    assert_eq!(client.local_candidates()[1].mid, "0");
}

#[test]
fn a_server_says_that_it_is_lite_and_a_client_that_answers_starts_the_handshake() {
    let now = VirtualClock::new().now();
    let mut server = Peer::server_offering(server_config(1), now);
    server.add_local_candidate("198.51.100.1:7882".parse().unwrap());
    let offer = server.offer();
    for line in [
        "a=ice-lite",
        "a=setup:actpass",
        "a=mid:0",
        "a=candidate:1 1 udp 2130706431 198.51.100.1 7882 typ host",
    ] {
        assert!(offer.lines().any(|l| l == line), "{line} in {offer}");
    }
    let mut client = Peer::client_answering(client_config(1), now, &offer).unwrap();
    client.add_local_candidate("192.168.1.9:40000".parse().unwrap());
    let answer = client.answer();
    for line in ["a=setup:active", "a=mid:0", "a=candidate:1 1 udp 2130706431 192.168.1.9 40000 typ host"] {
        assert!(answer.lines().any(|l| l == line), "{line} in {answer}");
    }
    assert!(!answer.contains("ice-lite"));
    assert_eq!(client.local_candidates()[0].mid, "0");
}

#[test]
fn later_offers_are_answered_with_the_same_credentials_until_theirs_change() {
    let now = VirtualClock::new().now();
    let mut server = Peer::server(server_config(1), now, NATIVE_OFFER).unwrap();
    let first = server.answer();
    server.handle_offer(now, NATIVE_OFFER).unwrap();
    let second = server.answer();
    assert_eq!(first.replace(" 1 IN IP4", " 2 IN IP4"), second, "only the version of the description rises");
    let restarted = NATIVE_OFFER.replace("a=ice-ufrag:8hPZ", "a=ice-ufrag:9hPZ");
    let ufrag = server.local_ufrag().to_owned();
    server.handle_offer(now, &restarted).unwrap();
    assert_ne!(server.local_ufrag(), ufrag);
    let more = restarted.replace(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:7\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63 9",
    );
    server.handle_offer(now, &more).unwrap();
    assert_eq!(server.answer().matches("m=").count(), 8);
}

#[test]
fn unusable_offers_are_refused_with_the_reason() {
    let now = VirtualClock::new().now();
    let refuse = |from: &str, to: &str| {
        assert!(NATIVE_OFFER.contains(from), "{from}");
        Peer::server(server_config(1), now, &NATIVE_OFFER.replace(from, to)).expect_err("a bad offer")
    };
    assert_eq!(refuse("m=application 9", "m=application 0"), SdpError::NoDataChannel);
    assert_eq!(
        refuse("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
        SdpError::FingerprintHash("sha-1".into())
    );
    assert_eq!(refuse("a=setup:actpass\r\n", ""), SdpError::Missing("setup"));
    assert_eq!(refuse("a=ice-pwd:kOmQd2xXgFBGvnMYbYTmVRwa\r\n", ""), SdpError::Missing("ice-pwd"));
    assert!(matches!(
        refuse("a=sctp-port:5000", "a=sctp-port:0"),
        SdpError::BadValue { attribute: "sctp-port", .. }
    ));
    assert!(matches!(
        refuse("a=setup:actpass", "a=setup:holdconn"),
        SdpError::BadValue { attribute: "setup", .. }
    ));
    assert!(matches!(refuse("ice-pwd:kOmQd2xXgFBGvnMYbYTmVRwa", "ice-pwd:short"), SdpError::BadValue { .. }));
    assert!(matches!(refuse("a=mid:6", "a=mid:6 7"), SdpError::Malformed { .. }));
    assert!(matches!(refuse("t=0 0", "nonsense"), SdpError::Malformed { line: 4, .. }));
    assert!(matches!(refuse("v=0\r\n", ""), SdpError::Malformed { line: 1, .. }));
    assert!(matches!(Peer::server(server_config(1), now, ""), Err(SdpError::NoDataChannel)));
    let long = format!("{NATIVE_OFFER}{}", "a=x\r\n".repeat(100_000));
    assert!(matches!(
        Peer::server(server_config(1), now, &long),
        Err(SdpError::TooLong { limit: 262_144, .. })
    ));
    let many = format!("{NATIVE_OFFER}{}", "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(300));
    assert_eq!(Peer::server(server_config(1), now, &many).err(), Some(SdpError::TooManySections(256)));
}
