//! The place where `ping-pong` and `bench` meet: a server given by URL, or one of our own.

use std::net::Ipv4Addr;
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
            return Ok(Self {
                url: url.clone(),
                key: key.to_owned(),
                secret: secret.to_owned(),
                server: None,
            });
        }
        let mut config = ServerConfig::ephemeral();
        config.bind = vec![Ipv4Addr::LOCALHOST.into()];
        let server = Server::start(config)?;
        Ok(Self {
            url: server.url(),
            key: DEV_KEY.to_owned(),
            secret: DEV_SECRET.to_owned(),
            server: Some(server),
        })
    }

    /// Joins `room` as `identity`.
    pub(crate) async fn join(&self, room: &str, identity: &str) -> Result<(Room, RoomEvents), Error> {
        let token = AccessToken::new(&self.key, &self.secret)
            .with_identity(identity)
            .with_validity(TOKEN_TTL)
            .with_grants(VideoGrants::join(room))
            .to_jwt()?;
        let joined: Result<_, ConnectError> = Room::connect(&self.url, &token, RoomOptions::default()).await;
        joined.map_err(|error| {
            format!("{identity} cannot join at {}: {}", self.url, crate::output::with_causes(&error)).into()
        })
    }
}

/// A room name that two runs against one server do not share.
pub(crate) fn room_name(command: &str) -> String {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{command}-{}-{:x}", std::process::id(), since_epoch.as_micros())
}

/// Longer than any run.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3_600);
/// How long a published track may take to be seen by another participant.
const TRACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until another participant's track called `name` is seen.
pub(crate) async fn await_track(events: &mut RoomEvents, name: &str) -> Result<RemoteDataTrack, Error> {
    let seen = async {
        while let Some(event) = events.recv().await {
            match event {
                RoomEvent::DataTrackPublished(track) if track.info().name() == name => return Ok(track),
                RoomEvent::Disconnected { reason, detail } => {
                    return Err(format!(
                        "disconnected while waiting for the track `{name}`: {reason:?} ({detail})"
                    )
                    .into());
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
