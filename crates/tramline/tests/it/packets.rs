//! Messages beside the tracks.

use tramline::{
    ChatMessage, DataPacket, DataPacketKind, DecryptPacketError, KeyOptions, KeyProvider, PublishDataError,
    RoomEvent, RoomOptions, SipDtmf, block_on,
};
use tramline_server::Server;
use tramline_server::auth::VideoGrants;

use crate::{Member, server, token};

/// What somebody has heard, and of whom.
type Heard = (String, Option<String>, DataPacketKind, Option<String>);

impl Member {
    fn send(&self, packet: DataPacket) -> Result<(), PublishDataError> {
        block_on(self.room.local_participant().publish_data(packet)).expect("outside of a runtime")
    }

    fn hear(&mut self) -> Heard {
        self.await_event(|event| match event {
            RoomEvent::DataReceived { payload, topic, kind, participant, .. } => {
                let payload = String::from_utf8_lossy(&payload).into_owned();
                Some((payload, topic, kind, participant.map(|from| from.identity().to_string())))
            }
            _ => None,
        })
    }
}

fn three(server: &Server) -> (Member, Member, Member) {
    (Member::join(server, "alice"), Member::join(server, "bob"), Member::join(server, "carol"))
}

fn from_alice(payload: &str, topic: Option<&str>, kind: DataPacketKind) -> Heard {
    (payload.to_owned(), topic.map(str::to_owned), kind, Some("alice".to_owned()))
}

#[test]
fn packets_reach_everybody_else_or_those_whom_they_name() {
    let server = server();
    let (alice, mut bob, mut carol) = three(&server);
    alice.send(DataPacket { topic: Some("t".into()), ..DataPacket::reliable("to all") }).expect("sent");
    let to_carol = DataPacket {
        destination_identities: vec!["carol".into(), "alice".into(), "nobody".into(), "carol".into()],
        ..DataPacket::reliable("to carol")
    };
    alice.send(to_carol).expect("sent");
    alice.send(DataPacket::reliable("to all again")).expect("sent");
    let kind = DataPacketKind::Reliable;
    assert_eq!(bob.hear(), from_alice("to all", Some("t"), kind));
    assert_eq!(bob.hear(), from_alice("to all again", None, kind));
    assert_eq!(carol.hear(), from_alice("to all", Some("t"), kind));
    assert_eq!(carol.hear(), from_alice("to carol", None, kind));
    assert_eq!(carol.hear(), from_alice("to all again", None, kind));
    let mut alice = alice;
    bob.send(DataPacket::reliable("back")).expect("sent");
    let (payload, _, _, from) = alice.hear();
    assert_eq!((payload.as_str(), from.as_deref()), ("back", Some("bob")), "never one's own");
}

#[test]
fn lossy_packets_arrive_on_a_network_without_loss() {
    let server = server();
    let (alice, mut bob, _carol) = three(&server);
    alice.send(DataPacket::lossy("quick")).expect("sent");
    assert_eq!(bob.hear(), from_alice("quick", None, DataPacketKind::Lossy));
}

