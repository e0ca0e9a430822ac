//! Who is in the room: the session's differences become handles and events.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tramline_core::{
    session::{ConnectionQuality, Joined, Participant as Snapshot, RoomInfo},
    track::TrackInfo,
};
use tramline_wire::TrackSid;

use crate::{
    DisconnectReason,
    event::{EventQueue, RoomEvent},
    link::{Link, lock},
    participant::{LocalParticipant, Participant, ParticipantIdentity, RemoteParticipant},
    remote_track::{RemoteDataTrack, RemoteTrack},
    room::Roster,
    sender::PacketSender,
    track_info::DataTrackInfo,
};

/// Keeps the roster and tells its changes.
pub(super) struct Members {
    roster: Option<Arc<Roster>>,
    tracks: HashMap<TrackSid, RemoteDataTrack>,
    events: Arc<EventQueue>,
    link: Link,
    sender: Arc<PacketSender>,
}

impl Members {
    pub(super) fn new(events: Arc<EventQueue>, link: Link, sender: Arc<PacketSender>) -> Self {
        Self { roster: None, tracks: HashMap::new(), events, link, sender }
    }

    /// What the room's handle sees; there is none before the join.
    pub(super) fn roster(&self) -> Option<&Arc<Roster>> {
        self.roster.as_ref()
    }

    pub(super) fn remote(&self, identity: &str) -> Option<RemoteParticipant> {
        lock(&self.roster.as_ref()?.remotes).get(identity).cloned()
    }

    pub(super) fn track(&self, sid: &TrackSid) -> Option<&RemoteDataTrack> {
        self.tracks.get(sid)
    }

    pub(super) fn handle_joined(&mut self, joined: Joined) {
        let mut remotes = HashMap::new();
        for (snapshot, _) in &joined.others {
            let participant = RemoteParticipant::new(Arc::clone(snapshot));
            remotes.insert(participant.identity(), participant);
        }
        let remotes = Arc::new(Mutex::new(remotes));
        let (link, sender) = (self.link.clone(), Arc::clone(&self.sender));
        self.roster = Some(Arc::new(Roster {
            local: LocalParticipant::new(joined.local, link, sender, Arc::clone(&remotes)),
            remotes,
            room: Mutex::new(joined.room),
            is_connected: AtomicBool::new(true),
        }));
        for (publisher, tracks) in joined.others {
            for track in tracks {
                self.handle_track_published(&publisher, track);
            }
        }
    }

    pub(super) fn handle_participant_joined(&mut self, snapshot: Arc<Snapshot>) {
        let Some(roster) = &self.roster else { return };
        let participant = RemoteParticipant::new(snapshot);
        lock(&roster.remotes).insert(participant.identity(), participant.clone());
        self.events.push(RoomEvent::ParticipantConnected(participant));
    }

    pub(super) fn handle_participant_changed(&mut self, before: &Snapshot, after: Arc<Snapshot>) {
        let Some(roster) = &self.roster else { return };
        let participant = if roster.local.identity().as_str() == &*after.identity {
            roster.local.show(Arc::clone(&after));
            Participant::Local(roster.local.clone())
        } else {
            let Some(participant) = lock(&roster.remotes).get(&*after.identity).cloned() else { return };
            participant.update(Arc::clone(&after));
            Participant::Remote(participant)
        };
        if !before.is_active
            && after.is_active
            && let Participant::Remote(participant) = &participant
        {
            self.events.push(RoomEvent::ParticipantActive(participant.clone()));
        }
        if before.name != after.name {
            self.events.push(RoomEvent::ParticipantNameChanged {
                participant: participant.clone(),
                old_name: before.name.clone(),
                name: after.name.clone(),
            });
        }
        if before.metadata != after.metadata {
            self.events.push(RoomEvent::ParticipantMetadataChanged {
                participant: participant.clone(),
                old_metadata: before.metadata.clone(),
                metadata: after.metadata.clone(),
            });
        }
        let changed_attributes = changes(&before.attributes, &after.attributes);
        if !changed_attributes.is_empty() {
            self.events.push(RoomEvent::ParticipantAttributesChanged {
                participant: participant.clone(),
                changed_attributes,
            });
        }
        if before.permissions != after.permissions {
            self.events.push(RoomEvent::ParticipantPermissionsChanged { participant });
        }
    }

