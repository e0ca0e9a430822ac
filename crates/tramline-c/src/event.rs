//! What happens in a room, as a struct to look into.

use std::{mem::size_of, ptr};

use bytes::Bytes;
use sdk::{
    ByteStreamReader, ConnectionQuality, DataPacketKind, Participant, ParticipantIdentity, RemoteDataTrack,
    RemoteParticipant, RoomEvent, TakeCell, TextStreamReader,
};

use crate::{
    content::{Content, tramline_content_reader},
    error::{Failure, guard},
    fork::Generation,
    handle::{self, Out, Owned},
    list::tramline_attributes,
    participant::tramline_participant,
    remote_track::tramline_remote_track,
    stats,
    status::tramline_status::{self, TRAMLINE_ERR_NOT_FOUND},
    text::tramline_str,
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
    /// A packet came. Sets `data`, `len`, `value` to its topic, `flags`, and `participant` unless the server itself sent it, or somebody who is not
    /// seen.
    TRAMLINE_EVENT_DATA_RECEIVED = 18,
    /// A tone of a telephone's keypad came. Sets `count` to its code, `value` to the key, and `participant` as a packet does.
    TRAMLINE_EVENT_DTMF_RECEIVED = 19,
    /// A chat message of LiveKit's older form came. Sets `value` to the text, `old_value` to its id, `count` to the time in milliseconds since 1970
    /// by the sender's clock, `flags`, and `participant` as a packet does. An edited one has the id of the one that it replaces.
    TRAMLINE_EVENT_CHAT_MESSAGE = 20,
    /// Somebody sends a text; `tramline_event_take_reader` gives what reads it. Sets `value` to the topic, and `identity`. A
    /// text that nobody reads is thrown away.
    TRAMLINE_EVENT_TEXT_OPENED = 21,
    /// Somebody sends bytes, perhaps a file. As for a text.
    TRAMLINE_EVENT_BYTES_OPENED = 22,
    /// Packets of somebody cannot be decrypted and are dropped. Told once for each sender and cause, until one can be read again. Sets `identity` and
    /// `detail`.
    TRAMLINE_EVENT_PACKET_DECRYPTION_FAILED = 23,
    /// The connection of a participant, which may be this one, is better or worse than before. Sets `participant`, and `reason` to LiveKit's
    /// `ConnectionQuality`: 0 poor, 1 good, 2 excellent, 3 lost.
    TRAMLINE_EVENT_CONNECTION_QUALITY_CHANGED = 24,
    /// The server has put this participant into another room; everybody of the one before has gone. See `tramline_room_read_info`.
    TRAMLINE_EVENT_ROOM_MOVED = 25,
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
    /// What came.
    pub data: *const u8,
    /// Its length in bytes.
    pub len: usize,
    /// Who sent it.
    pub identity: tramline_str,
    /// `TRAMLINE_FLAG_...`.
    pub flags: u32,
}

/// Among the flags of a packet: it is one that is repeated until it arrives.
pub const TRAMLINE_FLAG_RELIABLE: u32 = 1;
/// Among the flags of a packet: it came encrypted. Without that the server, or whoever controls it, could have made it.
pub const TRAMLINE_FLAG_ENCRYPTED: u32 = 2;
/// Among the flags of a chat message: it replaces the one with its id.
pub const TRAMLINE_FLAG_EDITED: u32 = 4;
/// Among the flags of a chat message: the one with its id is to be removed.
pub const TRAMLINE_FLAG_DELETED: u32 = 8;
/// Among the flags of a chat message: an agent made it of what somebody said.
pub const TRAMLINE_FLAG_GENERATED: u32 = 16;

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
    data: Bytes,
    identity: Option<ParticipantIdentity>,
    reader: Reader,
}

