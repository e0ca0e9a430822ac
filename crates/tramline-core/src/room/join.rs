//! Coming in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use thiserror::Error;
use tramline_wire::ParticipantSid;

use super::blobs::Blobs;
use super::output::{Output, TransportCommand};
use super::participant::{Grants, Participant, State};
use super::permission::SubscriptionRule;
use super::{Room, TOKEN_REFRESH};
use crate::forward::PeerKey;
use crate::layout::Layout;
use crate::leave::{DisconnectReason, LeaveAction, leave_message};

/// The protocol number of `ServerInfo.protocol`: 18 announces the pre-negotiated data channels.
pub const SERVER_PROTOCOL: i32 = 18;

/// Random bytes of the media trailer, which nothing here uses; clients want some.
const SIF_TRAILER_LEN: usize = 16;

/// Who wants to come in, by its token and its join request. The token has been checked.
#[derive(Debug, Clone, Default)]
pub struct Join {
    /// Who it is, not empty.
    pub identity: String,
    /// A name for display.
    pub name: String,
    /// What the application stored with it.
    pub metadata: String,
    /// What the application stored with it.
    pub attributes: BTreeMap<String, String>,
    /// What it may do.
    pub grants: Grants,
    /// LiveKit `ParticipantInfo.Kind`.
    pub kind: i32,
    /// LiveKit `ParticipantInfo.KindDetail`.
    pub kind_details: Vec<i32>,
    /// What the client said about itself.
    pub client: proto::ClientInfo,
    /// The connections that it wants, which is a matter of how it came in.
    pub layout: Layout,
    /// The first offer, when the join request had one.
    pub offer: Option<proto::SessionDescription>,
}

/// Why a participant may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The room's `max_participants` are there.
    #[error("the room is full: it takes {limit} participants")]
    Full {
        /// The limit.
        limit: usize,
    },
}

/// The answer to a client that wants to resume a session which this server does not have: join anew.
pub fn resume_refusal() -> proto::SignalResponse {
    let leave = leave_message(DisconnectReason::StateMismatch, LeaveAction::Reconnect);
    proto::SignalResponse { message: Some(Response::Leave(leave)) }
}

impl Room {
    /// Lets a participant in. Its join response is the next signal to it, the offer of the join request follows. An
    /// older session of the same identity ends with `DUPLICATE_IDENTITY`.
    ///
    /// # Errors
    /// When the room is full; somebody who is in already may replace itself.
    pub fn join(&mut self, now: Instant, peer: PeerKey, join: Join) -> Result<(), JoinError> {
        self.timeout = None;
        let before = self.by_identity.get(join.identity.as_str()).copied();
        let limit = self.config.max_participants;
        if before.is_none() && limit > 0 && self.participants.len() >= limit {
            return Err(JoinError::Full { limit });
        }
        let replaced = before.map(|before| self.replaced_infos(before)).unwrap_or_default();
        if let Some(before) = before {
            self.disconnect(now, before, DisconnectReason::DuplicateIdentity, LeaveAction::Disconnect);
        }

        let identity: Arc<str> = join.identity.into();
        let participant = Participant {
            sid: ParticipantSid::from_random((self.random)()),
            identity: identity.clone(),
            name: join.name,
            metadata: join.metadata,
            attributes: join.attributes,
            grants: join.grants,
            kind: join.kind,
            kind_details: join.kind_details,
            client: join.client,
            layout: join.layout,
            state: State::Joining,
            has_signal: true,
            joined_at_ms: self.unix_ms(now),
            join_timeout: now + self.config.join_timeout,
            version: 1,
            next_token: now + TOKEN_REFRESH,
            tracks: BTreeMap::new(),
            track_names: BTreeSet::new(),
            rule: SubscriptionRule::Everybody,
            blobs: Blobs::default(),
            quality: Default::default(),
            last_reliable: 0,
            subscriptions: BTreeMap::new(),
            handles: BTreeMap::new(),
            // As LiveKit's server: a value that differs from session to session shows mix-ups early.
            last_handle: u16::from((self.random)() as u8),
            handles_sent: None,
            handles_due: None,
            next_forget: None,
        };
        let response = self.join_response(&participant);
        let makes_offer = response.subscriber_primary;
        let claims = participant.claims();
        self.participants.insert(peer, participant);
        self.by_identity.insert(identity, peer);
        self.empty_since = None;
        self.is_finished = false;

        self.send(peer, Response::Join(response));
        if makes_offer {
            self.output.push_back(Output::Transport { peer, command: TransportCommand::MakeOffer });
        }
        if let Some(offer) = join.offer {
            let command = TransportCommand::Offer { sdp: offer.sdp, id: offer.id };
            self.output.push_back(Output::Transport { peer, command });
        }
        self.output.push_back(Output::RefreshToken { peer, claims });
        self.joined(now, peer);
        self.replaced(now, peer, replaced);
        Ok(())
    }

    fn join_response(&mut self, participant: &Participant) -> proto::JoinResponse {
        let others = self.participants.values().filter(|other| !other.grants.hidden);
        proto::JoinResponse {
            room: Some(self.room_info()),
            participant: Some(participant.info()),
            other_participants: others.map(Participant::info).collect(),
            server_version: self.config.server.version.clone(),
            // None: clients that find public STUN servers here would ask them, also where there is no Internet.
            ice_servers: Vec::new(),
            subscriber_primary: participant.has_subscriber_connection(),
            alternative_url: String::new(),
            client_configuration: None,
            server_region: self.config.server.region.clone(),
            ping_timeout: self.config.ping_timeout.as_secs().clamp(2, 3600) as i32,
            ping_interval: self.config.ping_interval.as_secs().clamp(1, 3600) as i32,
            server_info: Some(self.config.server.clone()),
            sif_trailer: (self.random)().to_be_bytes()[..SIF_TRAILER_LEN].to_vec(),
            enabled_publish_codecs: Vec::new(),
            fast_publish: true,
        }
    }

    pub(super) fn room_info(&self) -> proto::Room {
        proto::Room {
            sid: self.sid.as_str().to_owned(),
            name: self.config.name.clone(),
            metadata: self.metadata.clone(),
            empty_timeout: 300,
            departure_timeout: self.config.departure_timeout.as_secs() as u32,
            max_participants: self.config.max_participants as u32,
            creation_time: self.config.unix_ms / 1000,
            creation_time_ms: self.config.unix_ms,
            num_participants: self.updates.num_participants(),
            num_publishers: self.updates.num_publishers(),
            ..proto::Room::default()
        }
    }
}
