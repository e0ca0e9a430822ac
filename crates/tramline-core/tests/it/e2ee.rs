//! Encrypted frames from the publisher's bytes to the subscriber's, and everything that can be wrong with a key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use proptest::prelude::*;
use tramline_core::e2ee::{
    DecryptError, Decryptor, Derivation, EmptyKey, EncryptError, Encryptor, Event, KeyDerivation, KeyOptions,
    KeyProvider, MAX_RATCHET_WINDOW, TAG_LEN,
};
use tramline_core::frame::Frame;
use tramline_core::packetize::{FrameTooLarge, PacketLayout, Packetizer};
use tramline_core::reassemble::{self, Reassembler};
use tramline_core::stats::DropReason;
use tramline_sim::VirtualClock;
use tramline_wire::{E2eeExtension, MAX_PACKET_LEN, Packet, TrackHandle};

#[test]
fn the_largest_frame_is_128_packets_of_15_968_bytes_or_of_15_960_with_a_timestamp_less_the_tag() {
    let keys = shared(b"a key of the room");
    let sender = Encryptor::new(keys.clone(), "sender", IV);
    let layout = PacketLayout::new(MAX_PACKET_LEN);
    for (user_timestamp, per_packet) in [(None, 15_968), (Some(7), 15_960)] {
        let limit = 128 * per_packet - TAG_LEN;
        assert_eq!(sender.max_frame_len(&layout, user_timestamp), limit);
        let payload = vec![5; limit + 1];
        match sender.prepare(&layout, &payload, user_timestamp) {
            Err(EncryptError::TooLarge(FrameTooLarge { size, limit: named, .. })) => {
                assert_eq!((size, named), (limit + 1, limit));
            }
            other => panic!("{other:?}"),
        }
        let prepared = sender.prepare(&layout, &payload[1..], user_timestamp).expect("exactly the limit");
        assert_eq!(prepared.bytes(), sender.encoded_len(&layout, limit, user_timestamp));
        let packets: Vec<Bytes> = packetizer(MAX_PACKET_LEN).number(0, prepared).collect();
        assert_eq!(packets.len(), 128);
        for packet in &packets {
            assert_eq!(packet.len(), MAX_PACKET_LEN);
            let Packet { header, payload } = Packet::parse(packet).expect("own packet");
            assert_eq!((payload.len(), header.extensions.user_timestamp), (per_packet, user_timestamp));
        }
        let frame = reassembled(packets).expect("whole");
        let frame = Decryptor::new(keys.clone(), "sender").handle_frame(frame).expect("the same key");
        assert_eq!((frame.payload.len(), frame.e2ee, frame.user_timestamp), (limit, None, user_timestamp));
        assert!(frame.payload.iter().all(|byte| *byte == 5));
    }
}

#[test]
fn without_a_key_nothing_is_sent_and_the_error_says_whose_is_missing() {
    let keys = KeyProvider::new(hkdf());
    let sender = Encryptor::new(keys.clone(), "sender", IV);
    let layout = PacketLayout::new(MAX_PACKET_LEN);
    keys.set_key("somebody else", b"not the sender's", 0).expect("not empty");
    keys.set_sender_index(Some(3));
    let error = sender.prepare(&layout, b"secret", None).expect_err("no key");
    assert!(error.to_string().contains("\"sender\" at index 3"), "{error}");
    assert_eq!(keys.set_key("sender", b"", 3), Err(EmptyKey));
    keys.set_key("sender", b"its own", 3).expect("not empty");
    assert!(sender.prepare(&layout, b"secret", None).is_ok());
}

#[test]
fn setting_wraps_at_the_ring_and_looking_up_does_not() {
    let keys = KeyProvider::new(hkdf());
    assert_eq!(keys.set_shared_key(b"one", 33), Ok(1));
    assert_eq!(keys.shared_key(1).as_deref(), Some(&b"one"[..]));
    assert_eq!((keys.shared_key(33), keys.shared_key(17), keys.shared_key(0)), (None, None, None));
    assert_eq!(keys.ratchet_shared_key(0), None);

    let sealed = Encryptor::new(keys.clone(), "sender", IV).seal(b"x").expect("has a key");
    assert_eq!(sealed.e2ee.key_index, 1);
    let mut receiver = Decryptor::new(keys, "sender");
    let beyond = E2eeExtension { key_index: 17, ..sealed.e2ee };
    let expected = DecryptError::NoKey { identity: "sender".into(), index: 17, ring_size: 16 };
    assert_eq!(receiver.open(beyond, sealed.payload.clone()), Err(expected));
    assert!(receiver.open(sealed.e2ee, sealed.payload).is_ok());

    for (asked, given) in [(0, 16), (1, 1), (256, 256), (1_000, 256)] {
        let keys = KeyProvider::new(hkdf().with_ring_size(asked));
        assert_eq!(keys.options().ring_size, given);
        assert_eq!(keys.set_shared_key(b"k", 255), Ok((255 % given) as u8));
    }
}

