//! What a room wants done.

use std::collections::BTreeMap;
use std::sync::Arc;

use livekit_protocol as proto;
use tramline_wire::{TrackHandle, TrackSid};

use super::participant::Grants;
use crate::forward::PeerKey;
use crate::layout::Target;
use crate::leave::DisconnectReason;

/// One thing to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this over the WebSocket of a participant. Messages to several participants share one allocation, so
    /// that it can be encoded once.
    Signal {
        /// To whom.
        peer: PeerKey,
        /// What.
        message: Arc<proto::SignalResponse>,
    },
    /// Do this with the transport of a participant.
    Transport {
        /// Whose.
        peer: PeerKey,
        /// What.
        command: TransportCommand,
    },
    /// Make a token of these claims and send it as `refresh_token`.
    RefreshToken {
        /// To whom.
        peer: PeerKey,
        /// What has become of the token's claims.
        claims: Claims,
    },
    /// Packets of a track will now be forwarded under this handle; the subscriber has been told.
    RouteAdded {
        /// Who gets them.
        subscriber: PeerKey,
        /// The handle in its packets.
        handle: TrackHandle,
        /// The track.
        track: TrackSid,
    },
    /// Nothing is forwarded under this handle any more: what is queued can be thrown away.
    RouteRemoved {
        /// Who got them.
        subscriber: PeerKey,
        /// The handle, free for another track.
        handle: TrackHandle,
    },
    /// The participant is gone: close its WebSocket and its transport when what was said before has been sent.
    Gone {
        /// Who.
        peer: PeerKey,
        /// Its identity, for logs.
        identity: Arc<str>,
        /// Why.
        reason: DisconnectReason,
    },
}

impl Output {
    pub(super) fn signal(peer: PeerKey, message: proto::signal_response::Message) -> Self {
        Self::Signal { peer, message: Arc::new(proto::SignalResponse { message: Some(message) }) }
    }
}

/// What the transport must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportCommand {
    /// Make the subscriber's connection, with the channels in it, and send its offer as `SignalResponse.offer`. Everything for
    /// the participant travels on it from then on, and it is there when this connection is up. Without this command
    /// both is true of the publisher's connection.
    MakeOffer,
    /// The client's answer to that offer.
    Answer {
        /// The SDP.
        sdp: String,
        /// The number that the offer had.
        id: u32,
    },
    /// Answer this offer with a `SignalResponse.answer` of the same id.
    Offer {
        /// The SDP.
        sdp: String,
        /// The client's number for it.
        id: u32,
    },
    /// A candidate of the client: a JSON `RTCIceCandidateInit`, not looked at here.
    Candidate {
        /// The connection that it is about.
        target: Target,
        /// The JSON.
        candidate_init: String,
    },
}

/// How a transport ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportEnd {
    /// The client closed it.
    ClosedByPeer,
    /// Nothing is heard of the client any more, or the connection broke.
    Lost,
    /// It could not even be set up: the offer or the handshake is unusable.
    Refused,
}

/// What a refreshed token says about a participant.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// The identity.
    pub identity: Arc<str>,
    /// The name for display.
    pub name: String,
    /// The metadata.
    pub metadata: String,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// What the participant may do.
    pub grants: Grants,
}
