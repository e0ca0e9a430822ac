//! What happens in one room, told in order on a thread of its own.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use tramline::{
    DecryptError, DecryptPacketError, DisconnectReason, Participant, ParticipantIdentity, ParticipantSid,
    RemoteDataTrack, RemoteParticipant, RoomEvent, RoomEvents,
};

mod incoming;

use crate::{
    client::{Client, handles},
    convert::{self, participant_info},
    handle::{Handle, Object},
    proto::{self, ffi_event, room_event::Message as Event},
    room::RoomEntry,
};

/// Tells the wrapper what happens in a room.
///
/// Wrappers keep a list of participants of their own and do not forgive a participant that comes twice or goes without having come, so the
/// list is kept here as well: who was there at the join is in the answer to it, whatever the room's events say.
pub(crate) struct Listener {
    client: Arc<Client>,
    handle: Handle,
    room: Weak<RoomEntry>,
    known: HashMap<ParticipantIdentity, ParticipantSid>,
    encryption: Encryption,
    /// The wrapper knows the room's id.
    has_sid: bool,
}

impl Listener {
    pub(crate) fn new(
        client: Arc<Client>,
        handle: Handle,
        room: Weak<RoomEntry>,
        known: HashMap<ParticipantIdentity, ParticipantSid>,
    ) -> Self {
        let has_sid = room.upgrade().is_some_and(|room| room.room().sid().is_some());
        Self { client, handle, room, known, encryption: Encryption::default(), has_sid }
    }

    /// Runs until the room is over, and says so.
    pub(crate) fn run(mut self, mut events: RoomEvents) {
        self.tell_state(proto::ConnectionState::ConnConnected);
        let mut reason = DisconnectReason::Unknown;
        // The thread drives no runtime, so that it may block.
        while let Ok(Some(event)) = tramline::block_on(events.recv()) {
            match event {
                RoomEvent::Disconnected { reason: why, detail } => {
                    tracing::debug!(%why, detail, "the room is over");
                    reason = why;
                }
                event => self.tell_event(event),
            }
        }
        self.tell_state(proto::ConnectionState::ConnDisconnected);
        let asked_for = self.room.upgrade().and_then(|room| room.reason());
        let reason = match reason {
            // What the wrapper has said when it left.
            DisconnectReason::ClientInitiated => asked_for.unwrap_or(convert::reason(reason)),
            reason => convert::reason(reason),
        };
        self.tell(Event::Disconnected(proto::Disconnected { reason }));
        self.tell(Event::Eos(proto::RoomEos {}));
    }

