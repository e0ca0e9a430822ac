//! Who is in the room.

mod send;

pub use send::ParticipantTrackPermission;

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;
pub use tramline_core::session::{ConnectionQuality, ParticipantKind, Permissions, SelfUpdate};
use tramline_core::{schema::SchemaId, session::Participant as Snapshot};
use tramline_wire::{ParticipantSid, TrackSid};

use crate::{
    DisconnectReason,
    error::{DefineSchemaError, FetchSchemaError, PublishError, UpdateError},
    link::{Link, ToDriver, lock},
    local_track::LocalDataTrack,
    options::DataTrackOptions,
    remote_track::RemoteDataTrack,
    sender::PacketSender,
};

/// Who a participant is: unique in its room, chosen by whoever made the token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParticipantIdentity(Arc<str>);

impl ParticipantIdentity {
    /// The identity as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ParticipantIdentity {
    /// Nobody's.
    fn default() -> Self {
        Self("".into())
    }
}

impl From<&str> for ParticipantIdentity {
    fn from(identity: &str) -> Self {
        Self(identity.into())
    }
}

impl From<String> for ParticipantIdentity {
    fn from(identity: String) -> Self {
        Self(identity.into())
    }
}

impl From<Arc<str>> for ParticipantIdentity {
    fn from(identity: Arc<str>) -> Self {
        Self(identity)
    }
}

impl Borrow<str> for ParticipantIdentity {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ParticipantIdentity {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for ParticipantIdentity {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for ParticipantIdentity {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for ParticipantIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ParticipantIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Any participant.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Participant {
    /// The one that this session is.
    Local(LocalParticipant),
    /// Another one.
    Remote(RemoteParticipant),
}

macro_rules! same_for_all {
    ($(#[$doc:meta] $name:ident -> $result:ty;)*) => {
        impl Participant {
            $(
                #[$doc]
                #[must_use]
                pub fn $name(&self) -> $result {
                    self.state().$name()
                }
            )*
        }
        impl LocalParticipant {
            $(
                #[$doc]
                #[must_use]
                pub fn $name(&self) -> $result {
                    self.state.$name()
                }
            )*
        }
        impl RemoteParticipant {
            $(
                #[$doc]
                #[must_use]
                pub fn $name(&self) -> $result {
                    self.state.$name()
                }
            )*
        }
    };
}

same_for_all! {
    /// The server's id of this stay in the room; a new one after each join.
    sid -> ParticipantSid;
    /// Who it is.
    identity -> ParticipantIdentity;
    /// Its name for display.
    name -> String;
    /// What the application stored with it.
    metadata -> String;
    /// Keys and values that the application stored with it.
    attributes -> BTreeMap<String, String>;
    /// What it is.
    kind -> ParticipantKind;
    /// What it may do.
    permissions -> Permissions;
    /// How good its connection is, as the server sees it.
    connection_quality -> ConnectionQuality;
    /// Whether its data connection is up.
    is_active -> bool;
    /// When it joined, in milliseconds since 1970 by the server's clock.
    joined_at_ms -> i64;
    /// The generation of client-to-client protocols that its client speaks.
    client_protocol -> i32;
}

impl Participant {
    /// Whether it was another one before.
    pub(crate) fn set_quality(&self, quality: ConnectionQuality) -> bool {
        std::mem::replace(&mut *lock(&self.state().quality), quality) != quality
    }

    fn state(&self) -> &ParticipantState {
        match self {
            Self::Local(participant) => &participant.state,
            Self::Remote(participant) => &participant.state,
        }
    }
}

/// The participant that this session is. Cheap to clone; its values are the newest ones known.
#[derive(Clone)]
pub struct LocalParticipant {
    state: Arc<ParticipantState>,
    link: Link,
    sender: Arc<PacketSender>,
    remotes: Remotes,
}

/// The others, by identity: shared by the room's handle, its driver and the local participant.
pub(crate) type Remotes = Arc<Mutex<HashMap<ParticipantIdentity, RemoteParticipant>>>;

impl LocalParticipant {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        link: Link,
        sender: Arc<PacketSender>,
        remotes: Remotes,
    ) -> Self {
        Self { state: Arc::new(ParticipantState::new(snapshot)), link, sender, remotes }
    }

    pub(crate) fn sender(&self) -> &Arc<PacketSender> {
        &self.sender
    }

    /// Publishes a data track: a name, or options with one.
    ///
    /// Dropping the future gives the track up again.
    ///
    /// # Errors
    /// The server refuses, does not answer within 10 s, or the session has ended. Codes are LiveKit's.
    pub async fn publish_data_track(
        &self,
        options: impl Into<DataTrackOptions>,
    ) -> Result<LocalDataTrack, PublishError> {
        let (reply, answer) = oneshot::channel();
        self.link.send(ToDriver::Publish { options: Box::new(options.into()), reply });
        answer.await.unwrap_or(Err(PublishError::Disconnected))
    }

    /// Stores a schema's definition with the server, for those who read a track that names it: define it before the track is published.
    /// The server forgets it when the participant leaves.
    ///
    /// # Errors
    /// The server stores no schemas, or not this one.
    pub async fn define_schema(
        &self,
        schema: SchemaId,
        definition: impl Into<String>,
    ) -> Result<(), DefineSchemaError> {
        let (reply, answer) = oneshot::channel();
        self.link.send(ToDriver::DefineSchema { schema, definition: definition.into(), reply });
        answer.await.unwrap_or(Err(DefineSchemaError::Disconnected))
    }

    /// The definition of a schema that a participant has stored; the local one may be asked too.
    ///
    /// # Errors
    /// It has not stored that schema, or the server stores none.
    pub async fn fetch_schema(
        &self,
        schema: SchemaId,
        publisher: impl Into<String>,
    ) -> Result<Arc<str>, FetchSchemaError> {
        let (reply, answer) = oneshot::channel();
        self.link.send(ToDriver::FetchSchema { schema, publisher: publisher.into(), reply });
        answer.await.unwrap_or(Err(FetchSchemaError::Disconnected))
    }

    /// Changes what the others see of this participant: name, metadata, attributes. Its own values change when the server tells of it.
    ///
    /// # Errors
    /// The token does not allow it, or a value is too long or empty.
    pub async fn update(&self, update: SelfUpdate) -> Result<(), UpdateError> {
        let (reply, answer) = oneshot::channel();
        self.link.send(ToDriver::UpdateSelf { update: Box::new(update), reply });
        answer.await.unwrap_or(Err(UpdateError::Disconnected))
    }

    /// Changes the name for display; see [`update`](Self::update).
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn set_name(&self, name: impl Into<String>) -> Result<(), UpdateError> {
        self.update(SelfUpdate { name: Some(name.into()), ..SelfUpdate::default() }).await
    }

    /// Changes the metadata; see [`update`](Self::update).
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn set_metadata(&self, metadata: impl Into<String>) -> Result<(), UpdateError> {
        self.update(SelfUpdate { metadata: Some(metadata.into()), ..SelfUpdate::default() }).await
    }

    /// Sets attributes; an empty value deletes one, those that are not named stay. See [`update`](Self::update).
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn set_attributes(&self, attributes: BTreeMap<String, String>) -> Result<(), UpdateError> {
        self.update(SelfUpdate { attributes, ..SelfUpdate::default() }).await
    }

    pub(crate) fn show(&self, snapshot: Arc<Snapshot>) {
        self.state.update(snapshot);
    }
}

impl PartialEq for LocalParticipant {
    /// Whether both are the same stay in the room.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl fmt::Debug for LocalParticipant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.describe(f, "LocalParticipant")
    }
}

/// Another participant. Cheap to clone; its values are the newest ones known, also after it has left.
#[derive(Clone)]
pub struct RemoteParticipant {
    state: Arc<ParticipantState>,
}

impl RemoteParticipant {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { state: Arc::new(ParticipantState::new(snapshot)) }
    }

