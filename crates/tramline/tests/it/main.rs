//! The SDK against the embedded server, over real sockets. No test looks at the clock: each waits for what must come, and a generous limit turns
//! a hang into a failure.

mod calls;
mod encryption;
mod frames;
mod hostile;
mod joining;
mod layouts;
mod leaving;
mod members;
mod packets;
mod schemas;
mod streams;
mod tracks;

use std::time::Duration;

use tramline::{
    DataTrackFrame, DataTrackOptions, DataTrackStream, DataTrackSubscribeOptions, LocalDataTrack,
    RemoteDataTrack, Room, RoomEvent, RoomEvents, RoomOptions, block_on,
};
use tramline_core::queue::QueueConfig;
use tramline_server::{
    Server, ServerConfig,
    auth::{AccessToken, VideoGrants},
};

/// Longer than anything takes that works.
const LIMIT: Duration = Duration::from_secs(30);

/// A server of the test's own, whose queues give nothing up on a slow machine.
fn server() -> Server {
    let mut config = ServerConfig::ephemeral();
    config.queue = QueueConfig::default().with_max_age(None).with_max_bytes(64 << 20);
    Server::start(config).expect("free ports")
}

fn token(identity: &str) -> AccessToken {
    AccessToken::new("devkey", "secret").with_identity(identity).with_grants(VideoGrants::join("yard"))
}

/// A participant and what it has heard.
struct Member {
    room: Room,
    events: RoomEvents,
}

impl Member {
    fn join(server: &Server, identity: &str) -> Self {
        Self::join_with(server, &token(identity))
    }

    fn join_with(server: &Server, token: &AccessToken) -> Self {
        Self::join_with_options(server, token, RoomOptions::default())
    }

    fn join_with_options(server: &Server, token: &AccessToken, options: RoomOptions) -> Self {
        let token = token.to_jwt().expect("a token");
        let joined = block_on(Room::connect(&server.url(), &token, options)).expect("outside of a runtime");
        let (room, events) = joined.expect("joined");
        Self { room, events }
    }

    /// Publishes a track that gives nothing up on a slow machine.
    fn publish(&self, name: &str) -> LocalDataTrack {
        let options = DataTrackOptions::new(name).with_max_age(None).with_max_queued_bytes(64 << 20);
        block_on(self.room.local_participant().publish_data_track(options))
            .expect("outside of a runtime")
            .expect("published")
    }

    fn close(&self) {
        block_on(self.room.close()).expect("outside of a runtime");
    }

    /// The next event that `pick` takes; others are skipped.
    fn await_event<T>(&mut self, mut pick: impl FnMut(RoomEvent) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(LIMIT).expect("an event in time").expect("the room goes on");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    fn await_track(&mut self, name: &str) -> RemoteDataTrack {
        self.await_event(|event| match event {
            RoomEvent::DataTrackPublished(track) if track.info().name() == name => Some(track),
            _ => None,
        })
    }

    fn await_end(&mut self) -> tramline::DisconnectReason {
        let reason = self.await_event(|event| match event {
            RoomEvent::Disconnected { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(self.events.recv_timeout(LIMIT), Ok(None), "nothing follows the end");
        reason
    }
}

/// A stream that gives nothing up on a slow machine.
fn subscribe(track: &RemoteDataTrack) -> DataTrackStream {
    let options = DataTrackSubscribeOptions::new().with_max_age(None).with_max_bytes(64 << 20);
    block_on(track.subscribe_with_options(options)).expect("outside of a runtime").expect("subscribed")
}

fn read(stream: &mut DataTrackStream) -> DataTrackFrame {
    stream.read_timeout(LIMIT).expect("a frame in time").expect("the stream goes on")
}

fn assert_ended(stream: &mut DataTrackStream) {
    assert_eq!(stream.read_timeout(LIMIT), Ok(None));
}