    fn tell_event(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::ParticipantConnected(participant) => self.tell_connected(&participant),
            RoomEvent::ParticipantDisconnected(participant) => self.tell_disconnected(&participant),
            RoomEvent::ParticipantActive(participant) => {
                self.tell_change(&Participant::Remote(participant), |participant_identity| {
                    Event::ParticipantActive(proto::ParticipantActive { participant_identity })
                });
            }
            RoomEvent::ParticipantMetadataChanged { participant, metadata, .. } => {
                self.tell_change(&participant, |participant_identity| {
                    Event::ParticipantMetadataChanged(proto::ParticipantMetadataChanged {
                        participant_identity,
                        metadata,
                    })
                });
            }
            RoomEvent::ParticipantNameChanged { participant, name, .. } => {
                self.tell_change(&participant, |participant_identity| {
                    Event::ParticipantNameChanged(proto::ParticipantNameChanged {
                        participant_identity,
                        name,
                    })
                });
            }
            RoomEvent::ParticipantAttributesChanged { participant, changed_attributes } => {
                let attributes = convert::attributes(participant.attributes());
                self.tell_change(&participant, |participant_identity| {
                    Event::ParticipantAttributesChanged(proto::ParticipantAttributesChanged {
                        participant_identity,
                        attributes,
                        changed_attributes: convert::attributes(changed_attributes),
                    })
                });
            }
            RoomEvent::ParticipantPermissionsChanged { participant } => {
                let permission = convert::permission(participant.permissions());
                self.tell_change(&participant, |participant_identity| {
                    Event::ParticipantPermissionChanged(proto::ParticipantPermissionChanged {
                        participant_identity,
                        permission: Some(permission),
                    })
                });
            }
            RoomEvent::DataTrackPublished(track) => self.tell_published(&track),
            RoomEvent::DataTrackUnpublished(track) => {
                let sid = track.info().sid().as_str().to_owned();
                self.tell(Event::DataTrackUnpublished(proto::DataTrackUnpublished { sid }));
                let changed = self.encryption.remove(track.publisher_identity(), track.info().uses_e2ee());
                self.tell_encrypted(track.publisher_identity(), changed);
            }
            RoomEvent::RoomMetadataChanged { metadata, .. } => {
                self.tell(Event::RoomMetadataChanged(proto::RoomMetadataChanged { metadata }));
                self.tell_room();
            }
            RoomEvent::RoomUpdated => self.tell_room(),
            RoomEvent::Moved { .. } => {
                if let Some(room) = self.room.upgrade() {
                    self.tell(Event::Moved(convert::room_info(room.room())));
                }
            }
            RoomEvent::ConnectionQualityChanged { quality, participant } => {
                let quality = convert::quality(quality) as i32;
                self.tell_about(&participant, |participant_identity| {
                    Event::ConnectionQualityChanged(proto::ConnectionQualityChanged {
                        participant_identity,
                        quality,
                    })
                });
            }
            RoomEvent::TokenRefreshed { token } => {
                self.tell(Event::TokenRefreshed(proto::TokenRefreshed { token: token.as_ref().to_owned() }));
            }
            RoomEvent::DecryptionFailed { track, error } => {
                tracing::warn!(track = track.info().name(), %error, "frames are dropped");
                let state = match error {
                    DecryptError::NoKey { .. } => proto::EncryptionState::MissingKey,
                    _ => proto::EncryptionState::DecryptionFailed,
                };
                self.tell_encryption(track.publisher_identity(), state);
            }
            RoomEvent::KeyRatcheted { track, .. } => {
                self.tell_encryption(track.publisher_identity(), proto::EncryptionState::KeyRatcheted);
            }
            RoomEvent::DataReceived { payload, topic, kind, participant, encrypted } => {
                if let Some(sender) = &participant {
                    let identity = sender.identity();
                    let changed = self.encryption.packet(&identity, encrypted);
                    self.tell_encrypted(&identity, changed);
                }
                self.tell_packet(payload, topic, kind, participant.as_ref());
            }
            RoomEvent::SipDtmfReceived { code, digit, participant } => {
                self.tell_dtmf(code, digit, participant.as_ref());
            }
            RoomEvent::ChatMessage { message, participant } => self.tell_chat(message, participant.as_ref()),
            RoomEvent::TextStreamOpened { reader, participant_identity, .. } => {
                self.tell_text_stream(reader, &participant_identity);
            }
            RoomEvent::ByteStreamOpened { reader, participant_identity, .. } => {
                self.tell_byte_stream(reader, &participant_identity);
            }
            RoomEvent::StreamHeaderReceived { header, participant_identity } => {
                self.tell_header(header, &participant_identity);
            }
            RoomEvent::StreamChunkReceived { chunk, participant_identity } => {
                self.tell_chunk(chunk, &participant_identity);
            }
            RoomEvent::StreamTrailerReceived { trailer, participant_identity } => {
                self.tell_trailer(trailer, &participant_identity);
            }
            RoomEvent::PacketDecryptionFailed { participant_identity, error } => {
                tracing::warn!(%participant_identity, %error, "packets are dropped");
                let state = match error {
                    DecryptPacketError::NoKeys { .. } => proto::EncryptionState::MissingKey,
                    _ => proto::EncryptionState::DecryptionFailed,
                };
                self.tell_encryption(&participant_identity, state);
            }
            RoomEvent::EventsLost { count } => {
                tracing::warn!(count, "the callback was too slow: events of what came and went are left out");
            }
            // Pushing on it says so.
            RoomEvent::LocalDataTrackUnpublished(track) => {
                tracing::debug!(track = track.name(), "the server ended a track");
            }
            other => tracing::debug!(?other, "an event without a message"),
        }
    }

    fn tell_connected(&mut self, participant: &RemoteParticipant) {
        let (identity, sid) = (participant.identity(), participant.sid());
        match self.known.insert(identity.clone(), sid.clone()) {
            // Told in the answer to the join.
            Some(before) if before == sid => return,
            Some(_) => self.tell_gone(&identity, DisconnectReason::DuplicateIdentity),
            None => {}
        }
        let handle = handles().insert(Object::RemoteParticipant(participant.clone()));
        let info = convert::owned_remote(handle, participant);
        self.tell(Event::ParticipantConnected(proto::ParticipantConnected { info }));
        if participant.is_active() {
            let participant_identity = convert::text(&identity);
            self.tell(Event::ParticipantActive(proto::ParticipantActive { participant_identity }));
        }
    }

    fn tell_disconnected(&mut self, participant: &RemoteParticipant) {
        let identity = participant.identity();
        self.encryption.forget(&identity);
        // A later stay of the same identity may be known already.
        if self.known.get(&identity) == Some(&participant.sid()) {
            self.known.remove(&identity);
            let reason = participant.disconnect_reason().unwrap_or(DisconnectReason::Unknown);
            self.tell_gone(&identity, reason);
        }
    }

    fn tell_gone(&self, identity: &ParticipantIdentity, reason: DisconnectReason) {
        self.tell(Event::ParticipantDisconnected(proto::ParticipantDisconnected {
            participant_identity: convert::text(identity),
            disconnect_reason: convert::reason(reason),
        }));
    }

    /// Something about a participant that the wrapper knows.
    fn tell_about(&self, participant: &Participant, event: impl FnOnce(String) -> Event) {
        let identity = participant.identity();
        if matches!(participant, Participant::Local(_)) || self.known.contains_key(&identity) {
            self.tell(event(convert::text(&identity)));
        }
    }

    /// Something about a participant that the wrapper knows changed: what, and everything as it is now.
    fn tell_change(&self, participant: &Participant, event: impl FnOnce(String) -> Event) {
        let info = match participant {
            Participant::Remote(participant) => {
                if self.known.get(&participant.identity()) != Some(&participant.sid()) {
                    return;
                }
                participant_info!(participant)
            }
            Participant::Local(participant) => participant_info!(participant),
            _ => return,
        };
        self.tell(event(info.identity.clone()));
        self.tell(Event::ParticipantsUpdated(proto::ParticipantsUpdated { participants: vec![info] }));
    }

    fn tell_published(&mut self, track: &RemoteDataTrack) {
        let handle = handles().insert(Object::RemoteTrack(track.clone()));
        self.tell(Event::DataTrackPublished(proto::DataTrackPublished {
            track: proto::OwnedRemoteDataTrack {
                handle: convert::owned(handle),
                info: convert::track_info(track.info()),
                publisher_identity: convert::text(track.publisher_identity()),
            },
        }));
        let changed = self.encryption.add(track.publisher_identity(), track.info().uses_e2ee());
        self.tell_encrypted(track.publisher_identity(), changed);
    }

    fn tell_encrypted(&self, identity: &ParticipantIdentity, changed: Option<bool>) {
        if let Some(is_encrypted) = changed
            && self.known.contains_key(identity)
        {
            let participant_identity = convert::text(identity);
            let event = proto::ParticipantEncryptionStatusChanged { participant_identity, is_encrypted };
            self.tell(Event::ParticipantEncryptionStatusChanged(event));
        }
    }

    fn tell_encryption(&self, identity: &ParticipantIdentity, state: proto::EncryptionState) {
        self.tell(Event::E2eeStateChanged(proto::E2eeStateChanged {
            participant_identity: convert::text(identity),
            state: state as i32,
        }));
    }

    fn tell_room(&mut self) {
        let Some(room) = self.room.upgrade() else { return };
        let info = convert::room_info(room.room());
        if let Some(sid) = info.sid.clone()
            && !self.has_sid
        {
            self.has_sid = true;
            self.tell(Event::RoomSidChanged(proto::RoomSidChanged { sid }));
        }
        self.tell(Event::RoomUpdated(info));
    }

    fn tell_state(&self, state: proto::ConnectionState) {
        self.tell(Event::ConnectionStateChanged(proto::ConnectionStateChanged { state: state as i32 }));
    }

    fn tell(&self, message: Event) {
        let event = proto::RoomEvent { room_handle: self.handle, message: Some(message) };
        self.client.emit(ffi_event::Message::RoomEvent(event));
    }
}

