//! What happens in a room, as a struct to look into.

use std::{mem::size_of, ptr};

use sdk::{Participant, RemoteDataTrack, RoomEvent};

use crate::{
    error::guard, fork::Generation, handle::Owned, list::tramline_attributes,
    participant::tramline_participant, remote_track::tramline_remote_track, stats, text::tramline_str,
};

/// What happened. Later versions add kinds: ignore those that you do not know.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_event_kind {
    /// A participant came. Those who were there before are in `tramline_room_remote_participants` from the start. Sets `participant`.
    TRAMLINE_EVENT_PARTICIPANT_CONNECTED = 1,
    /// A participant went; its tracks were reported as unpublished before. Sets `participant`.
    TRAMLINE_EVENT_PARTICIPANT_DISCONNECTED = 2,
    /// Sets `participant`, `old_value` and `value`.
    TRAMLINE_EVENT_PARTICIPANT_METADATA_CHANGED = 3,
    /// Sets `participant`, `old_value` and `value`.
    TRAMLINE_EVENT_PARTICIPANT_NAME_CHANGED = 4,
    /// Sets `participant`, and `attributes` to those that were added or changed, and those that were removed with an empty value.
    TRAMLINE_EVENT_PARTICIPANT_ATTRIBUTES_CHANGED = 5,
    /// What a participant may do changed. Sets `participant`.
    TRAMLINE_EVENT_PARTICIPANT_PERMISSIONS_CHANGED = 6,
    /// A track can be subscribed to. Reported for the tracks that were there before the join as well, first of all. Sets `track`.
    TRAMLINE_EVENT_TRACK_PUBLISHED = 7,
    /// A track is gone; its streams end. Sets `track`.
    TRAMLINE_EVENT_TRACK_UNPUBLISHED = 8,
    /// The server ended a track of this participant, for instance because the permission was revoked. Sets `track_name` and `track_sid`.
    TRAMLINE_EVENT_LOCAL_TRACK_UNPUBLISHED = 9,
    /// The room's metadata changed. Sets `old_value` and `value`.
    TRAMLINE_EVENT_ROOM_METADATA_CHANGED = 10,
    /// `count` events are missing here because they were read too slowly: what they told of has come and gone again meanwhile. What is in
    /// the room now is told completely by the other events.
    TRAMLINE_EVENT_EVENTS_LOST = 11,
    /// The session is over. Comes last. Sets `reason` and `detail`.
    TRAMLINE_EVENT_DISCONNECTED = 12,
    /// A participant's data connection is up: what is sent from now on reaches it. Sets `participant`.
    TRAMLINE_EVENT_PARTICIPANT_ACTIVE = 13,
    /// Frames of an encrypted track cannot be decrypted and are dropped. Told once for each cause, and again when keys have changed. Sets `track`,
    /// `detail`, and `reason` to the `tramline_drop_reason` that they are counted under.
    TRAMLINE_EVENT_DECRYPTION_FAILED = 14,
    /// The publisher of an encrypted track has moved on to a later key of its ratchet, and frames decrypt again. Sets `track`, `reason` to the
    /// index of the key, and `count` to the steps.
    TRAMLINE_EVENT_KEY_RATCHETED = 15,
    /// Something else about the room changed, or only the number of participants: see `tramline_room_read_info`.
    TRAMLINE_EVENT_ROOM_UPDATED = 16,
    /// The server gave a later token, for joining again when this one has expired. Sets `value`.
    TRAMLINE_EVENT_TOKEN_REFRESHED = 17,
}

use tramline_event_kind::*;

/// One event. Everything that it points to belongs to it and is gone with it; clone a handle to keep it. What a kind does not set is null,
/// empty or 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_event {
    /// Size of the struct in the library; a field behind it is not there.
    pub struct_size: usize,
    /// What happened.
    pub kind: tramline_event_kind,
    /// A number whose meaning the kind says; for the end of a session LiveKit's `DisconnectReason`.
    pub reason: i32,
    /// Whom it is about.
    pub participant: *const tramline_participant,
    /// Which track of another participant.
    pub track: *const tramline_remote_track,
    /// Which attributes.
    pub attributes: *const tramline_attributes,
    /// Name of a track of this participant.
    pub track_name: tramline_str,
    /// The server's id of that track.
    pub track_sid: tramline_str,
    /// What it was before.
    pub old_value: tramline_str,
    /// What it is now.
    pub value: tramline_str,
    /// What happened, in words.
    pub detail: tramline_str,
    /// How many.
    pub count: u64,
}

/// An event with what it points to. The view comes first: its address is that of the whole.
#[repr(C)]
pub(crate) struct Event {
    view: tramline_event,
    generation: Generation,
    participant: Option<Box<tramline_participant>>,
    track: Option<Box<tramline_remote_track>>,
    attributes: Option<Box<tramline_attributes>>,
    texts: [String; 2],
    local_track: Option<sdk::DataTrackInfo>,
}

