//! What happens in a room, as a bounded stream.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use tramline_net::runtime::block_on;

use crate::{
    DisconnectReason,
    data_packet::{ChatMessage, DataPacketKind, wire},
    data_stream::{ByteStreamReader, TakeCell, TextStreamReader},
    error::{DecryptError, DecryptPacketError, ReadError},
    participant::{ConnectionQuality, Participant, ParticipantIdentity, RemoteParticipant},
    remote_track::RemoteDataTrack,
    room::RoomInfo,
    track_info::DataTrackInfo,
};

mod queue;

pub(crate) use queue::EventQueue;

/// Something that happened in the room.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// A participant came. Those who were there before are in [`Room::remote_participants`](crate::Room::remote_participants) from the start.
    ParticipantConnected(RemoteParticipant),
    /// A participant went; its tracks were reported as unpublished before.
    ParticipantDisconnected(RemoteParticipant),
    /// A participant's data connection is up: what is sent from now on reaches it.
    ParticipantActive(RemoteParticipant),
    /// A participant's metadata changed.
    ParticipantMetadataChanged {
        /// Whose.
        participant: Participant,
        /// What it was.
        old_metadata: String,
        /// What it is.
        metadata: String,
    },
    /// A participant's name changed.
    ParticipantNameChanged {
        /// Whose.
        participant: Participant,
        /// What it was.
        old_name: String,
        /// What it is.
        name: String,
    },
    /// A participant's attributes changed.
    ParticipantAttributesChanged {
        /// Whose.
        participant: Participant,
        /// Those that were added or changed, and those that were removed with an empty value.
        changed_attributes: BTreeMap<String, String>,
    },
    /// What a participant may do changed.
    ParticipantPermissionsChanged {
        /// Whose; the new permissions are in it.
        participant: Participant,
    },
    /// A track can be subscribed to. Reported for the tracks that were there before the join as well, first of all.
    DataTrackPublished(RemoteDataTrack),
    /// A track is gone; its streams end.
    DataTrackUnpublished(RemoteDataTrack),
    /// The server ended a track of this participant, for instance because the permission was revoked.
    LocalDataTrackUnpublished(DataTrackInfo),
    /// Frames of an encrypted track cannot be decrypted and are dropped. Told once for each cause, and again when keys have changed.
    DecryptionFailed {
        /// The track.
        track: RemoteDataTrack,
        /// Why.
        error: DecryptError,
    },
    /// The publisher of an encrypted track has moved on to a later key of its ratchet, and frames decrypt again.
    KeyRatcheted {
        /// The track.
        track: RemoteDataTrack,
        /// The slot of the key.
        index: u8,
        /// By how many steps.
        steps: usize,
    },
    /// The connection of a participant, or the own one, is better or worse than before.
    ConnectionQualityChanged {
        /// How good it is.
        quality: ConnectionQuality,
        /// Whose.
        participant: Participant,
    },
    /// The server has put this participant into another room; everybody of the one before has gone. See [`Room::info`](crate::Room::info).
    Moved {
        /// The room.
        room: RoomInfo,
    },
    /// A packet came.
    DataReceived {
        /// The message.
        payload: Bytes,
        /// What it is about.
        topic: Option<String>,
        /// How it travelled.
        kind: DataPacketKind,
        /// Who sent it; `None` when the server itself did, or somebody who is not seen.
        participant: Option<RemoteParticipant>,
        /// Whether it came encrypted: without that the server, or whoever controls it, could have made it.
        encrypted: bool,
    },
    /// A tone of a telephone's keypad came.
    SipDtmfReceived {
        /// The code of the tone.
        code: u32,
        /// The key.
        digit: Option<String>,
        /// Who sent it.
        participant: Option<RemoteParticipant>,
    },
    /// A chat message of the older form came.
    ChatMessage {
        /// The message.
        message: ChatMessage,
        /// Who sent it.
        participant: Option<RemoteParticipant>,
    },
    /// Somebody sends a text.
    TextStreamOpened {
        /// Reads it; to be taken out of the event.
        reader: TakeCell<TextStreamReader>,
        /// What it is about.
        topic: String,
        /// Who sends it.
        participant_identity: ParticipantIdentity,
    },
    /// Somebody sends bytes, perhaps a file.
    ByteStreamOpened {
        /// Reads it; to be taken out of the event.
        reader: TakeCell<ByteStreamReader>,
        /// What it is about.
        topic: String,
        /// Who sends it.
        participant_identity: ParticipantIdentity,
    },
    /// The header of a stream came; only with [`RoomOptions::raw_stream_events`](crate::RoomOptions::raw_stream_events).
    StreamHeaderReceived {
        /// The header.
        header: wire::Header,
        /// Who sent it.
        participant_identity: ParticipantIdentity,
    },
    /// A chunk of a stream came; only with [`RoomOptions::raw_stream_events`](crate::RoomOptions::raw_stream_events).
    StreamChunkReceived {
        /// The chunk.
        chunk: wire::Chunk,
        /// Who sent it.
        participant_identity: ParticipantIdentity,
    },
    /// The end of a stream came; only with [`RoomOptions::raw_stream_events`](crate::RoomOptions::raw_stream_events).
    StreamTrailerReceived {
        /// The trailer.
        trailer: wire::Trailer,
        /// Who sent it.
        participant_identity: ParticipantIdentity,
    },
    /// Packets of somebody cannot be decrypted and are dropped. Told once for each sender and cause, until one can be read again.
    PacketDecryptionFailed {
        /// Who sends them.
        participant_identity: ParticipantIdentity,
        /// Why.
        error: DecryptPacketError,
    },
    /// The room's metadata changed.
    RoomMetadataChanged {
        /// What it was.
        old_metadata: String,
        /// What it is.
        metadata: String,
    },
    /// Something else about the room changed, or only the number of participants: see [`Room::info`](crate::Room::info).
    RoomUpdated,
    /// The server gave a later token, for joining again when this one has expired.
    TokenRefreshed {
        /// The token.
        token: Arc<str>,
    },
    /// Events are missing here because they were read too slowly: what they told of has come and gone again meanwhile. What is in the room now
    /// is told completely by the other events.
    EventsLost {
        /// How many.
        count: u64,
    },
    /// The session is over. Comes last.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// What happened, in words.
        detail: String,
    },
}

