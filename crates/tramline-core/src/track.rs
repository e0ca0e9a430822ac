//! What both sides know about a published data track.

use std::sync::Arc;

use livekit_protocol as proto;
use thiserror::Error;
use tramline_wire::{HandleError, SidError, TrackHandle, TrackSid};

use crate::schema::{self, FrameEncoding, SchemaError, SchemaId};

/// Longest name of a data track, in bytes.
pub const MAX_TRACK_NAME_LEN: usize = 256;

/// How the frames of a track are encrypted (LiveKit `Encryption.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encryption {
    /// Not end to end.
    #[default]
    None,
    /// AES-GCM with the room's key ring.
    Gcm,
    /// Something the application brings, or a value that this version does not know.
    Custom,
}

impl Encryption {
    pub(crate) fn from_wire(value: i32) -> Self {
        match proto::encryption::Type::try_from(value) {
            Ok(proto::encryption::Type::None) => Self::None,
            Ok(proto::encryption::Type::Gcm) => Self::Gcm,
            Ok(proto::encryption::Type::Custom) | Err(_) => Self::Custom,
        }
    }

    pub(crate) fn to_wire(self) -> i32 {
        let value = match self {
            Self::None => proto::encryption::Type::None,
            Self::Gcm => proto::encryption::Type::Gcm,
            Self::Custom => proto::encryption::Type::Custom,
        };
        value as i32
    }
}

/// A published data track (LiveKit `DataTrackInfo`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrackInfo {
    /// The server's id; a new one after each publishing.
    pub sid: TrackSid,
    /// The publisher's handle, which stands in the packets that it sends.
    pub handle: TrackHandle,
    /// Unique among the tracks of its publisher.
    pub name: Arc<str>,
    /// How its frames are encrypted.
    pub encryption: Encryption,
    /// How its frames are serialised, when the publisher says so.
    pub frame_encoding: Option<FrameEncoding>,
    /// The schema of its frames, when the publisher names one.
    pub schema: Option<SchemaId>,
}

impl TryFrom<proto::DataTrackInfo> for TrackInfo {
    type Error = TrackInfoError;

    fn try_from(info: proto::DataTrackInfo) -> Result<Self, TrackInfoError> {
        Ok(Self {
            sid: TrackSid::try_from(info.sid)?,
            handle: TrackHandle::try_from(info.pub_handle)?,
            name: info.name.into(),
            encryption: Encryption::from_wire(info.encryption),
            frame_encoding: info.frame_encoding.map(Into::into),
            schema: info.schema.map(Into::into),
        })
    }
}

/// Why a peer's `DataTrackInfo` is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrackInfoError {
    /// Its SID is not one.
    #[error(transparent)]
    Sid(#[from] SidError),
    /// Its handle is not one.
    #[error(transparent)]
    Handle(#[from] HandleError),
}

/// What a publisher asks for (LiveKit `PublishDataTrackRequest`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrackOptions {
    /// 1 to 256 bytes, unique among the tracks of this participant.
    pub name: String,
    /// How the frames will be encrypted.
    pub encryption: Encryption,
    /// How the frames will be serialised.
    pub frame_encoding: Option<FrameEncoding>,
    /// The schema of the frames. It should be defined first: see
    /// [`Session::define_schema`](crate::session::Session::define_schema).
    pub schema: Option<SchemaId>,
}

impl TrackOptions {
    /// A track without encryption, encoding or schema.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl TrackOptions {
    /// Whether encoding and schema go together.
    pub(crate) fn check_schema(&self) -> Result<(), SchemaError> {
        schema::check(self.frame_encoding.as_ref(), self.schema.as_ref())
    }

    pub(crate) fn into_request(self, handle: TrackHandle) -> proto::PublishDataTrackRequest {
        proto::PublishDataTrackRequest {
            pub_handle: handle.into(),
            name: self.name,
            encryption: self.encryption.to_wire(),
            frame_encoding: self.frame_encoding.map(Into::into),
            schema: self.schema.map(Into::into),
        }
    }
}