    pub(super) fn handle_quality(&mut self, snapshot: &Snapshot, quality: ConnectionQuality) {
        let Some(roster) = &self.roster else { return };
        let participant = if roster.local.identity().as_str() == &*snapshot.identity {
            Some(Participant::Local(roster.local.clone()))
        } else {
            self.remote(&snapshot.identity).map(Participant::Remote)
        };
        if let Some(participant) = participant
            && participant.set_quality(quality)
        {
            self.events.push(RoomEvent::ConnectionQualityChanged { quality, participant });
        }
    }

    pub(super) fn handle_moved(&mut self, room: RoomInfo) {
        let Some(roster) = &self.roster else { return };
        *lock(&roster.room) = room.clone();
        self.events.push(RoomEvent::Moved { room });
    }

    pub(super) fn handle_participant_left(&mut self, snapshot: &Snapshot, reason: DisconnectReason) {
        let Some(roster) = &self.roster else { return };
        if let Some(participant) = lock(&roster.remotes).remove(&*snapshot.identity) {
            participant.set_disconnected(reason);
            self.events.push(RoomEvent::ParticipantDisconnected(participant));
        }
    }

    pub(super) fn handle_track_published(&mut self, publisher: &Snapshot, info: Arc<TrackInfo>) {
        let identity = ParticipantIdentity::from(Arc::clone(&publisher.identity));
        let track = RemoteTrack::new(DataTrackInfo(info), identity);
        let track = RemoteDataTrack::new(Arc::new(track), self.link.clone());
        self.tracks.insert(track.info().sid().clone(), track.clone());
        self.with_publisher(&track, |publisher, track| publisher.add_track(track.clone()));
        self.events.push(RoomEvent::DataTrackPublished(track));
    }

    pub(super) fn handle_track_unpublished(&mut self, sid: &TrackSid) {
        let Some(track) = self.tracks.remove(sid) else { return };
        track.state().set_unpublished();
        self.with_publisher(&track, |publisher, track| publisher.remove_track(track.info().sid()));
        self.events.push(RoomEvent::DataTrackUnpublished(track));
    }

    pub(super) fn handle_room_changed(&mut self, room: RoomInfo) {
        let Some(roster) = &self.roster else { return };
        let before = std::mem::replace(&mut *lock(&roster.room), room.clone());
        let mut others = room.clone();
        others.metadata.clone_from(&before.metadata);
        if others != before {
            self.events.push(RoomEvent::RoomUpdated);
        }
        if before.metadata != room.metadata {
            self.events.push(RoomEvent::RoomMetadataChanged {
                old_metadata: before.metadata,
                metadata: room.metadata,
            });
        }
    }

    /// The session is over: who was there may still be there, but nothing of theirs can be had.
    pub(super) fn end(&mut self) {
        for track in self.tracks.values() {
            track.state().set_unpublished();
        }
        if let Some(roster) = &self.roster {
            roster.is_connected.store(false, Ordering::Release);
        }
    }

    fn with_publisher(&self, track: &RemoteDataTrack, f: impl FnOnce(&RemoteParticipant, &RemoteDataTrack)) {
        let Some(roster) = &self.roster else { return };
        if let Some(publisher) = lock(&roster.remotes).get(track.publisher_identity()) {
            f(publisher, track);
        }
    }
}

impl Drop for Members {
    /// Nobody waits for ever for a driver that has panicked.
    fn drop(&mut self) {
        self.end();
        let detail = "the room's thread ended unexpectedly; its report is on standard error".to_owned();
        // Without effect when the end has been told already.
        self.events.push(RoomEvent::Disconnected { reason: DisconnectReason::Unknown, detail });
    }
}

/// What was added, changed or, with an empty value, removed.
fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    let removed = before.keys().filter(|key| !after.contains_key(*key));
    changed
        .map(|(key, value)| (key.clone(), value.clone()))
        .chain(removed.map(|key| (key.clone(), String::new())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_even_by_a_driver_that_dies() {
        let events = Arc::new(EventQueue::new(8, 1 << 20));
        let link = Link::new().0;
        let sender = Arc::new(PacketSender::new(link.clone(), None));
        drop(Members::new(Arc::clone(&events), link, sender));
        let end = events.try_next();
        assert!(
            matches!(end, Some(RoomEvent::Disconnected { reason: DisconnectReason::Unknown, .. })),
            "{end:?}"
        );
        assert_eq!(events.try_next(), None);
    }

    #[test]
    fn attributes_that_were_added_changed_and_removed_are_told() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let (before, after) =
            (map(&[("a", "1"), ("b", "2"), ("c", "3")]), map(&[("a", "1"), ("b", "9"), ("d", "4")]));
        assert_eq!(changes(&before, &after), map(&[("b", "9"), ("c", ""), ("d", "4")]));
        assert!(changes(&after, &after).is_empty());
    }
}
