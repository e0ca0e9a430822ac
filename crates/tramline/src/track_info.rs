//! What is known about a published track.

use std::sync::Arc;

use tramline_core::{
    schema::{FrameEncoding, SchemaId},
    track::{Encryption, TrackInfo},
};
use tramline_wire::TrackSid;

/// A published data track. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct DataTrackInfo(pub(crate) Arc<TrackInfo>);

impl DataTrackInfo {
    /// The server's id of the track; a new one after each publishing.
    #[must_use]
    pub fn sid(&self) -> &TrackSid {
        &self.0.sid
    }

    /// The publisher's name for the track, unique among the publisher's tracks.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How its frames are serialised, when the publisher says so.
    #[must_use]
    pub fn frame_encoding(&self) -> Option<&FrameEncoding> {
        self.0.frame_encoding.as_ref()
    }

    /// The schema of its frames, when the publisher names one.
    #[must_use]
    pub fn schema(&self) -> Option<&SchemaId> {
        self.0.schema.as_ref()
    }

    /// Whether its frames are encrypted end to end.
    #[must_use]
    pub fn uses_e2ee(&self) -> bool {
        self.0.encryption != Encryption::None
    }
}