    /// Why it left, as far as the server says; `None` while it is there.
    #[must_use]
    pub fn disconnect_reason(&self) -> Option<DisconnectReason> {
        *lock(&self.state.disconnect_reason)
    }

    /// The tracks that it publishes, by name.
    #[must_use]
    pub fn data_tracks(&self) -> HashMap<String, RemoteDataTrack> {
        lock(&self.state.tracks)
            .values()
            .map(|track| (track.info().name().to_owned(), track.clone()))
            .collect()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.state.newest()
    }

    pub(crate) fn update(&self, snapshot: Arc<Snapshot>) {
        self.state.update(snapshot);
    }

    pub(crate) fn set_disconnected(&self, reason: DisconnectReason) {
        *lock(&self.state.disconnect_reason) = Some(reason);
    }

    pub(crate) fn add_track(&self, track: RemoteDataTrack) {
        lock(&self.state.tracks).insert(track.info().sid().clone(), track);
    }

    pub(crate) fn remove_track(&self, sid: &TrackSid) {
        lock(&self.state.tracks).remove(sid);
    }
}

impl PartialEq for RemoteParticipant {
    /// Whether both are the same stay in the room.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl fmt::Debug for RemoteParticipant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.describe(f, "RemoteParticipant")
    }
}

struct ParticipantState {
    identity: ParticipantIdentity,
    newest: Mutex<Arc<Snapshot>>,
    tracks: Mutex<BTreeMap<TrackSid, RemoteDataTrack>>,
    disconnect_reason: Mutex<Option<DisconnectReason>>,
    quality: Mutex<ConnectionQuality>,
}

impl ParticipantState {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            identity: Arc::clone(&snapshot.identity).into(),
            newest: Mutex::new(snapshot),
            tracks: Mutex::default(),
            disconnect_reason: Mutex::default(),
            quality: Mutex::default(),
        }
    }

    fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&lock(&self.newest))
    }

    fn update(&self, snapshot: Arc<Snapshot>) {
        *lock(&self.newest) = snapshot;
    }

    fn sid(&self) -> ParticipantSid {
        self.newest().sid.clone()
    }

    fn identity(&self) -> ParticipantIdentity {
        self.identity.clone()
    }

    fn name(&self) -> String {
        self.newest().name.clone()
    }

    fn metadata(&self) -> String {
        self.newest().metadata.clone()
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        self.newest().attributes.clone()
    }

    fn kind(&self) -> ParticipantKind {
        self.newest().kind
    }

    fn permissions(&self) -> Permissions {
        self.newest().permissions
    }

    fn connection_quality(&self) -> ConnectionQuality {
        *lock(&self.quality)
    }

    fn is_active(&self) -> bool {
        self.newest().is_active
    }

    fn joined_at_ms(&self) -> i64 {
        self.newest().joined_at_ms
    }

    fn client_protocol(&self) -> i32 {
        self.newest().client_protocol
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>, kind: &str) -> fmt::Result {
        f.debug_struct(kind)
            .field("identity", &self.identity)
            .field("sid", &self.newest().sid)
            .finish_non_exhaustive()
    }
}
