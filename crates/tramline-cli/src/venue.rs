//! The place where `ping-pong` and `bench` meet: a server given by URL, or one of our own.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tramline::{ConnectError, RemoteDataTrack, Room, RoomEvent, RoomEvents, RoomOptions};
use tramline_server::auth::{AccessToken, VideoGrants};
use tramline_server::{Server, ServerConfig};

use crate::credentials::{DEV_KEY, DEV_SECRET, Target};
use crate::output::Error;

/// A server to meet on, and the key that opens its rooms.
pub(crate) struct Venue {
    pub(crate) url: String,
    key: String,
    secret: String,
    /// The embedded server, when no URL was given. It ends with the venue.
    pub(crate) server: Option<Server>,
}

impl Venue {
    /// The server that `target` names, or an embedded one on a free port of 127.0.0.1.
    pub(crate) fn open(target: &Target) -> Result<Self, Error> {
        if let Some(url) = &target.url {
            let (key, secret) = target.key.pair();
            return Ok(Self { url: url.clone(), key: key.to_owned(), secret: secret.to_owned(), server: None });
        }
        let server = Server::start(ServerConfig {
            bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            port: 0,
            keys: vec![(DEV_KEY.to_owned(), DEV_SECRET.to_owned())],
            ..ServerConfig::default()
        })?;
        Ok(Self {
            url: server.url().to_owned(),
            key: DEV_KEY.to_owned(),
            secret: DEV_SECRET.to_owned(),
            server: Some(server),
        })
    }

    /// Joins `room` as `identity`.
    pub(crate) async fn join(&self, room: &str, identity: &str) -> Result<(Room, RoomEvents), Error> {
        let token = AccessToken::new(&self.key, &self.secret)
            .identity(identity)
            .valid_for(Duration::from_secs(3_600))
            .grants(VideoGrants::join(room))
            .to_jwt()?;
        let joined: Result<_, ConnectError> = Room::connect(&self.url, &token, RoomOptions::default()).await;
        joined.map_err(|error| format!("{identity} cannot join at {}: {}", self.url, crate::output::with_causes(&error)).into())
    }
}

/// A room name that two runs against one server do not share.
pub(crate) fn room_name(command: &str) -> String {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{command}-{}-{:x}", std::process::id(), since_epoch.as_micros())
}

/// How long a published track may take to be seen by another participant.
const TRACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until another participant's track called `name` is seen.
pub(crate) async fn await_track(events: &mut RoomEvents, name: &str) -> Result<RemoteDataTrack, Error> {
    let seen = async {
        while let Some(event) = events.recv().await {
            match event {
                RoomEvent::DataTrackPublished(track) if track.info().name == name => return Ok(track),
                RoomEvent::Disconnected { reason, .. } => {
                    return Err(format!("disconnected while waiting for the track `{name}`: {reason:?}").into());
                }
                _ => {}
            }
        }
        Err(format!("the room ended while waiting for the track `{name}`").into())
    };
    tokio::time::timeout(TRACK_TIMEOUT, seen)
        .await
        .unwrap_or_else(|_| Err(format!("the track `{name}` was not seen within {TRACK_TIMEOUT:?}").into()))
}
