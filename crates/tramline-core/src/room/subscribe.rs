//! Subscriptions: who wants which track, under which handle.

use std::time::Instant;

use livekit_protocol as proto;
use proto::data_track_subscriber_handles::PublishedDataTrack;
use proto::signal_response::Message as Response;
use tramline_wire::{TrackHandle, TrackSid};

use super::Room;
use super::output::Output;
use super::participant::Participant;
use crate::forward::{PeerKey, Route};

/// One participant's interest in one SID.
///
/// ```text
///            ┌──── the track is there ────▶ Live ◀─── allowed again ───┐
/// Pending ───┤                               └─── not allowed ──▶ Refused
///            └──── one minute ────▶ gone        the track ends: gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscription {
    /// There is no such track, or the participant may not subscribe at all.
    Pending { forget: Instant },
    /// The publisher does not allow it; it may change its mind.
    Refused,
    /// The handle is given, and once the participant has been told (`routed`), packets flow.
    Live { handle: TrackHandle, routed: bool },
}

impl Room {
    /// `UpdateDataSubscription`: never answered with an error, only with the handle map.
    pub(super) fn handle_subscription(
        &mut self,
        now: Instant,
        peer: PeerKey,
        request: proto::UpdateDataSubscription,
    ) {
        for update in request.updates {
            let Ok(track) = TrackSid::try_from(update.track_sid) else {
                self.counters.malformed += 1;
                continue;
            };
            if update.subscribe {
                self.subscribe(now, peer, track);
            } else {
                self.unsubscribe(now, peer, &track);
            }
        }
    }

