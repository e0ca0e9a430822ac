//! Encrypted tracks, from the keys of one participant to those of another.

use tramline::{
    DataTrackFrame, DecryptError, DropReason, KeyDerivation, KeyOptions, KeyProvider, PushFrameErrorReason,
    RoomEvent, RoomOptions,
};
use tramline_server::Server;

use crate::{Member, read, server, subscribe, token};

fn keys(options: KeyOptions, key: &[u8]) -> KeyProvider {
    let keys = KeyProvider::new(options);
    keys.set_shared_key(key, 0).expect("not empty");
    keys
}

/// HKDF, where the derivation itself is not what is tested: PBKDF2 is slow on purpose.
fn quick() -> KeyOptions {
    KeyOptions::default().with_derivation(KeyDerivation::Hkdf)
}

fn join(server: &Server, identity: &str, keys: KeyProvider) -> Member {
    let mut options = RoomOptions::default();
    options.encryption = Some(keys);
    Member::join_with_options(server, &token(identity), options)
}

#[test]
fn what_is_encrypted_by_one_is_decrypted_by_another_with_either_derivation() {
    let server = server();
    for derivation in [KeyDerivation::Pbkdf2, KeyDerivation::Hkdf] {
        let options = KeyOptions::default().with_derivation(derivation);
        let publisher = join(&server, "publisher", keys(options.clone(), b"secret"));
        let mut subscriber = join(&server, "subscriber", keys(options, b"secret"));
        let track = publisher.publish("scan");
        assert!(track.info().uses_e2ee());
        let remote = subscriber.await_track("scan");
        assert!(remote.info().uses_e2ee());
        let mut stream = subscribe(&remote);
        for size in [0, 1, 15_958, 15_959, 1 << 20] {
            let frame = DataTrackFrame::new(vec![7; size]).with_user_timestamp(size as u64);
            track.try_push(&frame).expect("published");
            assert_eq!(read(&mut stream), frame);
        }
        assert_eq!(stream.track().stats().dropped.total(), 0);
        publisher.close();
        subscriber.close();
    }
}

#[test]
fn a_wrong_key_is_counted_told_once_and_mended_by_the_right_one() {
    let server = server();
    let publisher = join(&server, "publisher", keys(quick(), b"secret"));
    let theirs = keys(quick(), b"another");
    let mut subscriber = join(&server, "subscriber", theirs.clone());
    let track = publisher.publish("scan");
    let mut stream = subscribe(&subscriber.await_track("scan"));
    for _ in 0..3 {
        track.try_push("unreadable").expect("published");
    }
    let error = subscriber.await_event(|event| match event {
        RoomEvent::DecryptionFailed { track, error } if track.info().name() == "scan" => Some(error),
        _ => None,
    });
    assert!(matches!(error, DecryptError::WrongKey { index: 0, .. }), "{error}");
    theirs.set_shared_key(b"secret", 0).expect("not empty");
    // Which frames come before the key is set is open, so the first that is read tells when it was.
    track.try_push("readable").expect("published");
    let mut frame = read(&mut stream);
    while frame.payload() != "readable" {
        frame = read(&mut stream);
    }
    let dropped = stream.track().stats().dropped;
    assert!(dropped.count(DropReason::WrongKey) >= 1);
    assert_eq!(dropped.total(), dropped.count(DropReason::WrongKey));
}

#[test]
fn without_a_key_nothing_is_sent_and_with_encryption_off_it_is_sent_in_clear() {
    let server = server();
    let publisher = join(&server, "publisher", KeyProvider::new(quick()));
    let mut subscriber = Member::join(&server, "subscriber");
    let track = publisher.publish("closed");
    let refused = track.try_push("secret").expect_err("there is no key");
    assert_eq!((refused.reason(), refused.code()), (PushFrameErrorReason::NoKey, 4));

    publisher.room.set_encrypting(false);
    let open = publisher.publish("open");
    assert!(!open.info().uses_e2ee());
    let mut stream = subscribe(&subscriber.await_track("open"));
    open.try_push("hello").expect("published");
    assert_eq!(read(&mut stream), "hello".into());
}

#[test]
fn a_subscriber_without_keys_gets_no_ciphertext() {
    let server = server();
    let publisher = join(&server, "publisher", keys(quick(), b"secret"));
    let mut subscriber = Member::join(&server, "subscriber");
    let encrypted = publisher.publish("encrypted");
    publisher.room.set_encrypting(false);
    let open = publisher.publish("open");
    let encrypted_stream = subscribe(&subscriber.await_track("encrypted"));
    let mut open_stream = subscribe(&subscriber.await_track("open"));
    encrypted.try_push("secret").expect("published");
    // Frames of different tracks may overtake each other, so until the first has been seen at the other end.
    while encrypted_stream.track().stats().dropped.count(DropReason::NoKey) == 0 {
        open.try_push("after it").expect("published");
        assert_eq!(read(&mut open_stream), "after it".into());
    }
    assert_eq!(encrypted_stream.track().stats().delivered, 0);
}
