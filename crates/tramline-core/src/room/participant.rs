//! One participant, as the room keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use tramline_wire::{ParticipantSid, TrackHandle, TrackSid};

use super::blobs::Blobs;
use super::output::Claims;
use super::permission::SubscriptionRule;
use super::subscribe::Subscription;
use crate::layout::Layout;
use crate::leave::DisconnectReason;
use crate::session::ConnectionQuality;

/// What a participant may do (LiveKit `VideoGrant`, resolved).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grants {
    /// Receive the tracks of others.
    pub can_subscribe: bool,
    /// Publish media; data only when the next field says so.
    pub can_publish: bool,
    /// Publish data tracks and send data packets.
    pub can_publish_data: bool,
    /// Change its own name, metadata and attributes.
    pub can_update_own_metadata: bool,
    /// Others do not see it.
    pub hidden: bool,
    /// It records: restrictions of publishers do not apply to it.
    pub recorder: bool,
    /// Receive the metrics that clients send.
    pub can_subscribe_metrics: bool,
}

impl Default for Grants {
    /// What a token without any of these fields gives.
    fn default() -> Self {
        Self {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            can_update_own_metadata: false,
            hidden: false,
            recorder: false,
            can_subscribe_metrics: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Joining,
    Active,
}

#[derive(Debug)]
pub(super) struct Participant {
    pub(super) sid: ParticipantSid,
    pub(super) identity: Arc<str>,
    pub(super) name: String,
    pub(super) metadata: String,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) grants: Grants,
    pub(super) kind: i32,
    pub(super) kind_details: Vec<i32>,
    pub(super) client: proto::ClientInfo,
    pub(super) layout: Layout,
    pub(super) state: State,
    pub(super) has_signal: bool,
    pub(super) joined_at_ms: i64,
    pub(super) join_timeout: Instant,
    pub(super) version: u32,
    pub(super) next_token: Instant,

    /// What it publishes, by its own handles.
    pub(super) tracks: BTreeMap<TrackHandle, proto::DataTrackInfo>,
    pub(super) track_names: BTreeSet<String>,
    pub(super) rule: SubscriptionRule,
    pub(super) blobs: Blobs,
    pub(super) quality: ConnectionQuality,
    /// The number of its last reliable packet.
    pub(super) last_reliable: u32,

    /// What it subscribes to.
    pub(super) subscriptions: BTreeMap<TrackSid, Subscription>,
    /// The handles that it was given, live ones only.
    pub(super) handles: BTreeMap<TrackHandle, TrackSid>,
    pub(super) last_handle: u16,
    pub(super) handles_sent: Option<Instant>,
    /// When the handle map must be sent.
    pub(super) handles_due: Option<Instant>,
    /// The earliest time at which a pending subscription is forgotten.
    pub(super) next_forget: Option<Instant>,
}

impl Participant {
    /// Whether the server offers it a connection of its own to receive on. Who may not subscribe gets none, also when that changes
    /// later: clients take the word of the join response for the whole session.
    pub(super) fn has_subscriber_connection(&self) -> bool {
        self.layout == Layout::Dual
            && self.grants.can_subscribe
            && self.client.protocol > PUBLISHER_ONLY_UNTIL
    }

    /// Its complete entry in updates.
    pub(super) fn info(&self) -> proto::ParticipantInfo {
        proto::ParticipantInfo {
            sid: self.sid.as_str().to_owned(),
            identity: self.identity.to_string(),
            state: match self.state {
                State::Joining => proto::participant_info::State::Joining,
                State::Active => proto::participant_info::State::Active,
            } as i32,
            tracks: Vec::new(),
            metadata: self.metadata.clone(),
            joined_at: self.joined_at_ms / 1000,
            joined_at_ms: self.joined_at_ms,
            name: self.name.clone(),
            version: self.version,
            permission: Some(self.permission()),
            region: String::new(),
            is_publisher: !self.tracks.is_empty(),
            kind: self.kind,
            attributes: self.attributes.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            disconnect_reason: 0,
            kind_details: self.kind_details.clone(),
            data_tracks: self.tracks.values().cloned().collect(),
            client_protocol: self.client.client_protocol,
            capabilities: self.client.capabilities.clone(),
        }
    }

    /// Its last entry.
    pub(super) fn departed_info(&self, reason: DisconnectReason) -> proto::ParticipantInfo {
        proto::ParticipantInfo {
            state: proto::participant_info::State::Disconnected as i32,
            version: self.version + 1,
            data_tracks: Vec::new(),
            disconnect_reason: reason.to_wire(),
            ..self.info()
        }
    }

    #[allow(deprecated, reason = "clients still read the deprecated fields")]
    fn permission(&self) -> proto::ParticipantPermission {
        proto::ParticipantPermission {
            can_subscribe: self.grants.can_subscribe,
            can_publish: self.grants.can_publish,
            can_publish_data: self.grants.can_publish_data,
            hidden: self.grants.hidden,
            recorder: self.grants.recorder,
            can_update_metadata: self.grants.can_update_own_metadata,
            can_subscribe_metrics: self.grants.can_subscribe_metrics,
            ..proto::ParticipantPermission::default()
        }
    }

    pub(super) fn claims(&self) -> Claims {
        Claims {
            identity: self.identity.clone(),
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            attributes: self.attributes.clone(),
            grants: self.grants,
        }
    }

    pub(super) fn join_deadline(&self) -> Option<Instant> {
        (self.state == State::Joining).then_some(self.join_timeout)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.join_deadline(), Some(self.next_token), self.handles_due, self.next_forget];
        timers.into_iter().flatten().min()
    }
}

/// Clients up to this protocol number know no connection but their own.
const PUBLISHER_ONLY_UNTIL: i32 = 2;
