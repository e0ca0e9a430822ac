//! Any text as session description or candidate: refused or answered, and nothing is held for it.

use std::sync::LazyLock;

use tramline_sim::{Choices, VirtualClock};
use tramline_transport::{Certificate, Peer, PeerConfig};

/// Certificates are dear; one serves all runs.
static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().expect("a certificate"));

/// Lines that descriptions are made of; a run picks some, drops some and puts in its own.
const LINES: [&str; 24] = [
    "v=0\r\n",
    "o=- 1 2 IN IP4 127.0.0.1\r\n",
    "s=-\r\n",
    "t=0 0\r\n",
    "a=group:BUNDLE 0\r\n",
    "a=group:BUNDLE 0 1 2\r\n",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n",
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
    "c=IN IP4 0.0.0.0\r\n",
    "a=mid:0\r\n",
    "a=mid:1\r\n",
    "a=ice-ufrag:abcd\r\n",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx\r\n",
    "a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n",
    "a=fingerprint:sha-1 00:11\r\n",
    "a=setup:actpass\r\n",
    "a=setup:passive\r\n",
    "a=sctp-port:5000\r\n",
    "a=sctp-port:99999\r\n",
    "a=max-message-size:0\r\n",
    "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n",
    "a=candidate:1 1 udp 2130706431 0f0e.local 5000 typ host\r\n",
];

/// The lines of a usable offer, by index in [`LINES`].
const USABLE: [usize; 13] = [0, 1, 2, 3, 4, 6, 10, 11, 13, 14, 15, 17, 19];

/// What a peer may cost, beyond a fixed amount, for each byte of a description.
const ANSWER_PER_BYTE: usize = 8;

/// Runs what `data` stands for: the text itself, and a description of which some lines are wrong.
pub(crate) fn check(data: &[u8]) {
    check_text(&String::from_utf8_lossy(data));
    check_text(&assemble(&mut Choices::new(data)));
}

fn assemble(input: &mut Choices<'_>) -> String {
    let mut text = String::new();
    for line in USABLE {
        match input.below(64) {
            0 => {}
            1 => text.push_str(input.one_of(&LINES)),
            2 => {
                text.push_str(LINES[line].trim_end());
                text.push_str(&String::from_utf8_lossy(input.bytes()));
                text.push_str("\r\n");
            }
            _ => text.push_str(LINES[line]),
        }
    }
    for _ in 0..input.below(4) {
        text.push_str(input.one_of(&LINES));
        text.push_str(input.one_of(&["", "", "", "\n", "x", "a=", "m="]));
    }
    text
}

fn check_text(text: &str) {
    let now = VirtualClock::new().now();
    let config = || PeerConfig::new(CERTIFICATE.clone(), [7; 32]);

    if let Ok(mut server) = Peer::server(config(), now, text) {
        let answer = server.answer();
        let sections = |sdp: &str| sdp.lines().filter(|line| line.starts_with("m=")).count();
        assert_eq!(sections(&answer), sections(text), "each section is answered or rejected");
        assert_eq!(answer.matches("m=application 9 ").count(), 1, "{answer}");
        assert!(
            answer.len() <= 1_000 + ANSWER_PER_BYTE * text.len(),
            "{} bytes for {}",
            answer.len(),
            text.len()
        );
        // The same offer once more is a repetition, a candidate of it is not news.
        assert_eq!(server.handle_offer(now, text), Ok(()));
        assert_eq!(sections(&server.answer()), sections(text));
    }

    let mut client = Peer::client(config(), now);
    client.add_local_candidate("192.0.2.9:4000".parse().expect("an address"));
    assert!(client.handle_answer(now, text).is_err(), "there is no offer yet");
    client.offer();
    for _ in 0..2 {
        if client.handle_answer(now, text).is_err() {
            break;
        }
    }
    for line in text.lines() {
        // Refused or not, the client goes on.
        let _ = client.handle_candidate(line);
    }
    client.handle_timeout(now);
    assert!(client.poll_timeout().is_some(), "no description ends a session");
}
