//! What is known about a published track.

use std::sync::Arc;

use tramline_core::track::{Encryption, TrackInfo};
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

    /// Whether its frames are encrypted end to end.
    #[must_use]
    pub fn uses_e2ee(&self) -> bool {
        self.0.encryption != Encryption::None
    }
}
