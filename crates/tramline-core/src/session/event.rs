//! What a session says: to the server, to the transport and to the application.

use std::sync::Arc;

use livekit_protocol as proto;
use tramline_wire::{RoomSid, TrackHandle, TrackSid};

use super::SessionCounters;
use super::participants::Participant;
use super::publish::PublishError;
use super::quality::ConnectionQuality;
use super::requests::{DefineSchemaError, FetchSchemaError, RequestId, UpdateError};
use super::subscribe::SubscribeError;
use crate::layout::Target;
use crate::leave::{DisconnectReason, LeaveAction};
use crate::track::TrackInfo;

/// One thing to do, in order.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "an output is moved once; a box would cost an allocation for nothing"
)]
pub enum Output {
    /// Send this over the WebSocket.
    Signal(proto::SignalRequest),
    /// Do this with the transport.
    Transport(TransportCommand),
    /// Tell the application.
    Event(Event),
}

impl Output {
    pub(super) fn request(message: proto::signal_request::Message) -> Self {
        Self::Signal(proto::SignalRequest { message: Some(message) })
    }
}

/// What the transport must do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportCommand {
    /// Whether the server uses the pre-negotiated channels; comes before the first answer.
    NegotiatedChannels(bool),
    /// Make the publisher connection and give its offer to [`Session::send_offer`](super::Session::send_offer); only with
    /// [`Layout::Dual`](super::Layout::Dual), once.
    MakeOffer,
    /// The server's offer of the subscriber connection, or a later one; the answer goes to
    /// [`Session::send_answer`](super::Session::send_answer). Only with [`Layout::Dual`](super::Layout::Dual).
    Offer {
        /// The SDP.
        sdp: String,
        /// To be repeated with the answer.
        id: u32,
    },
    /// The server's answer to the publisher connection's offer with this id (0: to the newest).
    Answer {
        /// The SDP.
        sdp: String,
        /// The id of the offer.
        id: u32,
    },
    /// A candidate of the server: a JSON `RTCIceCandidateInit`, not looked at here.
    Candidate {
        /// For which connection.
        target: Target,
        /// The JSON.
        candidate_init: String,
    },
    /// End the transport, all of it; nothing follows but [`Event::Disconnected`].
    Close,
}

/// What an application may want to know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The server accepted the join. Comes first.
    Joined(Joined),
    /// The transport is up.
    Connected,
    /// A participant came.
    ParticipantJoined(Arc<Participant>),
    /// Something about a participant changed: compare the two. The local one is reported as well.
    ParticipantChanged {
        /// What it was.
        before: Arc<Participant>,
        /// What it is.
        after: Arc<Participant>,
    },
    /// A participant went. Its tracks were reported as unpublished before.
    ParticipantLeft {
        /// What it was.
        participant: Arc<Participant>,
        /// Why it went.
        reason: DisconnectReason,
    },
    /// A remote track can be subscribed to.
    TrackPublished {
        /// Who publishes it.
        publisher: Arc<Participant>,
        /// What it is.
        track: Arc<TrackInfo>,
    },
    /// A remote track is gone, and so is a subscription to it.
    TrackUnpublished {
        /// Who published it.
        publisher: Arc<Participant>,
        /// What it was.
        track: Arc<TrackInfo>,
    },
    /// The server accepted a local track: packets with its handle reach subscribers.
    Published {
        /// The handle that `publish` returned.
        handle: TrackHandle,
        /// The track with its new SID.
        track: Arc<TrackInfo>,
    },
    /// A local track was not accepted.
    PublishFailed {
        /// The handle that `publish` returned; it is not used again.
        handle: TrackHandle,
        /// Why.
        error: PublishError,
    },
    /// A local track is no longer published.
    Unpublished {
        /// Its handle; it is not used again.
        handle: TrackHandle,
        /// Who ended it.
        cause: UnpublishCause,
    },
    /// A subscription is live, or continues under a new handle.
    Subscribed {
        /// The track.
        track: TrackSid,
        /// What its packets carry from now on.
        handle: TrackHandle,
    },
    /// A subscription did not come about.
    SubscribeFailed {
        /// The track.
        track: TrackSid,
        /// Why.
        error: SubscribeError,
    },
    /// The answer to [`Session::define_schema`](super::Session::define_schema).
    SchemaDefined {
        /// What it returned.
        request: RequestId,
        /// Whether the server has the schema.
        result: Result<(), DefineSchemaError>,
    },
    /// The answer to [`Session::fetch_schema`](super::Session::fetch_schema).
    SchemaFetched {
        /// What it returned.
        request: RequestId,
        /// The definition.
        result: Result<Arc<str>, FetchSchemaError>,
    },
    /// The answer to [`Session::update_self`](super::Session::update_self).
    SelfUpdated {
        /// What it returned.
        request: RequestId,
        /// Whether the server took it.
        result: Result<(), UpdateError>,
    },
    /// The room changed, or only its counters.
    RoomChanged(RoomInfo),
    /// The server has put the local participant into another room. Everybody of the one before was reported as gone.
    Moved(RoomInfo),
    /// The connection of a participant, or the own one, is better or worse than before.
    QualityChanged {
        /// Whose.
        participant: Arc<Participant>,
        /// How good it is.
        quality: ConnectionQuality,
    },
    /// The server gave a token that replaces the one of the join: [`Session::token`](super::Session::token).
    TokenRefreshed(Arc<str>),
    /// The session ended. Comes last; operations under way have failed before.
    Disconnected(Disconnected),
}

