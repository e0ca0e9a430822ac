#![allow(deprecated, reason = "old fields are filled in for old clients")]

use livekit_protocol as proto;
use proptest::prelude::*;
use prost::Message as _;
use proto::data_packet::Value as Body_;

use super::*;

const STAMP: Stamp<'_> =
    Stamp { identity: "real", sid: "PA_real", kind: DataPacketKind::Lossy, keep_sequence: true };

fn forged(value: Body_) -> proto::DataPacket {
    proto::DataPacket {
        kind: 0,
        participant_identity: "forged".into(),
        destination_identities: vec!["x".into(), "y".into()],
        sequence: 77,
        participant_sid: "PA_forged".into(),
        value: Some(value),
    }
}

fn user() -> proto::UserPacket {
    proto::UserPacket {
        participant_sid: "PA_forged".into(),
        participant_identity: "forged".into(),
        payload: vec![0, 255, 3],
        topic: Some("topic".into()),
        nonce: vec![9; 16],
        ..Default::default()
    }
}

#[test]
fn the_server_has_the_last_word_about_the_sender_and_about_nothing_else() {
    let packet = forged(Body_::User(user()));
    let bytes = packet.encode_to_vec();
    let stamped = proto::DataPacket::decode(stamp(&bytes, &STAMP).expect("a packet")).expect("a packet");
    let expected = proto::DataPacket {
        kind: 1,
        participant_identity: "real".into(),
        participant_sid: "PA_real".into(),
        value: Some(Body_::User(proto::UserPacket {
            participant_sid: "PA_real".into(),
            participant_identity: "real".into(),
            ..user()
        })),
        ..packet
    };
    assert_eq!(stamped, expected);
}

#[test]
fn a_hidden_sender_leaves_no_trace() {
    let nobody = Stamp { identity: "", sid: "", kind: DataPacketKind::Reliable, keep_sequence: false };
    let bytes = forged(Body_::User(user())).encode_to_vec();
    let stamped = proto::DataPacket::decode(stamp(&bytes, &nobody).expect("a packet")).expect("a packet");
    assert_eq!((stamped.participant_identity.as_str(), stamped.participant_sid.as_str()), ("", ""));
    assert_eq!((stamped.sequence, stamped.kind), (0, 0));
    let Some(Body_::User(user)) = stamped.value else { panic!("another kind") };
    assert_eq!((user.participant_identity.as_str(), user.participant_sid.as_str()), ("", ""));
}

#[test]
fn what_is_newer_than_this_server_passes() {
    let mut bytes = forged(Body_::RpcAck(proto::RpcAck { request_id: "1".into() })).encode_to_vec();
    // Field 200, a string, and field 201, a fixed number.
    let unknown = [0xc2, 0x0c, 3, b'n', b'e', b'w', 0xcd, 0x0c, 1, 2, 3, 4];
    bytes.extend_from_slice(&unknown);
    let stamped = stamp(&bytes, &STAMP).expect("a packet");
    assert!(stamped.windows(unknown.len()).any(|window| window == unknown), "{stamped:?}");
}

#[test]
fn addresses_numbers_and_kinds_are_read() {
    let read = |value| {
        let bytes = forged(value).encode_to_vec();
        let packet = Packet::parse(&bytes).expect("a packet");
        assert_eq!((packet.identity, packet.sequence), ("forged", 77));
        assert_eq!(packet.destinations, ["x", "y"]);
        packet.body
    };
    assert_eq!(read(Body_::User(user())), Body::User);
    assert_eq!(read(Body_::Transcription(Default::default())), Body::Transcription);
    assert_eq!(read(Body_::Metrics(Default::default())), Body::Metrics);
    assert_eq!(read(Body_::ChatMessage(Default::default())), Body::Speech);
    assert_eq!(read(Body_::StreamChunk(Default::default())), Body::Speech);
    assert_eq!(read(Body_::RpcRequest(Default::default())), Body::Other);
    assert_eq!(read(Body_::EncryptedPacket(Default::default())), Body::Other);

    let old = proto::UserPacket {
        destination_sids: vec!["PA_1".into()],
        destination_identities: vec!["z".into()],
        ..user()
    };
    let packet = proto::DataPacket { value: Some(Body_::User(old)), ..Default::default() };
    let bytes = packet.encode_to_vec();
    let packet = Packet::parse(&bytes).expect("a packet");
    assert_eq!((packet.destinations, packet.destination_sids), (vec!["z"], vec!["PA_1"]));
    assert_eq!(packet.nonce, [9; 16]);
}

#[test]
fn garbage_is_refused() {
    let endless = [0xff; 12];
    for garbage in
        [&[0x12, 5, 0][..], &[0x00], &[0x0b], &endless, &[0x22, 1, 0xff], &[0x20, 1], &[0x12, 2, 0x1a, 9]]
    {
        assert_eq!(Packet::parse(garbage), Err(Malformed), "{garbage:?}");
        assert!(stamp(garbage, &STAMP).is_err() || garbage[0] & 7 != 2 || garbage[0] == 0x22, "{garbage:?}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_sender_is_the_servers(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(stamped) = stamp(&bytes, &STAMP) {
            let packet = Packet::parse(&stamped);
            if let Ok(packet) = packet {
                prop_assert_eq!(packet.identity, "real");
            }
            if let Ok(packet) = proto::DataPacket::decode(stamped) {
                prop_assert_eq!(packet.participant_sid, "PA_real");
                if let Some(Body_::User(user)) = packet.value {
                    prop_assert_eq!(user.participant_identity, "real");
                }
            }
        }
    }

    #[test]
    fn every_packet_that_prost_makes_is_read_as_prost_reads_it(
        sequence: u32, identities in proptest::collection::vec(".{0,9}", 0..4), payload: Vec<u8>, nonce: Vec<u8>,
    ) {
        let user = proto::UserPacket { payload, nonce, ..Default::default() };
        let packet = proto::DataPacket {
            sequence, destination_identities: identities, value: Some(Body_::User(user.clone())), ..Default::default()
        };
        let bytes = packet.encode_to_vec();
        let read = Packet::parse(&bytes).expect("a packet");
        prop_assert_eq!(read.sequence, sequence);
        prop_assert_eq!(read.destinations, packet.destination_identities);
        prop_assert_eq!(read.nonce, &user.nonce[..]);
    }
}
