//! What goes in comes out.

use std::time::Duration;

use futures_util::StreamExt;

use tramline::{
    DataTrackFrame, DataTrackSubscribeOptions, DropReason, RemoteDataTrackPipelineOptions, StreamEnd,
    StreamEvent, block_on,
};

use crate::{LIMIT, Member, read, server, subscribe};

/// Bytes that tell position and frame apart.
fn payload(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 7) as u8).collect()
}

#[test]
fn frames_of_all_sizes_arrive_whole_and_in_order() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let mut stream = subscribe(&subscriber.await_track("scan"));
    let sizes = [0, 1, 38, 1_000, 15_988, 15_989, 65_536, 262_144, 1 << 20, 128 * 15_988, 0, 7];
    for (seed, &size) in sizes.iter().enumerate() {
        track.try_push(payload(seed, size)).expect("published");
        // One at a time, so that socket buffers of any size will do.
        let frame = read(&mut stream);
        assert_eq!(frame.payload().len(), size);
        assert!(frame.payload() == &payload(seed, size), "frame {seed} of {size} bytes arrived damaged");
        assert_eq!(frame.user_timestamp(), None);
    }
    let sent = track.stats();
    assert_eq!((sent.accepted, sent.sent, sent.dropped.total()), (12, 12, 0));
    assert_eq!((stream.stats().delivered, stream.stats().dropped.total()), (12, 0));
    assert_eq!(stream.track().stats().delivered, 12);
}

#[test]
fn user_timestamps_of_any_value_arrive() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let mut stream = subscribe(&subscriber.await_track("scan"));
    for timestamp in [0, 1, 1_700_000_000_000, u64::MAX] {
        let frame = DataTrackFrame::new(payload(1, 40_000)).with_user_timestamp(timestamp);
        track.try_push(&frame).expect("published");
        assert_eq!(read(&mut stream), frame);
    }
}

#[test]
fn patient_pushes_lose_nothing_at_full_speed() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("flood");
    let mut stream = subscribe(&subscriber.await_track("flood"));
    const FRAMES: u32 = 5_000;
    let pushing = std::thread::spawn(move || {
        for number in 0..FRAMES {
            let mut frame = vec![0; 1_024];
            frame[..4].copy_from_slice(&number.to_be_bytes());
            block_on(track.push(frame)).expect("outside of a runtime").expect("published");
        }
        track
    });
    // The network may lose packets when socket buffers are small; it may not change their order within what was sent one after the other.
    let mut seen = Vec::new();
    while seen.last() != Some(&(FRAMES - 1)) {
        let frame = read(&mut stream);
        seen.push(u32::from_be_bytes(frame.payload()[..4].try_into().expect("four bytes")));
    }
    let track = pushing.join().expect("no panic");
    assert_eq!(track.stats().dropped.total(), 0, "nothing was given up before the network");
    assert_eq!(track.stats().sent, u64::from(FRAMES));
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() as u32 >= FRAMES / 2, "{} of {FRAMES} frames", seen.len());
}

#[test]
fn every_stream_of_every_subscriber_gets_every_frame() {
    let server = server();
    let publisher = Member::join(&server, "publisher");
    let track = publisher.publish("scan");
    let mut subscribers: Vec<_> = (0..3).map(|n| Member::join(&server, &format!("subscriber{n}"))).collect();
    let mut streams = Vec::new();
    for subscriber in &mut subscribers {
        let remote = subscriber.await_track("scan");
        assert_eq!(remote.publisher_identity(), &"publisher");
        streams.push(subscribe(&remote));
        streams.push(subscribe(&remote));
    }
    for number in 0..50_u8 {
        track.try_push(vec![number; 100]).expect("published");
    }
    for stream in &mut streams {
        for number in 0..50_u8 {
            assert_eq!(read(stream).payload(), &vec![number; 100]);
        }
    }
}

#[test]
fn a_stream_is_a_futures_stream_and_works_inside_a_runtime() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let stream = subscribe(&subscriber.await_track("scan"));
    track.try_push("a").expect("published");
    track.try_push("b").expect("published");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let read: Vec<_> = runtime.block_on(stream.take(2).collect());
    assert_eq!(read, [DataTrackFrame::from("a"), "b".into()]);
}

#[test]
fn a_reader_that_sleeps_keeps_only_as_much_as_it_asked_for() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let remote = subscriber.await_track("scan");
    let few = tramline::DataTrackSubscribeOptions::new().with_max_age(None).with_buffer_size(2);
    let mut sleepy = block_on(remote.subscribe_with_options(few)).expect("outside").expect("subscribed");
    let mut awake = subscribe(&remote);
    for number in 0..10_u8 {
        track.try_push([number]).expect("published");
        assert_eq!(read(&mut awake).payload().as_ref(), [number]);
    }
    // What the one has read the other has as well, since both get a frame in the same turn.
    assert_eq!((read(&mut sleepy).payload()[0], read(&mut sleepy).payload()[0]), (8, 9));
    assert_eq!(sleepy.stats().dropped.count(DropReason::QueueFull), 8);
    assert_eq!(awake.stats().dropped.total(), 0);
}

#[test]
fn a_track_reassembled_as_livekit_does_still_delivers() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let remote = subscriber.await_track("scan");
    remote.set_pipeline_options(RemoteDataTrackPipelineOptions::new().with_max_partial_frames(1));
    let mut stream = subscribe(&remote);
    track.try_push(payload(3, 50_000)).expect("published");
    assert!(read(&mut stream).payload() == &payload(3, 50_000));
}

#[test]
fn a_silent_track_is_reported_once_and_then_its_next_frame() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let options = DataTrackSubscribeOptions::new().with_max_age(None).with_deadline(Duration::from_millis(5));
    let remote = subscriber.await_track("scan");
    let stream = block_on(remote.subscribe_with_options(options)).expect("outside").expect("subscribed");
    assert_eq!(stream.read_event_timeout(LIMIT), Ok(Some(StreamEvent::DeadlineMissed)));
    track.try_push("here again").expect("published");
    assert_eq!(stream.read_event_timeout(LIMIT), Ok(Some(StreamEvent::Frame("here again".into()))));
    assert_eq!(stream.read_event_timeout(LIMIT), Ok(Some(StreamEvent::DeadlineMissed)));
}

#[test]
fn a_closed_stream_ends_for_its_readers_and_the_track_can_be_read_again() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let track = publisher.publish("scan");
    let remote = subscriber.await_track("scan");
    let stream = subscribe(&remote);
    let closer = stream.closer();
    let reader = std::thread::spawn(move || {
        let frames = std::iter::from_fn(|| stream.read_timeout(LIMIT).expect("in time")).count();
        (frames, stream.end())
    });
    track.try_push("a").expect("published");
    closer.close();
    let (frames, end) = reader.join().expect("no panic");
    assert!(frames <= 1);
    assert_eq!(end, Some(StreamEnd::Closed));
    let mut again = subscribe(&remote);
    track.try_push("b").expect("published");
    let frame = read(&mut again);
    assert_eq!((frame.payload().as_ref(), frame.number(), frame.gap()), (b"b".as_slice(), Some(1), 0));
}
