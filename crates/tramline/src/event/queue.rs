//! Events that wait for their reader: bounded by merging, not by forgetting.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use tramline_wire::{ParticipantSid, TrackSid};

use prost::Message as _;

use super::RoomEvent;
use crate::{link::lock, participant::ParticipantIdentity};

/// The queue between the driver and [`RoomEvents`](super::RoomEvents).
///
/// Above its capacity it is bounded by what exists: at most a few events for each participant and track that the reader knows or that is in the
/// room now.
#[derive(Debug)]
pub(crate) struct EventQueue {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    events: VecDeque<RoomEvent>,
    capacity: usize,
    /// Merge when this many wait. Grows when merging did not help, so that it is not tried again for each event.
    merge_at: usize,
    lost: u64,
    /// What the waiting packets hold, and how much they may.
    packet_bytes: usize,
    packet_capacity: usize,
    waker: Option<Waker>,
    /// The reader is gone.
    is_stopped: bool,
    /// `Disconnected` was queued; nothing follows.
    is_complete: bool,
}

impl EventQueue {
    pub(crate) fn new(capacity: usize, packet_capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            state: Mutex::new(State {
                events: VecDeque::new(),
                capacity,
                merge_at: capacity,
                lost: 0,
                packet_bytes: 0,
                packet_capacity,
                waker: None,
                is_stopped: false,
                is_complete: false,
            }),
        }
    }

    pub(crate) fn push(&self, event: RoomEvent) {
        let mut state = lock(&self.state);
        if state.is_stopped || state.is_complete {
            return;
        }
        state.is_complete = matches!(event, RoomEvent::Disconnected { .. });
        if state.events.len() >= state.merge_at {
            state.merge();
            state.merge_at = state.capacity.max(2 * state.events.len());
        }
        state.packet_bytes += weight(&event);
        state.events.push_back(event);
        state.drop_packets();
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    pub(crate) fn try_next(&self) -> Option<RoomEvent> {
        lock(&self.state).pop()
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<RoomEvent>> {
        let mut state = lock(&self.state);
        if let Some(event) = state.pop() {
            return Poll::Ready(Some(event));
        }
        if state.is_complete {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.is_stopped = true;
        state.events.clear();
        state.packet_bytes = 0;
        state.waker = None;
    }
}

impl State {
    fn pop(&mut self) -> Option<RoomEvent> {
        if self.lost > 0 {
            return Some(RoomEvent::EventsLost { count: std::mem::take(&mut self.lost) });
        }
        let event = self.events.pop_front();
        self.packet_bytes -= event.as_ref().map_or(0, weight);
        if self.events.len() < self.capacity {
            self.merge_at = self.capacity;
        }
        event
    }

    /// Beyond their capacity the oldest packets go, more than necessary so that it is not done for each.
    fn drop_packets(&mut self) {
        if self.packet_bytes <= self.packet_capacity {
            return;
        }
        let before = self.events.len();
        let (bytes, target) = (&mut self.packet_bytes, self.packet_capacity / 4 * 3);
        self.events.retain(|event| {
            let weight = weight(event);
            let goes = weight > 0 && *bytes > target;
            if goes {
                *bytes -= weight;
            }
            !goes
        });
        self.lost += (before - self.events.len()) as u64;
    }

    fn merge(&mut self) {
        let before = self.events.len();
        self.leave_out_what_came_and_went();
        self.lost += (before - self.events.len()) as u64;
        self.join_changes();
    }

    fn leave_out_what_came_and_went(&mut self) {
        let (mut came, mut gone) = (HashSet::new(), HashSet::new());
        for event in &self.events {
            match event {
                RoomEvent::ParticipantConnected(participant) => {
                    came.insert(Thing::Participant(participant.sid()));
                }
                RoomEvent::DataTrackPublished(track) => {
                    came.insert(Thing::Track(track.info().sid().clone()));
                }
                RoomEvent::ParticipantDisconnected(participant) => {
                    let thing = Thing::Participant(participant.sid());
                    if came.contains(&thing) {
                        gone.insert(thing);
                    }
                }
                RoomEvent::DataTrackUnpublished(track) => {
                    let thing = Thing::Track(track.info().sid().clone());
                    if came.contains(&thing) {
                        gone.insert(thing);
                    }
                }
                _ => {}
            }
        }
        if !gone.is_empty() {
            self.events.retain(|event| subject(event).is_none_or(|thing| !gone.contains(&thing)));
        }
    }

    /// Of several changes of one value the last one stays, with the value from before the first.
    fn join_changes(&mut self) {
        let mut later: HashMap<Change, usize> = HashMap::new();
        let mut kept: Vec<RoomEvent> = Vec::with_capacity(self.events.len());
        // From the back, so that the last change keeps its place after whatever it followed.
        while let Some(event) = self.events.pop_back() {
            match change(&event) {
                Some(change) => match later.get(&change) {
                    Some(&index) => absorb(&mut kept[index], event),
                    None => {
                        later.insert(change, kept.len());
                        kept.push(event);
                    }
                },
                None => kept.push(event),
            }
        }
        self.events.extend(kept.into_iter().rev());
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Thing {
    Participant(ParticipantSid),
    Track(TrackSid),
}

/// What an event is about, if that can come and go.
fn subject(event: &RoomEvent) -> Option<Thing> {
    match event {
        RoomEvent::ParticipantConnected(participant)
        | RoomEvent::ParticipantActive(participant)
        | RoomEvent::ParticipantDisconnected(participant) => Some(Thing::Participant(participant.sid())),
        RoomEvent::ParticipantMetadataChanged { participant, .. }
        | RoomEvent::ParticipantNameChanged { participant, .. }
        | RoomEvent::ParticipantAttributesChanged { participant, .. }
        | RoomEvent::ParticipantPermissionsChanged { participant }
        | RoomEvent::ConnectionQualityChanged { participant, .. } => {
            Some(Thing::Participant(participant.sid()))
        }
        RoomEvent::DataTrackPublished(track)
        | RoomEvent::DataTrackUnpublished(track)
        | RoomEvent::DecryptionFailed { track, .. }
        | RoomEvent::KeyRatcheted { track, .. } => Some(Thing::Track(track.info().sid().clone())),
        RoomEvent::LocalDataTrackUnpublished(_)
        | RoomEvent::RoomMetadataChanged { .. }
        | RoomEvent::RoomUpdated
        | RoomEvent::Moved { .. }
        | RoomEvent::DataReceived { .. }
        | RoomEvent::SipDtmfReceived { .. }
        | RoomEvent::ChatMessage { .. }
        | RoomEvent::TextStreamOpened { .. }
        | RoomEvent::ByteStreamOpened { .. }
        | RoomEvent::StreamHeaderReceived { .. }
        | RoomEvent::StreamChunkReceived { .. }
        | RoomEvent::StreamTrailerReceived { .. }
        | RoomEvent::PacketDecryptionFailed { .. }
        | RoomEvent::TokenRefreshed { .. }
        | RoomEvent::EventsLost { .. }
        | RoomEvent::Disconnected { .. } => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Change {
    Metadata(ParticipantSid),
    Name(ParticipantSid),
    Attributes(ParticipantSid),
    Permissions(ParticipantSid),
    RoomMetadata,
    Room,
    Token,
    Active(ParticipantSid),
    Decryption(TrackSid),
    Ratchet(TrackSid),
    PacketDecryption(ParticipantIdentity),
    Quality(ParticipantSid),
}

/// What an event of a packet holds; 0 for events that say what is.
fn weight(event: &RoomEvent) -> usize {
    let content = match event {
        RoomEvent::DataReceived { payload, topic, .. } => {
            payload.len() + topic.as_ref().map_or(0, String::len)
        }
        RoomEvent::ChatMessage { message, .. } => message.message.len(),
        RoomEvent::SipDtmfReceived { digit, .. } => digit.as_ref().map_or(0, String::len),
        RoomEvent::TextStreamOpened { topic, .. } | RoomEvent::ByteStreamOpened { topic, .. } => {
            topic.len() + 512
        }
        RoomEvent::StreamHeaderReceived { header, .. } => header.encoded_len(),
        RoomEvent::StreamChunkReceived { chunk, .. } => chunk.content.len(),
        RoomEvent::StreamTrailerReceived { trailer, .. } => trailer.encoded_len(),
        _ => return 0,
    };
    content + EVENT_COST
}

/// What an event costs besides its contents, roughly.
const EVENT_COST: usize = 256;

/// The value whose change an event reports.
fn change(event: &RoomEvent) -> Option<Change> {
    match event {
        RoomEvent::ParticipantMetadataChanged { participant, .. } => {
            Some(Change::Metadata(participant.sid()))
        }
        RoomEvent::ParticipantNameChanged { participant, .. } => Some(Change::Name(participant.sid())),
        RoomEvent::ParticipantAttributesChanged { participant, .. } => {
            Some(Change::Attributes(participant.sid()))
        }
        RoomEvent::ParticipantPermissionsChanged { participant } => {
            Some(Change::Permissions(participant.sid()))
        }
        RoomEvent::RoomMetadataChanged { .. } => Some(Change::RoomMetadata),
        RoomEvent::RoomUpdated => Some(Change::Room),
        RoomEvent::TokenRefreshed { .. } => Some(Change::Token),
        RoomEvent::ParticipantActive(participant) => Some(Change::Active(participant.sid())),
        RoomEvent::DecryptionFailed { track, .. } => Some(Change::Decryption(track.info().sid().clone())),
        RoomEvent::KeyRatcheted { track, .. } => Some(Change::Ratchet(track.info().sid().clone())),
        RoomEvent::ConnectionQualityChanged { participant, .. } => Some(Change::Quality(participant.sid())),
        RoomEvent::PacketDecryptionFailed { participant_identity, .. } => {
            Some(Change::PacketDecryption(participant_identity.clone()))
        }
        _ => None,
    }
}

/// Makes `later` tell what `earlier` told as well.
fn absorb(later: &mut RoomEvent, earlier: RoomEvent) {
    use RoomEvent::*;
    match (later, earlier) {
        (
            ParticipantMetadataChanged { old_metadata, .. } | RoomMetadataChanged { old_metadata, .. },
            ParticipantMetadataChanged { old_metadata: oldest, .. }
            | RoomMetadataChanged { old_metadata: oldest, .. },
        ) => *old_metadata = oldest,
        (ParticipantNameChanged { old_name, .. }, ParticipantNameChanged { old_name: oldest, .. }) => {
            *old_name = oldest
        }
        (
            ParticipantAttributesChanged { changed_attributes, .. },
            ParticipantAttributesChanged { changed_attributes: before, .. },
        ) => {
            for (key, value) in before {
                changed_attributes.entry(key).or_insert(value);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