/// The events of a room.
///
/// Bounded. When more wait than [`RoomOptions::event_capacity`](crate::RoomOptions::event_capacity), events of the same kind about the same thing are
/// merged into one, and a thing that came and went while nobody read is left out, which [`RoomEvent::EventsLost`] tells. Whoever follows the
/// events always ends up with what is really there.
///
/// Dropping it ends nothing: a room works without anybody reading its events.
#[derive(Debug)]
pub struct RoomEvents {
    queue: Arc<EventQueue>,
}

impl RoomEvents {
    pub(crate) fn new(queue: Arc<EventQueue>) -> Self {
        Self { queue }
    }

    /// The next event; `None` after [`RoomEvent::Disconnected`]. Cancel-safe, on any executor.
    pub async fn recv(&mut self) -> Option<RoomEvent> {
        poll_fn(|cx| self.queue.poll_next(cx)).await
    }

    /// The next event if one is there now.
    pub fn try_recv(&mut self) -> Option<RoomEvent> {
        self.queue.try_next()
    }

    /// Blocks the calling thread until an event comes, the room ends (`None`), or the time has passed.
    ///
    /// # Errors
    /// The time has passed, or the thread drives an async runtime.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<RoomEvent>, ReadError> {
        Ok(block_on(self.recv(), Some(timeout))?)
    }
}

impl Stream for RoomEvents {
    type Item = RoomEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RoomEvent>> {
        self.queue.poll_next(cx)
    }
}

impl Drop for RoomEvents {
    fn drop(&mut self) {
        self.queue.stop();
    }
}