#[test]
fn a_sender_takes_the_index_set_last_for_it_unless_told_otherwise() {
    let keys = KeyProvider::new(hkdf());
    assert_eq!(keys.sender_index("me"), 0);
    keys.set_shared_key(b"shared", 4).expect("not empty");
    assert_eq!(keys.sender_index("me"), 4);
    keys.set_key("me", b"mine", 2).expect("not empty");
    keys.set_key("you", b"yours", 9).expect("not empty");
    assert_eq!((keys.sender_index("me"), keys.sender_index("you"), keys.sender_index("she")), (2, 9, 4));
    keys.set_sender_index(Some(21));
    assert_eq!(keys.sender_index("me"), 5);
    keys.set_sender_index(None);
    keys.remove_keys("me");
    assert_eq!(keys.sender_index("me"), 4);
}

#[test]
fn a_participants_own_key_goes_before_the_shared_one() {
    let keys = shared(b"shared");
    let of_all = Encryptor::new(keys.clone(), "a", IV).seal(b"x").expect("has a key");
    keys.set_key("a", b"of a alone", 0).expect("not empty");
    let of_a = Encryptor::new(keys.clone(), "a", IV).seal(b"x").expect("has a key");
    assert_ne!(of_all.payload, of_a.payload);
    assert_eq!(keys.key("a", 0).as_deref(), Some(&b"of a alone"[..]));
    assert_eq!(keys.key("b", 0).as_deref(), Some(&b"shared"[..]));

    let (mut a, mut b) = (Decryptor::new(keys.clone(), "a"), Decryptor::new(keys.clone(), "b"));
    assert!(a.open(of_a.e2ee, of_a.payload.clone()).is_ok());
    assert!(b.open(of_all.e2ee, of_all.payload.clone()).is_ok());
    assert!(matches!(b.open(of_a.e2ee, of_a.payload), Err(DecryptError::WrongKey { .. })));
    keys.remove_keys("a");
    assert!(a.open(of_all.e2ee, of_all.payload).is_ok());
}

#[test]
fn ratcheting_one_participant_leaves_the_others_until_the_shared_key_is_set_anew() {
    let keys = shared(b"shared");
    let next = keys.ratchet_key("a", 0).expect("has the shared key");
    assert_eq!(keys.key("a", 0), Some(next.clone()));
    assert_eq!(keys.key("b", 0).as_deref(), Some(&b"shared"[..]));
    assert_eq!(keys.ratchet_shared_key(0), Some(next.clone()), "the same step for all");
    assert_eq!(keys.key("a", 0), Some(next));
    keys.ratchet_key("a", 0).expect("has a key");
    keys.set_shared_key(b"newer", 0).expect("not empty");
    assert_eq!(keys.key("a", 0).as_deref(), Some(&b"newer"[..]));

    keys.set_key("a", b"of a alone", 0).expect("not empty");
    let next = keys.ratchet_key("a", 0).expect("has a key");
    keys.set_shared_key(b"newest", 0).expect("not empty");
    assert_eq!(keys.key("a", 0), Some(next), "never was the shared one");
}

