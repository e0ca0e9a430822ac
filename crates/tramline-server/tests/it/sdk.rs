//! Whole frames through the server, with the SDK at both ends.

use std::time::Duration;

use bytes::Bytes;
use tramline::{DataTrackStream, LocalDataTrack, RemoteDataTrack, Room, RoomEvent, RoomEvents, RoomOptions};
use tramline_core::stats::DropReason;
use tramline_server::auth::VideoGrants;
use tramline_server::{Server, ServerConfig};

use crate::client::{Client, token};

const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(server: &Server, identity: &str) -> (Room, RoomEvents) {
    let token = token(identity, VideoGrants::join("yard"));
    Room::connect(&server.url(), &token, RoomOptions::default()).await.expect("it joins")
}

async fn track(events: &mut RoomEvents) -> RemoteDataTrack {
    let waiting = async {
        loop {
            if let RoomEvent::DataTrackPublished(track) = events.recv().await.expect("the session goes on") {
                return track;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it is published")
}

/// Bytes that tell frames and positions in them apart.
fn payload(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + number * 7 + (at >> 8)) as u8).collect()
}

async fn read(stream: &mut DataTrackStream) -> Bytes {
    let frame =
        tokio::time::timeout(PATIENCE, stream.read()).await.expect("a frame").expect("the track goes on");
    frame.payload().clone()
}

async fn publish(room: &Room, name: &str) -> LocalDataTrack {
    room.local_participant().publish_data_track(name).await.expect("published")
}

#[tokio::test]
async fn large_frames_reach_several_subscribers_unharmed() {
    let mut config = ServerConfig::ephemeral();
    config.queue = config.queue.with_max_age(None).with_max_bytes(64 << 20);
    let server = Server::start(config).expect("it starts");
    let (publisher, _events) = connect(&server, "publisher").await;
    let track_out = publish(&publisher, "scan").await;
    let mut readers = Vec::new();
    for identity in ["a", "b", "c", "d"] {
        let (room, mut events) = connect(&server, identity).await;
        let stream = track(&mut events).await.subscribe().await.expect("subscribed");
        readers.push((room, stream));
    }
    for (number, len) in [1, 15_988, 100_000, 500_000, 3].into_iter().enumerate() {
        track_out.try_push(payload(number, len)).expect("room");
        for (_, stream) in &mut readers {
            assert!(read(stream).await == payload(number, len), "frame {number} of {len} bytes");
        }
    }
    let stats = server.stats().expect("it runs");
    assert_eq!((stats.queues.sent, stats.queues.dropped.total(), stats.packets_dropped.total()), (20, 0, 0));
    assert_eq!(stats.packets_out, 4 * stats.packets_in);
    assert!(stats.transport.messages_received >= stats.packets_in);
    assert!(stats.transport.messages_sent >= stats.packets_out);
    assert!(stats.transport.congestion_window > 0 && stats.transport.data_round_trip.is_some());
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_loses_its_own_frames_and_holds_nobody_up() {
    let mut config = ServerConfig::ephemeral();
    config.queue = config.queue.with_max_age(None).with_max_bytes(512 << 10);
    let server = Server::start(config).expect("it starts");
    let (publisher, _events) = connect(&server, "publisher").await;
    let track_out = publish(&publisher, "scan").await;
    let mut slow = Client::active(&server, "slow", "yard").await;
    slow.subscribe("scan").await;
    let (_room, mut events) = connect(&server, "fast").await;
    let mut fast = track(&mut events).await.subscribe().await.expect("subscribed");
    // From here on nobody reads the sockets of the slow one.
    let mut pushed = 0;
    let stats = loop {
        track_out.try_push(payload(pushed, 64 << 10)).expect("room");
        assert!(read(&mut fast).await == payload(pushed, 64 << 10), "frame {pushed}");
        pushed += 1;
        let stats = server.stats().expect("it runs");
        if stats.queues.dropped.total() > 0 {
            break stats;
        }
        assert!(pushed < 2_000, "128 MiB wait for a subscriber that does not read");
    };
    let dropped: Vec<_> = stats.queues.dropped.iter().map(|(reason, _)| reason).collect();
    assert_eq!(dropped, [DropReason::QueueFull]);
    assert_eq!(track_out.stats().dropped.total(), 0, "the publisher does not notice");
}