/// Who sends nothing that is not encrypted.
#[derive(Default)]
struct Encryption {
    senders: HashMap<ParticipantIdentity, Sent>,
}

/// What a participant sends.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sent {
    /// Tracks that are encrypted.
    sealed_tracks: usize,
    /// Tracks that are not.
    plain_tracks: usize,
    /// A packet came that was encrypted.
    sealed_packets: bool,
    /// A packet came that was not.
    plain_packets: bool,
}

impl Sent {
    fn is_encrypted(self) -> bool {
        (self.sealed_tracks > 0 || self.sealed_packets) && self.plain_tracks == 0 && !self.plain_packets
    }
}

impl Encryption {
    /// A participant has another track; whether that changes its status, and to what.
    fn add(&mut self, identity: &ParticipantIdentity, is_encrypted: bool) -> Option<bool> {
        self.change(identity, |sent| match is_encrypted {
            true => sent.sealed_tracks += 1,
            false => sent.plain_tracks += 1,
        })
    }

    /// A participant has a track less.
    fn remove(&mut self, identity: &ParticipantIdentity, is_encrypted: bool) -> Option<bool> {
        self.change(identity, |sent| {
            let count = if is_encrypted { &mut sent.sealed_tracks } else { &mut sent.plain_tracks };
            *count = count.saturating_sub(1);
        })
    }

    /// A packet came.
    fn packet(&mut self, identity: &ParticipantIdentity, is_encrypted: bool) -> Option<bool> {
        self.change(identity, |sent| match is_encrypted {
            true => sent.sealed_packets = true,
            false => sent.plain_packets = true,
        })
    }

    fn forget(&mut self, identity: &ParticipantIdentity) {
        self.senders.remove(identity);
    }

    fn change(&mut self, identity: &ParticipantIdentity, change: impl FnOnce(&mut Sent)) -> Option<bool> {
        if !self.senders.contains_key(identity) {
            self.senders.insert(identity.clone(), Sent::default());
        }
        let sent = self.senders.get_mut(identity)?;
        let before = *sent;
        change(sent);
        let after = sent.is_encrypted();
        if *sent == Sent::default() {
            self.senders.remove(identity);
        }
        (before.is_encrypted() != after).then_some(after)
    }
}