#[test]
fn each_cause_is_counted_every_time_and_reported_once_until_keys_change() {
    let keys = KeyProvider::new(hkdf());
    let theirs = shared(b"theirs");
    let frame = |index: u8| {
        let sealed = Encryptor::new(theirs.clone(), "sender", IV).seal(b"x").expect("has a key");
        let mut frame = Frame::new(sealed.payload);
        frame.e2ee = Some(E2eeExtension { key_index: index, ..sealed.e2ee });
        frame
    };
    let mut receiver = Decryptor::new(keys.clone(), "sender");
    for _ in 0..3 {
        assert_eq!(receiver.handle_frame(frame(0)), None);
        assert_eq!(receiver.handle_frame(frame(1)), None);
        assert_eq!(receiver.handle_frame(Frame::new("in clear")), None);
    }
    let no_key = |index| DecryptError::NoKey { identity: "sender".into(), index, ring_size: 16 };
    let clear = DecryptError::NotEncrypted { identity: "sender".into() };
    assert_eq!(failures(&mut receiver), [no_key(0), no_key(1), clear.clone()]);

    // A key of somebody else changes nothing here.
    keys.set_key("another", b"k", 0).expect("not empty");
    assert_eq!(receiver.handle_frame(frame(0)), None);
    assert_eq!(failures(&mut receiver), []);

    keys.set_shared_key(b"mine", 0).expect("not empty");
    for _ in 0..2 {
        assert_eq!(receiver.handle_frame(frame(0)), None);
        assert_eq!(receiver.handle_frame(frame(1)), None);
    }
    let wrong =
        DecryptError::WrongKey { identity: "sender".into(), index: 0, derivation: KeyDerivation::Hkdf };
    assert_eq!(failures(&mut receiver), [wrong.clone(), no_key(1)]);
    for part in ["\"sender\"", "index 0", "derived with HKDF"] {
        assert!(wrong.to_string().contains(part), "{wrong}");
    }

    keys.set_shared_key(b"theirs", 0).expect("not empty");
    assert_eq!(receiver.handle_frame(frame(0)).expect("the same key").payload, "x");
    let mut short = frame(0);
    short.payload = short.payload.slice(..TAG_LEN - 1);
    assert_eq!(receiver.handle_frame(short), None);
    assert_eq!(failures(&mut receiver), [wrong]);

    let drops = receiver.drops();
    let counted = [DropReason::NoKey, DropReason::WrongKey, DropReason::NotEncrypted];
    assert_eq!(counted.map(|reason| drops.count(reason)), [6 + 1 + 2, 2 + 1, 3]);
    assert_eq!(drops.total(), 15);
}

#[test]
fn a_damaged_frame_is_dropped_and_the_next_one_is_not() {
    let keys = shared(b"k");
    let sender = Encryptor::new(keys.clone(), "sender", IV);
    let mut receiver = Decryptor::new(keys, "sender");
    for damage in 0..(b"payload".len() + TAG_LEN) {
        let sealed = sender.seal(b"payload").expect("has a key");
        let mut bytes = sealed.payload.to_vec();
        bytes[damage] ^= 0x10;
        assert!(receiver.open(sealed.e2ee, bytes.into()).is_err());
        let mut iv = sealed.e2ee.iv;
        iv[damage % 12] ^= 1;
        assert!(receiver.open(E2eeExtension { iv, ..sealed.e2ee }, sealed.payload.clone()).is_err());
        assert_eq!(receiver.open(sealed.e2ee, sealed.payload).as_deref(), Ok(&b"payload"[..]));
    }
}

#[test]
fn a_payload_that_nobody_else_holds_is_decrypted_where_it_lies_and_a_shared_one_stays_as_it_is() {
    let keys = shared(b"k");
    let sender = Encryptor::new(keys.clone(), "sender", IV);
    let mut receiver = Decryptor::new(keys, "sender");
    let sealed = sender.seal(&[7; 500]).expect("has a key");
    let place = sealed.payload.as_ptr();
    let opened = receiver.open(sealed.e2ee, sealed.payload).expect("the same key");
    assert_eq!((opened.as_ptr(), opened.len()), (place, 500));

    let sealed = sender.seal(&[7; 500]).expect("has a key");
    let (held, before) = (sealed.payload.clone(), sealed.payload.to_vec());
    let opened = receiver.open(sealed.e2ee, sealed.payload).expect("the same key");
    assert_eq!((&opened[..], &held[..]), (&[7; 500][..], &before[..]));
}

#[test]
fn without_a_window_no_ratchet_is_tried_however_many_frames_fail() {
    let (sending, receiving) = (shared(b"k"), shared(b"k"));
    sending.ratchet_shared_key(0);
    let sealed = Encryptor::new(sending, "sender", IV).seal(b"x").expect("has a key");
    let mut receiver = Decryptor::new(receiving.clone(), "sender");
    for _ in 0..100 {
        assert!(receiver.open(sealed.e2ee, sealed.payload.clone()).is_err());
        assert!(receiver.poll_derivation().is_none());
    }
    receiving.ratchet_shared_key(0);
    assert!(receiver.open(sealed.e2ee, sealed.payload).is_ok(), "the application can do it itself");
}

