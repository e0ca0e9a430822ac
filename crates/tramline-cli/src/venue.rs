//! The place where `ping-pong` and `bench` meet: a server given by URL, or one of our own.

use std::net::Ipv4Addr;
use std::time::Duration;

use tramline::{ConnectError, RemoteDataTrack, Room, RoomEvent, RoomEvents, RoomOptions};
use tramline_server::auth::{AccessToken, VideoGrants};
use tramline_server::{Server, ServerConfig};

use crate::credentials::{DEV_KEY, DEV_SECRET, Target};
use crate::link_args::LinkArgs;
use crate::output::Error;
use crate::relay::{Bound, Relay};

/// A server to meet on, and the key that opens its rooms.
pub(crate) struct Venue {
    pub(crate) url: String,
    key: String,
    secret: String,
    /// The embedded server, when no URL was given. It ends with the venue.
    pub(crate) server: Option<Server>,
    /// Between the embedded server and its clients, when a bad link was asked for.
    relay: Option<Relay>,
}

/// The links of the two participants, when there is to be a relay between them and the server.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Via {
    /// Bad links between the clients and the embedded server, one each, as in `delay=25,loss=1`: the flags of
    /// `tramline relay`. Signalling goes past them.
    #[arg(long, value_name = "LINK", conflicts_with = "url")]
    via: Option<LinkArgs>,
    /// The publisher's link alone.
    #[arg(long, value_name = "LINK", conflicts_with = "url")]
    via_publisher: Option<LinkArgs>,
    /// The subscriber's link alone.
    #[arg(long, value_name = "LINK", conflicts_with = "url")]
    via_subscriber: Option<LinkArgs>,
}

impl Via {
    fn is_wanted(&self) -> bool {
        self.via.is_some() || self.via_publisher.is_some() || self.via_subscriber.is_some()
    }

    /// The link of a participant, by the identity that it has here.
    fn link(&self, identity: &str) -> LinkArgs {
        let own = match identity {
            "subscriber" => &self.via_subscriber,
            _ => &self.via_publisher,
        };
        own.as_ref().or(self.via.as_ref()).cloned().unwrap_or_default()
    }
}

impl Venue {
    /// The server that `target` names, or an embedded one on a free port of 127.0.0.1.
    pub(crate) fn open(target: &Target) -> Result<Self, Error> {
        Self::open_via(target, &Via::default())
    }

    /// As [`open`](Self::open), with bad links between an embedded server and its clients.
    pub(crate) fn open_via(target: &Target, via: &Via) -> Result<Self, Error> {
        if let Some(url) = &target.url {
            let (key, secret) = target.key.pair();
            return Ok(Self {
                url: url.clone(),
                key: key.to_owned(),
                secret: secret.to_owned(),
                server: None,
                relay: None,
            });
        }
        let mut config = ServerConfig::ephemeral();
        config.bind = vec![Ipv4Addr::LOCALHOST.into()];
        // The server announces the relay's port instead of its own: clients cannot tell the relay from it.
        let bound = match via.is_wanted() {
            true => Some(Bound::bind((Ipv4Addr::LOCALHOST, 0).into())?),
            false => None,
        };
        config.node_udp_port = bound.as_ref().map(|bound| bound.addr().port());
        let server = Server::start(config)?;
        let relay = match (bound, server.udp_addrs().first()) {
            (Some(bound), Some(&to)) => Some(bound.start(to, LinkArgs::default())?),
            _ => None,
        };
        Ok(Self {
            url: server.url(),
            key: DEV_KEY.to_owned(),
            secret: DEV_SECRET.to_owned(),
            server: Some(server),
            relay,
        })
    }

    /// Joins `room` as `identity`, over the link that `via` has for it.
    pub(crate) async fn join_via(
        &self,
        room: &str,
        identity: &str,
        via: &Via,
    ) -> Result<(Room, RoomEvents), Error> {
        // A client is connected when `join` returns: whoever the relay sees next is the next one.
        if let Some(relay) = &self.relay {
            relay.set_link(via.link(identity));
        }
        self.join(room, identity).await
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