/// What reads a content that was opened, for the first who asks.
enum Reader {
    None,
    Text(TakeCell<TextStreamReader>),
    Bytes(TakeCell<ByteStreamReader>),
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
            RoomEvent::DataReceived { payload, topic, kind, participant, encrypted } => {
                this.view.kind = TRAMLINE_EVENT_DATA_RECEIVED;
                this.sent_by(participant);
                this.change(String::new(), topic.unwrap_or_default());
                let reliable = kind == DataPacketKind::Reliable;
                this.flag(&[(reliable, TRAMLINE_FLAG_RELIABLE), (encrypted, TRAMLINE_FLAG_ENCRYPTED)]);
                this.data = payload;
            }
            RoomEvent::SipDtmfReceived { code, digit, participant } => {
                this.view.kind = TRAMLINE_EVENT_DTMF_RECEIVED;
                this.sent_by(participant);
                this.change(String::new(), digit.unwrap_or_default());
                this.view.count = code.into();
            }
            RoomEvent::ChatMessage { message, participant } => {
                this.view.kind = TRAMLINE_EVENT_CHAT_MESSAGE;
                this.sent_by(participant);
                this.flag(&[
                    (message.edit_timestamp_ms.is_some(), TRAMLINE_FLAG_EDITED),
                    (message.deleted, TRAMLINE_FLAG_DELETED),
                    (message.generated, TRAMLINE_FLAG_GENERATED),
                ]);
                this.view.count = message.timestamp_ms.cast_unsigned();
                this.change(message.id, message.message);
            }
            RoomEvent::TextStreamOpened { reader, topic, participant_identity } => {
                this.view.kind = TRAMLINE_EVENT_TEXT_OPENED;
                this.change(String::new(), topic);
                this.identity = Some(participant_identity);
                this.reader = Reader::Text(reader);
            }
            RoomEvent::ByteStreamOpened { reader, topic, participant_identity } => {
                this.view.kind = TRAMLINE_EVENT_BYTES_OPENED;
                this.change(String::new(), topic);
                this.identity = Some(participant_identity);
                this.reader = Reader::Bytes(reader);
            }
            RoomEvent::PacketDecryptionFailed { participant_identity, error } => {
                this.view.kind = TRAMLINE_EVENT_PACKET_DECRYPTION_FAILED;
                this.detail(error.to_string());
                this.identity = Some(participant_identity);
            }
            RoomEvent::ConnectionQualityChanged { quality, participant } => {
                this.about(TRAMLINE_EVENT_CONNECTION_QUALITY_CHANGED, participant);
                this.view.reason = match quality {
                    ConnectionQuality::Poor => 0,
                    ConnectionQuality::Good => 1,
                    ConnectionQuality::Lost => 3,
                    _ => 2,
                };
            }
            RoomEvent::Moved { .. } => this.view.kind = TRAMLINE_EVENT_ROOM_MOVED,
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
                data: ptr::null(),
                len: 0,
                identity: tramline_str::EMPTY,
                flags: 0,
            },
            generation: Generation::of_this_process(),
            participant: None,
            track: None,
            attributes: None,
            texts: Default::default(),
            local_track: None,
            data: Bytes::new(),
            identity: None,
            reader: Reader::None,
        })
    }

    fn about(&mut self, kind: tramline_event_kind, participant: Participant) {
        self.view.kind = kind;
        self.participant = Some(Box::new(Owned::new(participant).into()));
    }

    fn sent_by(&mut self, participant: Option<RemoteParticipant>) {
        self.identity = participant.as_ref().map(RemoteParticipant::identity);
        self.participant =
            participant.map(|participant| Box::new(Owned::new(Participant::Remote(participant)).into()));
    }

    fn flag(&mut self, flags: &[(bool, u32)]) {
        self.view.flags = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
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
        if !self.data.is_empty() {
            (self.view.data, self.view.len) = (self.data.as_ptr(), self.data.len());
        }
        if let Some(identity) = &self.identity {
            self.view.identity = tramline_str::of(identity.as_str());
        }
        if let Some(info) = &self.local_track {
            self.view.track_name = tramline_str::of(info.name());
            self.view.track_sid = tramline_str::of(info.sid().as_str());
        }
    }

    pub(crate) fn into_raw(self: Box<Self>) -> *mut tramline_event {
        Box::into_raw(self).cast()
    }
}

/// What reads the text, or the bytes, of an event that tells of some; to be freed. For the first who asks: `TRAMLINE_ERR_NOT_FOUND` afterwards, and
/// for any other event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_event_take_reader(
    event: *const tramline_event,
    reader: *mut *mut tramline_content_reader,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results and handles: what is not null is the address of an `Event`, as `into_raw` gave it.
        let (out, event) = unsafe { (Out::handle(reader, "reader")?, event.cast::<Event>().as_ref()) };
        let event = event.ok_or_else(|| Failure::null("event"))?;
        if !event.generation.is_current() {
            return Err(handle::forked());
        }
        let content = match &event.reader {
            Reader::None => None,
            Reader::Text(cell) => cell.take().map(Content::text),
            Reader::Bytes(cell) => cell.take().map(Content::bytes),
        };
        let content = content.ok_or_else(|| {
            Failure::new(TRAMLINE_ERR_NOT_FOUND, "the event has no reader, or it was taken before")
        })?;
        out.set(handle::new(content));
        Ok(())
    })
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