impl Event {
    /// `None` for what this version of the ABI has no kind for.
    pub(crate) fn new(event: RoomEvent) -> Option<Box<Self>> {
        let mut this = Self::empty();
        match event {
            RoomEvent::ParticipantConnected(participant) => {
                this.about(TRAMLINE_EVENT_PARTICIPANT_CONNECTED, Participant::Remote(participant));
            }
            RoomEvent::ParticipantDisconnected(participant) => {
                this.about(TRAMLINE_EVENT_PARTICIPANT_DISCONNECTED, Participant::Remote(participant));
            }
            RoomEvent::ParticipantMetadataChanged { participant, old_metadata, metadata } => {
                this.about(TRAMLINE_EVENT_PARTICIPANT_METADATA_CHANGED, participant);
                this.change(old_metadata, metadata);
            }
            RoomEvent::ParticipantNameChanged { participant, old_name, name } => {
                this.about(TRAMLINE_EVENT_PARTICIPANT_NAME_CHANGED, participant);
                this.change(old_name, name);
            }
            RoomEvent::ParticipantAttributesChanged { participant, changed_attributes } => {
                this.about(TRAMLINE_EVENT_PARTICIPANT_ATTRIBUTES_CHANGED, participant);
                this.attributes = Some(Box::new(tramline_attributes::new(changed_attributes)));
            }
            RoomEvent::ParticipantPermissionsChanged { participant } => {
                this.about(TRAMLINE_EVENT_PARTICIPANT_PERMISSIONS_CHANGED, participant);
            }
            RoomEvent::DataTrackPublished(track) => this.track(TRAMLINE_EVENT_TRACK_PUBLISHED, track),
            RoomEvent::DataTrackUnpublished(track) => this.track(TRAMLINE_EVENT_TRACK_UNPUBLISHED, track),
            RoomEvent::LocalDataTrackUnpublished(info) => {
                this.view.kind = TRAMLINE_EVENT_LOCAL_TRACK_UNPUBLISHED;
                this.local_track = Some(info);
            }
            RoomEvent::ParticipantActive(participant) => {
                this.about(TRAMLINE_EVENT_PARTICIPANT_ACTIVE, Participant::Remote(participant));
            }
            RoomEvent::DecryptionFailed { track, error } => {
                this.track(TRAMLINE_EVENT_DECRYPTION_FAILED, track);
                this.view.reason = stats::number(error.reason()) as i32;
                this.detail(error.to_string());
            }
            RoomEvent::KeyRatcheted { track, index, steps } => {
                this.track(TRAMLINE_EVENT_KEY_RATCHETED, track);
                this.view.reason = index.into();
                this.view.count = steps as u64;
            }
            RoomEvent::RoomUpdated => this.view.kind = TRAMLINE_EVENT_ROOM_UPDATED,
            RoomEvent::TokenRefreshed { token } => {
                this.view.kind = TRAMLINE_EVENT_TOKEN_REFRESHED;
                this.change(String::new(), token.as_ref().to_owned());
            }
            RoomEvent::RoomMetadataChanged { old_metadata, metadata } => {
                this.view.kind = TRAMLINE_EVENT_ROOM_METADATA_CHANGED;
                this.change(old_metadata, metadata);
            }
            RoomEvent::EventsLost { count } => {
                this.view.kind = TRAMLINE_EVENT_EVENTS_LOST;
                this.view.count = count;
            }
            RoomEvent::Disconnected { reason, detail } => {
                this.view.kind = TRAMLINE_EVENT_DISCONNECTED;
                this.view.reason = reason.to_wire();
                this.detail(detail);
            }
            _ => return None,
        }
        this.point();
        Some(this)
    }

    fn empty() -> Box<Self> {
        Box::new(Self {
            view: tramline_event {
                struct_size: size_of::<tramline_event>(),
                kind: TRAMLINE_EVENT_EVENTS_LOST,
                reason: 0,
                participant: ptr::null(),
                track: ptr::null(),
                attributes: ptr::null(),
                track_name: tramline_str::EMPTY,
                track_sid: tramline_str::EMPTY,
                old_value: tramline_str::EMPTY,
                value: tramline_str::EMPTY,
                detail: tramline_str::EMPTY,
                count: 0,
            },
            generation: Generation::of_this_process(),
            participant: None,
            track: None,
            attributes: None,
            texts: Default::default(),
            local_track: None,
        })
    }

    fn about(&mut self, kind: tramline_event_kind, participant: Participant) {
        self.view.kind = kind;
        self.participant = Some(Box::new(Owned::new(participant).into()));
    }

    fn track(&mut self, kind: tramline_event_kind, track: RemoteDataTrack) {
        self.view.kind = kind;
        self.track = Some(Box::new(Owned::new(track).into()));
    }

    fn change(&mut self, old: String, new: String) {
        self.texts = [old, new];
        self.view.old_value = tramline_str::of(&self.texts[0]);
        self.view.value = tramline_str::of(&self.texts[1]);
    }

    fn detail(&mut self, detail: String) {
        self.texts = [detail, String::new()];
        self.view.detail = tramline_str::of(&self.texts[0]);
    }

    /// Lets the view point to what the event owns.
    fn point(&mut self) {
        self.view.participant = self.participant.as_deref().map_or(ptr::null(), ptr::from_ref);
        self.view.track = self.track.as_deref().map_or(ptr::null(), ptr::from_ref);
        self.view.attributes = self.attributes.as_deref().map_or(ptr::null(), ptr::from_ref);
        if let Some(info) = &self.local_track {
            self.view.track_name = tramline_str::of(info.name());
            self.view.track_sid = tramline_str::of(info.sid().as_str());
        }
    }

    pub(crate) fn into_raw(self: Box<Self>) -> *mut tramline_event {
        Box::into_raw(self).cast()
    }
}

/// Frees an event that was polled, with everything that it points to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_event_free(event: *mut tramline_event) {
    guard(|| {
        let event = event.cast::<Event>();
        // SAFETY: the rule on handles: what is not null is the address of an `Event`, as `into_raw` gave it.
        unsafe {
            if event.as_ref().is_some_and(|event| event.generation.is_current()) {
                drop(Box::from_raw(event));
            }
        }
        Ok(())
    });
}
