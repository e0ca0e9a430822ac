//! Tracks come and go.

use futures_util::future::join_all;
use tramline::{
    DataTrackOptions, DataTrackSubscribeOptions, PublishError, RemoteDataTrack, RoomEvent, StreamEnd,
    block_on,
};
use tramline_server::auth::VideoGrants;

use crate::{Member, assert_ended, read, server, subscribe, token};

fn publish_error(member: &Member, name: &str) -> PublishError {
    let result =
        block_on(member.room.local_participant().publish_data_track(name)).expect("outside of a runtime");
    result.map(drop).expect_err("refused")
}

#[test]
fn who_comes_late_finds_what_is_published() {
    let server = server();
    let publisher = Member::join(&server, "publisher");
    let track = publisher.publish("scan");
    let mut late = Member::join(&server, "late");
    let publisher_seen_by_late = &late.room.remote_participants()["publisher"];
    let remote = publisher_seen_by_late.data_tracks().remove("scan").expect("in the roster from the start");
    assert_eq!(late.await_track("scan"), remote, "and told as an event");
    assert_eq!(remote.info().sid(), track.info().sid());
    let mut stream = subscribe(&remote);
    track.try_push("hello").expect("published");
    assert_eq!(read(&mut stream), "hello".into());
}

#[test]
fn unpublishing_ends_streams_after_the_last_frame_and_frees_the_name() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    for round in 0..3_u8 {
        let track = publisher.publish("scan");
        let remote = subscriber.await_track("scan");
        let mut stream = subscribe(&remote);
        track.try_push([round]).expect("published");
        // Once explicitly, otherwise by dropping the last handle.
        if round == 0 {
            track.unpublish();
        }
        drop(track);
        assert_eq!(read(&mut stream).payload().as_ref(), [round]);
        assert_ended(&mut stream);
        assert_eq!(stream.end(), Some(StreamEnd::Unpublished));
        let gone = subscriber.await_event(|event| match event {
            RoomEvent::DataTrackUnpublished(track) => Some(track),
            _ => None,
        });
        assert_eq!(gone, remote);
        assert!(!remote.is_published());
    }
}

#[test]
fn a_track_can_be_subscribed_to_again() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let remote = subscriber.await_track("scan");
    for round in 0..5_u8 {
        let mut stream = subscribe(&remote);
        track.try_push([round]).expect("published");
        assert_eq!(read(&mut stream).payload().as_ref(), [round]);
    }
    // An abandoned subscription does not keep the next one from coming about.
    {
        let mut abandoned = std::pin::pin!(remote.subscribe());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(abandoned.as_mut().poll(&mut context).is_pending());
    }
    let mut stream = subscribe(&remote);
    track.try_push("again").expect("published");
    assert_eq!(read(&mut stream), "again".into());
}

#[test]
fn refusals_have_livekits_codes() {
    let server = server();
    let publisher = Member::join(&server, "publisher");
    let _track = publisher.publish("scan");
    let duplicate = publish_error(&publisher, "scan");
    assert_eq!((&duplicate, duplicate.code()), (&PublishError::DuplicateName, 2));
    let unnamed = publish_error(&publisher, "");
    assert_eq!((&unnamed, unnamed.code()), (&PublishError::InvalidName { len: 0 }, 6));
    assert_eq!(publish_error(&publisher, &"x".repeat(257)).code(), 6);
    // Another participant may use the name.
    let _other = Member::join(&server, "other").publish("scan");

    let mut grants = VideoGrants::join("yard");
    grants.can_publish_data = Some(false);
    let mute = Member::join_with(&server, &token("mute").with_grants(grants));
    let refused = publish_error(&mute, "scan");
    assert_eq!((&refused, refused.code(), refused.is_retryable()), (&PublishError::NotAllowed, 5, false));
}

#[test]
fn hundreds_of_tracks_live_side_by_side() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let tracks: Vec<_> = (0..256).map(|number| publisher.publish(&format!("track{number}"))).collect();
    let mut streams: Vec<_> =
        (0..256).map(|number| subscribe(&subscriber.await_track(&format!("track{number}")))).collect();
    for track in &tracks {
        track.try_push(track.info().name()).expect("published");
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        assert_eq!(read(stream), format!("track{number}").into());
    }
    let stats = block_on(subscriber.room.stats()).expect("outside of a runtime").expect("connected");
    assert_eq!(stats.stray_packets.total(), 0);
    assert!(stats.transport.messages_received >= 256);
    let sender =
        block_on(publisher.room.stats()).expect("outside of a runtime").expect("connected").transport;
    assert!(sender.congestion_window > 0 && sender.data_round_trip.is_some(), "{sender:?}");
}

#[test]
fn a_publish_request_that_is_given_up_leaves_no_track() {
    let server = server();
    let publisher = Member::join(&server, "publisher");
    let participant = publisher.room.local_participant();
    {
        let mut abandoned = std::pin::pin!(participant.publish_data_track(DataTrackOptions::new("scan")));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(abandoned.as_mut().poll(&mut context).is_pending());
    }
    // Its name is free again as soon as the server knows; until then it is refused as a duplicate and nothing else.
    let mut tries = 0;
    loop {
        match block_on(participant.publish_data_track("scan")).expect("outside of a runtime") {
            Ok(_track) => break,
            Err(PublishError::DuplicateName) => tries += 1,
            Err(other) => panic!("{other:?}"),
        }
        assert!(tries < 1_000, "the name is never freed");
    }
}

#[test]
fn two_hundred_and_fifty_six_tracks_are_published_at_the_same_time_and_all_carry() {
    const TRACKS: usize = 256;
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let local = publisher.room.local_participant();
    let publishing = (0..TRACKS)
        .map(|n| local.publish_data_track(DataTrackOptions::new(format!("joint{n}")).with_max_age(None)));
    let tracks = block_on(join_all(publishing)).expect("outside of a runtime");
    let tracks: Vec<_> = tracks.into_iter().map(|track| track.expect("published")).collect();
    let mut remotes: Vec<RemoteDataTrack> = Vec::new();
    while remotes.len() < TRACKS {
        remotes.push(subscriber.await_event(|event| match event {
            RoomEvent::DataTrackPublished(track) => Some(track),
            _ => None,
        }));
    }
    let ageless = || DataTrackSubscribeOptions::new().with_max_age(None);
    let subscribing = remotes.iter().map(|remote| remote.subscribe_with_options(ageless()));
    let streams = block_on(join_all(subscribing)).expect("outside of a runtime");
    for track in &tracks {
        track.try_push(track.info().name()).expect("published");
    }
    for (remote, stream) in remotes.iter().zip(streams) {
        let frame = read(&mut stream.expect("subscribed"));
        assert_eq!(frame.payload().as_ref(), remote.info().name().as_bytes());
    }
}
