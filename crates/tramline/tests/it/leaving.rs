//! Going, and being left.

use tramline::{
    ConnectionState, DataTrackSubscribeError, DisconnectReason, PublishError, PushFrameErrorReason,
    RoomEvent, StreamEnd, block_on,
};

use crate::{Member, assert_ended, read, server, subscribe};

#[test]
fn closing_sends_what_was_accepted_and_tells_the_others() {
    let server = server();
    let (mut publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let mut stream = subscribe(&subscriber.await_track("scan"));
    for number in 0..200_u8 {
        track.try_push(vec![number; 1_000]).expect("published");
    }
    publisher.close();
    for number in 0..200_u8 {
        assert_eq!(read(&mut stream).payload()[0], number);
    }
    assert_ended(&mut stream);
    assert_eq!(stream.end(), Some(StreamEnd::Unpublished));
    let gone = subscriber.await_event(|event| match event {
        RoomEvent::ParticipantDisconnected(participant) => Some(participant.identity()),
        _ => None,
    });
    assert_eq!(gone, "publisher");
    assert!(subscriber.room.remote_participants().is_empty());
    assert_eq!(publisher.await_end(), DisconnectReason::ClientInitiated);
}

#[test]
fn after_the_end_every_handle_says_so() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let local = subscriber.publish("own");
    let _other = publisher.publish("scan");
    let remote = subscriber.await_track("scan");
    let mut stream = subscribe(&remote);
    subscriber.close();
    subscriber.close();

    assert_eq!(subscriber.room.connection_state(), ConnectionState::Disconnected);
    assert_ended(&mut stream);
    assert_eq!(stream.end(), Some(StreamEnd::Disconnected(DisconnectReason::ClientInitiated)));
    assert_eq!(local.try_push("late").expect_err("over").reason(), PushFrameErrorReason::TrackUnpublished);
    assert!(!local.is_published() && !remote.is_published());
    let participant = subscriber.room.local_participant();
    let published = block_on(participant.publish_data_track("late")).expect("outside of a runtime");
    assert_eq!(published.map(drop), Err(PublishError::Disconnected));
    let subscribed = block_on(remote.subscribe()).expect("outside of a runtime");
    assert_eq!(subscribed.map(drop), Err(DataTrackSubscribeError::Unpublished));
    assert_eq!(block_on(subscriber.room.stats()).expect("outside of a runtime"), None);
    assert!(subscriber.room.driver_thread_cpu_time().is_some_and(|time| !time.is_zero()));
}

#[test]
fn dropping_the_room_leaves_it() {
    let server = server();
    let mut observer = Member::join(&server, "observer");
    let leaver = Member::join(&server, "leaver");
    let track = leaver.publish("scan");
    observer.await_track("scan");
    drop(leaver);
    observer.await_event(|event| match event {
        RoomEvent::ParticipantDisconnected(participant) if participant.identity() == "leaver" => Some(()),
        _ => None,
    });
    block_on(track.wait_for_unpublish()).expect("outside of a runtime");
}

#[test]
fn a_server_that_goes_away_ends_the_room() {
    let server = server();
    let mut member = Member::join(&server, "member");
    let track = member.publish("scan");
    server.shutdown();
    member.await_end();
    assert_eq!(track.try_push("late").expect_err("over").reason(), PushFrameErrorReason::TrackUnpublished);
    // Nothing is left to wait for.
    member.close();
}