#[test]
fn ten_thousand_reliable_packets_arrive_in_order_and_once() {
    let server = server();
    let alice = Member::join(&server, "alice");
    let mut bob = Member::join(&server, "bob");
    let local = alice.room.local_participant();
    let mut number = 0;
    while number < 10_000 {
        match local.publish_data_no_wait(DataPacket::reliable(format!("{number:0>400}"))) {
            Ok(()) => number += 1,
            Err(PublishDataError::QueueFull { .. }) => {
                alice.send(DataPacket::reliable(format!("{number:0>400}"))).expect("sent");
                number += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    for expected in 0..10_000 {
        let (payload, ..) = bob.hear();
        assert_eq!(payload.parse(), Ok(expected));
    }
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_reason() {
    let server = server();
    let alice = Member::join(&server, "alice");
    match alice.send(DataPacket::reliable(vec![0; 70_000])) {
        Err(PublishDataError::TooLarge { size, limit }) => assert!(size > 70_000 && limit == 64_000),
        other => panic!("{other:?}"),
    }
    let mut grants = VideoGrants::join("yard");
    grants.can_publish_data = Some(false);
    let mute = Member::join_with(&server, &token("mute").with_grants(grants));
    assert_eq!(mute.send(DataPacket::lossy("x")), Err(PublishDataError::NotPermitted));
    let local = mute.room.local_participant();
    mute.close();
    assert_eq!(local.publish_data_no_wait(DataPacket::lossy("x")), Err(PublishDataError::NotPermitted));
    let local = alice.room.local_participant();
    alice.close();
    let sent = block_on(local.publish_data(DataPacket::reliable("x"))).expect("outside of a runtime");
    assert_eq!(sent, Err(PublishDataError::Disconnected));
}

#[test]
fn the_largest_packet_arrives_whole() {
    let server = server();
    let alice = Member::join(&server, "alice");
    let mut bob = Member::join(&server, "bob");
    let payload = "x".repeat(63_900);
    alice.send(DataPacket::reliable(payload.clone())).expect("sent");
    assert_eq!(bob.hear().0, payload);
}

#[test]
fn a_packet_with_a_mark_comes_once() {
    let server = server();
    let (alice, mut bob, _carol) = three(&server);
    let marked =
        |payload: &'static str| DataPacket { nonce: Some(vec![7; 16]), ..DataPacket::reliable(payload) };
    for payload in ["first", "second"] {
        alice.send(marked(payload)).expect("sent");
    }
    alice.send(DataPacket::reliable("last")).expect("sent");
    assert_eq!((bob.hear().0, bob.hear().0), ("first".to_owned(), "last".to_owned()));
    let stats = server.stats().expect("it runs");
    assert_eq!(
        stats.data_packets_dropped.iter().map(|(reason, count)| (reason.as_str(), count)).collect::<Vec<_>>(),
        [("duplicate", 1)]
    );
}

#[test]
fn of_a_hidden_sender_nothing_is_told() {
    let server = server();
    let mut bob = Member::join(&server, "bob");
    let mut grants = VideoGrants::join("yard");
    grants.hidden = true;
    let ghost = Member::join_with(&server, &token("ghost").with_grants(grants));
    ghost.send(DataPacket::reliable("boo")).expect("sent");
    assert_eq!(bob.hear(), ("boo".to_owned(), None, DataPacketKind::Reliable, None));
}

#[test]
fn who_joins_amid_a_stream_of_packets_has_no_gap_in_it() {
    let server = server();
    let alice = Member::join(&server, "alice");
    let local = alice.room.local_participant();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let sender = std::thread::spawn(move || {
        let mut number = 0u32;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let packet = DataPacket::reliable(number.to_string());
            block_on(local.publish_data(packet)).expect("outside of a runtime").expect("sent");
            number += 1;
        }
    });
    for name in ["bob", "carol", "dave"] {
        let mut member = Member::join(&server, name);
        let first: u32 = member.hear().0.parse().expect("a number");
        for expected in first + 1..first + 200 {
            assert_eq!(member.hear().0.parse(), Ok(expected));
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    sender.join().expect("no panic");
}

#[test]
fn tones_and_chat_messages_arrive() {
    let server = server();
    let (alice, mut bob, _carol) = three(&server);
    let local = alice.room.local_participant();
    let tone = SipDtmf { code: 11, digit: "#".into(), destination_identities: vec!["bob".into()] };
    block_on(local.publish_dtmf(tone)).expect("outside of a runtime").expect("sent");
    let (code, digit) = bob.await_event(|event| match event {
        RoomEvent::SipDtmfReceived { code, digit, .. } => Some((code, digit)),
        _ => None,
    });
    assert_eq!((code, digit.as_deref()), (11, Some("#")));

    let mut chat = || {
        bob.await_event(|event| match event {
            RoomEvent::ChatMessage { message, participant } => {
                assert_eq!(participant.map(|from| from.identity().to_string()).as_deref(), Some("alice"));
                Some(message)
            }
            _ => None,
        })
    };
    let sent = block_on(local.send_chat_message("helo", Vec::new(), None)).expect("outside").expect("sent");
    assert_eq!(chat(), sent);
    let edited = block_on(local.edit_chat_message("hello", sent.clone(), Vec::new(), None)).expect("outside");
    let ChatMessage { id, message, edit_timestamp_ms, .. } = chat();
    assert_eq!((id, message.as_str()), (sent.id, "hello"));
    assert_eq!(edit_timestamp_ms, edited.expect("sent").edit_timestamp_ms);
}

fn encrypted(key: &[u8]) -> RoomOptions {
    let keys = KeyProvider::new(KeyOptions::default());
    keys.set_shared_key(key, 0).expect("a key");
    let mut options = RoomOptions::default();
    options.encryption = Some(keys);
    options
}

#[test]
fn packets_of_an_encrypted_room_are_read_with_its_key_alone() {
    let server = server();
    let alice = Member::join_with_options(&server, &token("alice"), encrypted(b"secret"));
    let mut bob = Member::join_with_options(&server, &token("bob"), encrypted(b"secret"));
    let mut eve = Member::join_with_options(&server, &token("eve"), encrypted(b"guess"));
    let mut open = Member::join(&server, "open");
    for payload in ["one", "two"] {
        alice.send(DataPacket { topic: Some("t".into()), ..DataPacket::reliable(payload) }).expect("sent");
    }
    assert_eq!(bob.hear(), from_alice("one", Some("t"), DataPacketKind::Reliable));
    let why = |event| match event {
        RoomEvent::PacketDecryptionFailed { participant_identity, error } => {
            assert_eq!(participant_identity, "alice");
            Some(error)
        }
        RoomEvent::DataReceived { .. } => panic!("read without the key"),
        _ => None,
    };
    assert!(matches!(eve.await_event(why), DecryptPacketError::Decrypt(_)));
    assert!(matches!(open.await_event(why), DecryptPacketError::NoKeys { .. }));
    // Switched off, everybody can read what follows.
    alice.room.set_encrypting(false);
    alice.send(DataPacket::reliable("clear")).expect("sent");
    assert_eq!(open.hear().0, "clear");
    bob.hear();
    let was_encrypted = bob.await_event(|event| match event {
        RoomEvent::DataReceived { encrypted, .. } => Some(encrypted),
        _ => None,
    });
    assert!(!was_encrypted);
}

#[test]
fn closing_sends_what_was_accepted() {
    let server = server();
    let alice = Member::join(&server, "alice");
    let mut bob = Member::join(&server, "bob");
    for number in 0..500 {
        let packet = DataPacket::reliable(number.to_string());
        alice.room.local_participant().publish_data_no_wait(packet).expect("queued");
    }
    alice.close();
    for expected in 0..500 {
        assert_eq!(bob.hear().0, expected.to_string());
    }
}

#[test]
fn packets_need_no_track_in_the_layout_with_two_connections() {
    let server = server();
    let mut options = RoomOptions::default();
    options.single_peer_connection = true;
    let alice = Member::join_with_options(&server, &token("alice"), options);
    let mut bob = Member::join(&server, "bob");
    alice.send(DataPacket::reliable("hello")).expect("sent");
    assert_eq!(bob.hear().0, "hello");
}