    fn subscribe(&mut self, now: Instant, peer: PeerKey, track: TrackSid) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if !participant.subscriptions.contains_key(&track) {
            if participant.subscriptions.len() >= self.config.max_subscriptions {
                self.counters.over_limit += 1;
                return;
            }
            participant.subscriptions.insert(track.clone(), Subscription::Pending { forget: now });
            self.subscribers.entry(track.clone()).or_default().insert(peer);
        }
        // Asking again starts the minute again.
        if let Some(Subscription::Pending { forget }) = participant.subscriptions.get_mut(&track) {
            let at = now + self.config.pending_timeout;
            *forget = at;
            participant.next_forget = Some(participant.next_forget.map_or(at, |next| next.min(at)));
        }
        self.reconcile(now, peer, &track);
    }

    fn unsubscribe(&mut self, now: Instant, peer: PeerKey, track: &TrackSid) {
        if let Some(subscribers) = self.subscribers.get_mut(track) {
            subscribers.remove(&peer);
            if subscribers.is_empty() {
                self.subscribers.remove(track);
            }
        }
        self.end_subscription(now, peer, track);
    }

    /// Brings one subscription to what it should be by the tracks and permissions of this moment.
    pub(super) fn reconcile(&mut self, now: Instant, peer: PeerKey, track: &TrackSid) {
        let Some(subscriber) = self.participants.get(&peer) else { return };
        let Some(current) = subscriber.subscriptions.get(track).copied() else { return };
        let Some((owner, pub_handle)) = self.tracks.get(track).copied() else { return };
        let Some(publisher) = self.participants.get(&owner) else { return };
        // Nothing may be learnt about hidden participants, and a participant's own packets never come back to it.
        if !subscriber.grants.can_subscribe || publisher.grants.hidden || owner == peer {
            return;
        }
        let allowed = publisher.rule.allows(subscriber, track);
        let publisher_sid = publisher.sid.as_str().to_owned();
        let permission = |allowed| {
            let track_sid = track.as_str().to_owned();
            let participant_sid = publisher_sid.clone();
            proto::SubscriptionPermissionUpdate { participant_sid, track_sid, allowed }
        };
        match current {
            Subscription::Live { handle, .. } if !allowed => {
                self.set_subscription(peer, track, Subscription::Refused);
                self.drop_route(peer, handle, Some((owner, pub_handle)));
                self.handles_changed(now, peer);
                self.send(peer, Response::SubscriptionPermissionUpdate(permission(false)));
            }
            Subscription::Pending { .. } if !allowed => {
                self.set_subscription(peer, track, Subscription::Refused);
                self.send(peer, Response::SubscriptionPermissionUpdate(permission(false)));
            }
            Subscription::Pending { .. } | Subscription::Refused if allowed => {
                let Some(participant) = self.participants.get_mut(&peer) else { return };
                let Some(handle) = free_handle(participant) else {
                    self.counters.over_limit += 1;
                    return;
                };
                participant.handles.insert(handle, track.clone());
                self.set_subscription(peer, track, Subscription::Live { handle, routed: false });
                self.handles_changed(now, peer);
                if current == Subscription::Refused {
                    self.send(peer, Response::SubscriptionPermissionUpdate(permission(true)));
                }
            }
            Subscription::Live { .. } | Subscription::Pending { .. } | Subscription::Refused => {}
        }
    }

    /// Tries the subscriptions that wait, because what `peer` may do has changed.
    pub(super) fn retry_pending(&mut self, now: Instant, peer: PeerKey) {
        let Some(participant) = self.participants.get(&peer) else { return };
        let waiting = |s: &Subscription| matches!(s, Subscription::Pending { .. } | Subscription::Refused);
        let tracks: Vec<TrackSid> = participant
            .subscriptions
            .iter()
            .filter(|(_, subscription)| waiting(subscription))
            .map(|(track, _)| track.clone())
            .collect();
        for track in tracks {
            self.reconcile(now, peer, &track);
        }
    }

    /// Takes a subscription out of its participant. The caller has taken it out of `subscribers`.
    pub(super) fn end_subscription(&mut self, now: Instant, peer: PeerKey, track: &TrackSid) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if let Some(Subscription::Live { handle, .. }) = participant.subscriptions.remove(track) {
            let published = self.tracks.get(track).copied();
            self.drop_route(peer, handle, published);
            self.handles_changed(now, peer);
        }
    }

    /// Ends all subscriptions of a participant.
    pub(super) fn drop_subscriptions(&mut self, peer: PeerKey) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        for (track, subscription) in std::mem::take(&mut participant.subscriptions) {
            if let Some(subscribers) = self.subscribers.get_mut(&track) {
                subscribers.remove(&peer);
                if subscribers.is_empty() {
                    self.subscribers.remove(&track);
                }
            }
            if let Subscription::Live { handle, .. } = subscription {
                let published = self.tracks.get(&track).copied();
                self.drop_route(peer, handle, published);
            }
        }
    }

    fn drop_route(
        &mut self,
        subscriber: PeerKey,
        handle: TrackHandle,
        published: Option<(PeerKey, TrackHandle)>,
    ) {
        if let Some((publisher, pub_handle)) = published {
            self.forwarding.remove_route(publisher, pub_handle, subscriber);
        }
        if let Some(participant) = self.participants.get_mut(&subscriber) {
            participant.handles.remove(&handle);
        }
        self.output.push_back(Output::RouteRemoved { subscriber, handle });
    }

    fn set_subscription(&mut self, peer: PeerKey, track: &TrackSid, to: Subscription) {
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.subscriptions.insert(track.clone(), to);
        }
    }

    /// The handle map of `peer` must be sent: at once, or when the last one is as old as the update interval.
    pub(super) fn handles_changed(&mut self, now: Instant, peer: PeerKey) {
        if let Some(participant) = self.participants.get_mut(&peer) {
            let earliest =
                participant.handles_sent.map_or(now, |sent| now.max(sent + self.config.update_interval));
            participant.handles_due.get_or_insert(earliest);
        }
    }

    /// Sends the maps that are due; what a map announces is forwarded from then on.
    pub(super) fn flush_handles(&mut self, now: Instant) {
        let due = |participant: &Participant| participant.handles_due.is_some_and(|at| at <= now);
        let peers: Vec<PeerKey> =
            self.participants.iter().filter(|(_, p)| due(p)).map(|(peer, _)| *peer).collect();
        for peer in peers {
            let map = self.handle_map(peer);
            self.send(peer, Response::DataTrackSubscriberHandles(map));
            let Some(participant) = self.participants.get_mut(&peer) else { continue };
            participant.handles_due = None;
            participant.handles_sent = Some(now);
            for (track, subscription) in &mut participant.subscriptions {
                if let Subscription::Live { handle, routed: routed @ false } = subscription {
                    *routed = true;
                    let handle = *handle;
                    if let Some((publisher, pub_handle)) = self.tracks.get(track).copied() {
                        self.forwarding.add_route(publisher, pub_handle, Route { subscriber: peer, handle });
                    }
                    self.output.push_back(Output::RouteAdded {
                        subscriber: peer,
                        handle,
                        track: track.clone(),
                    });
                }
            }
        }
    }

    fn handle_map(&self, peer: PeerKey) -> proto::DataTrackSubscriberHandles {
        let entry = |(handle, track): (&TrackHandle, &TrackSid)| {
            let (owner, _) = self.tracks.get(track)?;
            let publisher = self.participants.get(owner)?;
            let published = PublishedDataTrack {
                publisher_identity: publisher.identity.to_string(),
                publisher_sid: publisher.sid.as_str().to_owned(),
                track_sid: track.as_str().to_owned(),
            };
            Some((u32::from(*handle), published))
        };
        let handles = self.participants.get(&peer).map(|participant| &participant.handles);
        let sub_handles = handles.into_iter().flatten().filter_map(entry).collect();
        proto::DataTrackSubscriberHandles { sub_handles }
    }

    pub(super) fn forget_pending(&mut self, now: Instant) {
        for (peer, participant) in &mut self.participants {
            if participant.next_forget.is_none_or(|at| at > now) {
                continue;
            }
            let mut next: Option<Instant> = None;
            participant.subscriptions.retain(|track, subscription| {
                let Subscription::Pending { forget } = subscription else { return true };
                if *forget > now {
                    next = Some(next.map_or(*forget, |next| next.min(*forget)));
                    return true;
                }
                self.counters.forgotten += 1;
                if let Some(subscribers) = self.subscribers.get_mut(track) {
                    subscribers.remove(peer);
                    if subscribers.is_empty() {
                        self.subscribers.remove(track);
                    }
                }
                false
            });
            participant.next_forget = next;
        }
    }
}

/// The next handle that `participant` does not use; numbers come back only after all others.
fn free_handle(participant: &mut Participant) -> Option<TrackHandle> {
    for _ in 0..=usize::from(u16::MAX) {
        participant.last_handle = participant.last_handle.wrapping_add(1);
        if let Some(handle) = TrackHandle::new(participant.last_handle)
            && !participant.handles.contains_key(&handle)
        {
            return Some(handle);
        }
    }
    None
}
