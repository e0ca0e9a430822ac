//! What both sides know about a published data track.

use std::sync::Arc;

use livekit_protocol as proto;
use thiserror::Error;
use tramline_wire::{HandleError, SidError, TrackHandle, TrackSid};

/// Longest name of a data track, in bytes.
pub const MAX_TRACK_NAME_LEN: usize = 256;

/// Longest custom name of a frame or schema encoding, in bytes. Authors who want to reach every client stay below 25.
pub const MAX_CUSTOM_ENCODING_LEN: usize = 32;

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
    /// What its frames hold, when the publisher says so.
    pub frame_encoding: Option<proto::DataTrackFrameEncoding>,
    /// The schema of its frames, when the publisher names one.
    pub schema: Option<proto::DataTrackSchemaId>,
}

impl TryFrom<proto::DataTrackInfo> for TrackInfo {
    type Error = TrackInfoError;

    fn try_from(info: proto::DataTrackInfo) -> Result<Self, TrackInfoError> {
        Ok(Self {
            sid: TrackSid::try_from(info.sid)?,
            handle: TrackHandle::try_from(info.pub_handle)?,
            name: info.name.into(),
            encryption: Encryption::from_wire(info.encryption),
            frame_encoding: info.frame_encoding,
            schema: info.schema,
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
    /// What the frames will hold.
    pub frame_encoding: Option<proto::DataTrackFrameEncoding>,
    /// The schema of the frames.
    pub schema: Option<proto::DataTrackSchemaId>,
}

impl TrackOptions {
    /// A track without encryption, encoding or schema.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl TrackOptions {
    pub(crate) fn into_request(self, handle: TrackHandle) -> proto::PublishDataTrackRequest {
        proto::PublishDataTrackRequest {
            pub_handle: handle.into(),
            name: self.name,
            encryption: self.encryption.to_wire(),
            frame_encoding: self.frame_encoding,
            schema: self.schema,
        }
    }
}
