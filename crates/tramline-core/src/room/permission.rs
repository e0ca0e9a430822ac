//! Whom a publisher lets subscribe to what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use livekit_protocol as proto;
use tramline_wire::TrackSid;

use super::Room;
use super::participant::Participant;
use crate::forward::PeerKey;

/// A publisher's `SubscriptionPermission`.
#[derive(Debug, Default)]
pub(super) enum SubscriptionRule {
    /// Whoever may subscribe at all.
    #[default]
    Everybody,
    /// Only these, by identity and by SID.
    Some { identities: BTreeMap<String, Allowed>, sids: BTreeMap<String, Allowed> },
}

#[derive(Debug, Default)]
pub(super) struct Allowed {
    all: bool,
    tracks: BTreeSet<String>,
}

impl SubscriptionRule {
    fn from_wire(request: proto::SubscriptionPermission) -> Self {
        if request.all_participants {
            return Self::Everybody;
        }
        let (mut identities, mut sids) =
            (BTreeMap::<String, Allowed>::new(), BTreeMap::<String, Allowed>::new());
        for permission in request.track_permissions {
            let allowed = if permission.participant_identity.is_empty() {
                sids.entry(permission.participant_sid).or_default()
            } else {
                identities.entry(permission.participant_identity).or_default()
            };
            allowed.all |= permission.all_tracks;
            allowed.tracks.extend(permission.track_sids);
        }
        Self::Some { identities, sids }
    }

    pub(super) fn allows(&self, subscriber: &Participant, track: &TrackSid) -> bool {
        match self {
            Self::Everybody => true,
            Self::Some { .. } if subscriber.grants.recorder => true,
            Self::Some { identities, sids } => {
                let found = [identities.get(&*subscriber.identity), sids.get(subscriber.sid.as_str())];
                found
                    .into_iter()
                    .flatten()
                    .any(|allowed| allowed.all || allowed.tracks.contains(track.as_str()))
            }
        }
    }
}

impl Room {
    /// Applies a publisher's new rule to the subscriptions that there are.
    pub(super) fn handle_subscription_permission(
        &mut self,
        now: Instant,
        peer: PeerKey,
        request: proto::SubscriptionPermission,
    ) {
        let Some(publisher) = self.participants.get_mut(&peer) else { return };
        publisher.rule = SubscriptionRule::from_wire(request);
        let tracks: Vec<TrackSid> =
            publisher.tracks.values().filter_map(|info| TrackSid::try_from(info.sid.as_str()).ok()).collect();
        for track in tracks {
            let subscribers: Vec<PeerKey> =
                self.subscribers.get(&track).into_iter().flatten().copied().collect();
            for subscriber in subscribers {
                self.reconcile(now, subscriber, &track);
            }
        }
    }
}