/// Who ended a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnpublishCause {
    /// The application.
    Local,
    /// The server, for instance because the permission was revoked.
    Server,
}

/// What the server said when it accepted the join.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The room.
    pub room: RoomInfo,
    /// The local participant.
    pub local: Arc<Participant>,
    /// Who was there before, with what they publish.
    pub others: Vec<(Arc<Participant>, Vec<Arc<TrackInfo>>)>,
    /// The server's version, for logs.
    pub server_version: String,
    /// The server's protocol number.
    pub server_protocol: i32,
    /// The connection without which the server does not count the participant as there, and on which it sends.
    pub primary: Target,
}

/// A room (LiveKit `Room`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// The server's id of it; servers may send it late.
    pub sid: Option<RoomSid>,
    /// Its name.
    pub name: String,
    /// What the application stored with it.
    pub metadata: String,
    /// How many participants the server counts; some seconds old.
    pub num_participants: u32,
    /// How many of them publish something; some seconds old.
    pub num_publishers: u32,
    /// How many there may be; 0 when there is no limit.
    pub max_participants: u32,
    /// When it was created, in milliseconds since 1970 by the server's clock.
    pub created_at_ms: i64,
    /// Seconds that it stays when nobody has come yet.
    pub empty_timeout_secs: u32,
    /// Seconds that it stays after the last participant has gone.
    pub departure_timeout_secs: u32,
    /// Whether the server records it.
    pub is_recorded: bool,
}

impl RoomInfo {
    pub(super) fn from_wire(room: proto::Room, counters: &mut SessionCounters) -> Self {
        let sid = RoomSid::try_from(room.sid.as_str()).ok();
        if sid.is_none() && !room.sid.is_empty() {
            counters.malformed += 1;
        }
        let created_at_ms = match room.creation_time_ms {
            // Older servers send seconds only.
            0 => room.creation_time.saturating_mul(1000),
            millis => millis,
        };
        Self {
            sid,
            name: room.name,
            metadata: room.metadata,
            num_participants: room.num_participants,
            num_publishers: room.num_publishers,
            max_participants: room.max_participants,
            created_at_ms,
            empty_timeout_secs: room.empty_timeout,
            departure_timeout_secs: room.departure_timeout,
            is_recorded: room.active_recording,
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected {
    /// Why.
    pub reason: DisconnectReason,
    /// What the server asks for, or what makes sense when it could not say.
    pub action: LeaveAction,
    /// What happened, in words.
    pub detail: &'static str,
}
