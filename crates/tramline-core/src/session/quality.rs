//! How good a participant's connection is.

use livekit_protocol as proto;

/// How good a participant's connection is, as the server sees it (LiveKit `ConnectionQuality`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ConnectionQuality {
    /// Much is lost or late.
    Poor,
    /// Something is lost or late.
    Good,
    /// As it should be.
    #[default]
    Excellent,
    /// Nothing is heard of it.
    Lost,
}

impl ConnectionQuality {
    /// Reads LiveKit's number.
    pub fn from_wire(value: i32) -> Option<Self> {
        Some(match proto::ConnectionQuality::try_from(value).ok()? {
            proto::ConnectionQuality::Poor => Self::Poor,
            proto::ConnectionQuality::Good => Self::Good,
            proto::ConnectionQuality::Excellent => Self::Excellent,
            proto::ConnectionQuality::Lost => Self::Lost,
        })
    }

    /// LiveKit's number.
    pub fn to_wire(self) -> i32 {
        let value = match self {
            Self::Poor => proto::ConnectionQuality::Poor,
            Self::Good => proto::ConnectionQuality::Good,
            Self::Excellent => proto::ConnectionQuality::Excellent,
            Self::Lost => proto::ConnectionQuality::Lost,
        };
        value as i32
    }

    /// A number for it, 5 for the best, as LiveKit's server gives.
    pub(crate) fn score(self) -> f32 {
        match self {
            Self::Excellent => 5.0,
            Self::Good => 3.5,
            Self::Poor => 2.0,
            Self::Lost => 0.0,
        }
    }
}
