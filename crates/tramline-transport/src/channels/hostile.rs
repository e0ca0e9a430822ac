//! A peer that is who it says it is, and says what it should not: the bytes that come out of DTLS are any bytes.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::Pair;
use super::*;

/// What such a peer does.
#[derive(Debug, Clone)]
enum Act {
    /// A channel establishment message, or what passes for one.
    Establish {
        stream: u16,
        message: Vec<u8>,
    },
    /// A message where there may be no channel.
    Message {
        stream: u16,
        len: usize,
    },
    Reset {
        stream: u16,
    },
    /// A packet of nothing that SCTP knows.
    Noise(Vec<u8>),
    /// The packets that SCTP would send now, with a byte changed, and again as they were or not at all.
    Tampered {
        at: usize,
        with: u8,
        is_lost: bool,
    },
    Wait,
}

fn act() -> impl Strategy<Value = Act> {
    let stream = || prop_oneof![0..6_u16, Just(100), Just(u16::MAX)];
    let label = prop_oneof![
        Just(b"_reliable".to_vec()),
        Just(b"_lossy".to_vec()),
        Just(b"_data_track".to_vec()),
        vec(any::<u8>(), 0..40),
    ];
    let open = (any::<bool>(), any::<u32>(), label, any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(ordered, parameter, label, at, with)| {
            let reliability = match parameter % 3 {
                0 => Reliability::Reliable,
                1 => Reliability::Retransmits(parameter),
                _ => Reliability::LifetimeMillis(parameter),
            };
            let mut message = Open { ordered, reliability, label: &label }.encode();
            // Every other one is as it should be.
            if with % 2 == 0 {
                let at = at.index(message.len());
                message[at] ^= with;
            }
            message
        },
    );
    let establishment = prop_oneof![open, Just(dcep::ACK.to_vec()), vec(any::<u8>(), 1..30)];
    prop_oneof![
        4 => (stream(), establishment).prop_map(|(stream, message)| Act::Establish { stream, message }),
        3 => (stream(), 0..40_000_usize).prop_map(|(stream, len)| Act::Message { stream, len }),
        1 => stream().prop_map(|stream| Act::Reset { stream }),
        2 => vec(any::<u8>(), 0..200).prop_map(Act::Noise),
        3 => (any::<usize>(), 1_u8.., any::<bool>())
            .prop_map(|(at, with, is_lost)| Act::Tampered { at, with, is_lost }),
        2 => Just(Act::Wait),
    ]
}

fn perform(pair: &mut Pair, act: &Act) {
    let now = pair.clock.now();
    match act {
        Act::Establish { stream, message } => {
            pair.a.sctp.send_dcep(*stream, message);
        }
        Act::Message { stream, len } => {
            pair.a.sctp.send(*stream, &Bytes::from(vec![7; *len]), &SendOptions::default());
        }
        Act::Reset { stream } => pair.a.sctp.reset_stream(*stream),
        Act::Noise(bytes) => pair.b.inbox.push(Bytes::copy_from_slice(bytes)),
        Act::Tampered { at, with, is_lost } => {
            for packet in pair.a.turn(now) {
                let mut changed = packet.to_vec();
                // Past the common header: what does not carry the right tag is not looked at.
                let at = 12 + at % (changed.len().max(13) - 12);
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= with;
                }
                pair.b.inbox.push(changed.into());
                if !is_lost {
                    pair.b.inbox.push(packet);
                }
            }
        }
        Act::Wait => {
            let now = pair.clock.advance(Duration::from_millis(20));
            let packets = pair.a.turn(now);
            pair.b.inbox.extend(packets);
        }
    }
    let packets = pair.b.turn(pair.clock.now());
    pair.a.inbox.extend(packets);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_that_an_authenticated_peer_says_costs_more_than_a_fixed_amount(acts in vec(act(), 1..60)) {
        let mut pair = Pair::connected();
        for act in &acts {
            perform(&mut pair, act);
            let channels = &pair.b.channels;
            prop_assert!(channels.incoming.len() <= MAX_STREAMS + Channel::ALL.len());
            prop_assert!(channels.readable.len() <= channels.incoming.len());
            prop_assert!(channels.early.len() <= MAX_EARLY_MESSAGES);
            prop_assert!(channels.early_bytes <= MAX_EARLY_BYTES);
            prop_assert_eq!(
                channels.early_bytes,
                channels.early.iter().map(|(_, message)| message.len()).sum::<usize>()
            );
        }
        pair.run();
        let _ = pair.b.messages();
        // Who tampers with its own packets can hardly say anything more that makes sense.
        let is_tampered = acts.iter().any(|act| matches!(act, Act::Tampered { .. }));
        if !is_tampered && pair.b.lost.is_none() && pair.a.lost.is_none() {
            pair.open(40, b"_reliable");
            pair.run();
            prop_assert!(pair.b.channels.is_open(Channel::Reliable));
        }
    }
}

/// A peer that opens channels and never takes the answers.
#[test]
fn a_flood_of_opens_is_not_answered_without_end() {
    let mut pair = Pair::connected();
    let mut opens = 0;
    while opens < 20_000 {
        for _ in 0..50 {
            pair.open((opens % 3) as u16, b"_reliable");
            opens += 1;
        }
        while (0..3).any(|stream| pair.a.sctp.buffered(stream) > 0) {
            let now = pair.clock.advance(Duration::from_millis(1));
            let packets = pair.a.turn(now);
            pair.b.inbox.extend(packets);
            let packets = pair.b.turn(now);
            assert!(pair.b.messages().is_empty());
            pair.a.inbox.extend(packets.iter().map(without_data));
        }
    }
    let waiting: usize = (0..3).map(|stream| pair.b.sctp.buffered(stream)).sum();
    assert!(pair.b.lost.is_none(), "{:?}", pair.b.lost);
    assert!(waiting <= 3 * MAX_BUFFERED_TO_ANSWER, "{waiting} answers wait for a peer that takes none");
}

/// An SCTP packet without its DATA chunks (RFC 9260 section 3.2).
fn without_data(packet: &Bytes) -> Bytes {
    let (header, mut chunks) = packet.split_at(12);
    let mut left = header.to_vec();
    while let [kind, _, high, low, ..] = *chunks {
        let len = usize::from(u16::from_be_bytes([high, low])).next_multiple_of(4).min(chunks.len());
        if kind != 0 {
            left.extend_from_slice(&chunks[..len]);
        }
        chunks = &chunks[len..];
    }
    left.into()
}