#[test]
fn with_a_window_derivations_are_asked_for_once_and_again_only_after_proof_of_a_later_key() {
    let options = hkdf().with_ratchet_window(1_000);
    assert_eq!(KeyProvider::new(options).options().ratchet_window, MAX_RATCHET_WINDOW);
    let receiving = KeyProvider::new(hkdf().with_ratchet_window(2));
    receiving.set_shared_key(b"k", 0).expect("not empty");
    let sending = shared(b"k");
    let sender = Encryptor::new(sending.clone(), "sender", IV);
    let (mut receiver, mut twin) =
        (Decryptor::new(receiving.clone(), "sender"), Decryptor::new(receiving.clone(), "sender"));
    let index = E2eeExtension { key_index: 0, iv: IV };
    let garbage = Bytes::from_static(&[3; 40]);

    assert!(receiver.open(index, garbage.clone()).is_err());
    let derivation = receiver.poll_derivation().expect("a window of two");
    for _ in 0..10 {
        assert!(receiver.open(index, garbage.clone()).is_err());
        assert!(receiver.poll_derivation().is_none(), "asked before");
    }
    derivation.run();

    // Three steps are too many, two are not; a second reader of the same key finds what the first had derived.
    sending.ratchet_shared_key(0);
    let first = sender.seal(b"first").expect("has a key");
    sending.ratchet_shared_key(0);
    let second = sender.seal(b"second").expect("has a key");
    sending.ratchet_shared_key(0);
    let third = sender.seal(b"third").expect("has a key");
    assert!(receiver.open(third.e2ee, third.payload.clone()).is_err());
    assert!(receiver.poll_derivation().is_none(), "no proof yet");
    assert_eq!(receiver.open(first.e2ee, first.payload.clone()).as_deref(), Ok(&b"first"[..]));
    assert_eq!(receiver.open(second.e2ee, second.payload.clone()).as_deref(), Ok(&b"second"[..]));
    assert!(twin.open(second.e2ee, second.payload).is_ok());
    assert!(twin.poll_derivation().is_none());
    let steps = |receiver: &mut Decryptor| -> Vec<usize> {
        std::iter::from_fn(|| receiver.poll_event())
            .map(|event| match event {
                Event::Ratcheted { steps, index: 0, .. } => steps,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!((steps(&mut receiver), steps(&mut twin)), (vec![1, 1], vec![2]));

    assert!(receiver.open(third.e2ee, third.payload.clone()).is_err());
    receiver.poll_derivation().map(Derivation::run).expect("the sender proved that it has the second key");
    assert_eq!(receiver.open(third.e2ee, third.payload).as_deref(), Ok(&b"third"[..]));

    // A key that is set begins anew.
    receiving.set_shared_key(b"another", 0).expect("not empty");
    sending.set_shared_key(b"another", 0).expect("not empty");
    let sealed = sender.seal(b"anew").expect("has a key");
    assert_eq!(receiver.open(sealed.e2ee, sealed.payload).as_deref(), Ok(&b"anew"[..]));
}

#[test]
fn ivs_never_come_twice_whichever_thread_sends() {
    let start = [0xff; 12]; // The counter wraps within the first frames.
    let sender = Arc::new(Encryptor::new(shared(b"k"), "sender", start));
    let ivs: Vec<Vec<[u8; 12]>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sender = sender.clone();
                scope.spawn(move || -> Vec<[u8; 12]> {
                    (0..500).map(|_| sender.seal(b"x").expect("has a key").e2ee.iv).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let distinct: BTreeSet<[u8; 12]> = ivs.iter().flatten().copied().collect();
    assert_eq!(distinct.len(), 2_000);
    assert!(distinct.iter().all(|iv| iv[..4] == [0xff; 4]));
    assert!(distinct.contains(&start));
}

#[test]
fn keys_change_under_the_hands_of_senders_and_receivers() {
    let keys = shared(b"0");
    let sender = Encryptor::new(keys.clone(), "sender", IV);
    std::thread::scope(|scope| {
        let changer = keys.clone();
        let change = scope.spawn(move || {
            for round in 1..2_000u32 {
                changer.set_shared_key(&round.to_be_bytes(), round % 3).expect("not empty");
                if round % 16 == 0 {
                    changer.ratchet_key("sender", round % 3);
                    changer.remove_keys("sender");
                }
            }
        });
        let mut receiver = Decryptor::new(keys.clone(), "sender");
        let mut opened = 0;
        while !change.is_finished() {
            let sealed = sender.seal(b"x").expect("there is always a key");
            opened += u64::from(receiver.open(sealed.e2ee, sealed.payload).is_ok());
        }
        change.join().expect("no panic");
        // What was set last holds, whatever came before.
        let sealed = sender.seal(b"x").expect("there is always a key");
        assert!(receiver.open(sealed.e2ee, sealed.payload).is_ok(), "{opened} before");
    });
}

proptest! {
    #[test]
    fn what_one_encrypts_the_other_decrypts_whatever_the_packets(
        payload in proptest::collection::vec(any::<u8>(), 0..4_000),
        max_packet_len in 80usize..3_000,
        user_timestamp: Option<u64>,
        key in proptest::collection::vec(any::<u8>(), 1..40),
        index: u32,
        iv: [u8; 12],
    ) {
        let keys = KeyProvider::new(hkdf());
        let slot = keys.set_key("sender", &key, index).expect("not empty");
        let sender = Encryptor::new(keys.clone(), "sender", iv);
        let mut packetizer = packetizer(max_packet_len);
        let prepared = sender.prepare(&packetizer.layout(), &payload, user_timestamp).expect("small");
        prop_assert_eq!(prepared.extensions().e2ee, Some(E2eeExtension { key_index: slot, iv }));
        let frame = reassembled(packetizer.number(0, prepared).collect()).expect("whole");
        prop_assert_eq!(frame.payload.len(), payload.len() + TAG_LEN);
        let frame = Decryptor::new(keys, "sender").handle_frame(frame).expect("the same key");
        prop_assert_eq!(frame.payload, payload);
        prop_assert_eq!((frame.user_timestamp, frame.e2ee), (user_timestamp, None));
    }

    #[test]
    fn garbage_is_dropped_and_counted_and_never_panics(
        frames in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..100), proptest::option::of((0u8..20, any::<[u8; 12]>()))),
            1..40,
        ),
        window in 0usize..4,
    ) {
        let keys = KeyProvider::new(hkdf().with_ratchet_window(window));
        for index in 0..8 {
            keys.set_shared_key(b"k", index).expect("not empty");
        }
        let mut receiver = Decryptor::new(keys, "sender");
        let count = frames.len() as u64;
        let mut events = 0;
        for (payload, e2ee) in frames {
            let mut frame = Frame::new(payload);
            frame.e2ee = e2ee.map(|(key_index, iv)| E2eeExtension { key_index, iv });
            prop_assert_eq!(receiver.handle_frame(frame), None);
            receiver.poll_derivation().into_iter().for_each(Derivation::run);
            events += failures(&mut receiver).len();
        }
        prop_assert_eq!(receiver.drops().total(), count);
        // 8 slots with a wrong key, 12 without one, and frames in clear.
        prop_assert!(events <= 21);
    }
}

const IV: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn hkdf() -> KeyOptions {
    KeyOptions::default().with_derivation(KeyDerivation::Hkdf)
}

fn shared(key: &[u8]) -> KeyProvider {
    let keys = KeyProvider::new(hkdf());
    keys.set_shared_key(key, 0).expect("not empty");
    keys
}

fn packetizer(max_packet_len: usize) -> Packetizer {
    Packetizer::new(TrackHandle::FIRST, 0, max_packet_len)
}

fn reassembled(packets: Vec<Bytes>) -> Option<Frame> {
    let now: Instant = VirtualClock::new().now();
    let mut reassembler = Reassembler::new(reassemble::Config::default());
    packets
        .into_iter()
        .filter_map(|packet| {
            let (header, payload) = reassemble::split(packet).expect("own packet");
            reassembler.handle_packet(now, &header, payload)
        })
        .last()
}

fn failures(receiver: &mut Decryptor) -> Vec<DecryptError> {
    std::iter::from_fn(|| receiver.poll_event())
        .map(|event| match event {
            Event::Failed(error) => error,
            other => panic!("{other:?}"),
        })
        .collect()
}
