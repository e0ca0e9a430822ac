//! A frame as the next hop up sees it: payload and metadata, no packets.

use bytes::Bytes;
use tramline_wire::E2eeExtension;

use crate::queue::Part;

/// One frame of a data track.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// What the publisher pushed; may be empty. Ciphertext when `e2ee` is set.
    pub payload: Bytes,
    /// The publisher's own time stamp; by convention Unix milliseconds, opaque here.
    pub user_timestamp: Option<u64>,
    /// How the payload is encrypted, if it is.
    pub e2ee: Option<E2eeExtension>,
    /// Counts the frames of a publication, and wraps.
    pub number: u16,
    /// 90 kHz, from a random base. Some official publishers never advance it: not to be used for order or pace.
    pub timestamp: u32,
}

impl Frame {
    /// A frame with this payload, everything else absent or zero.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), user_timestamp: None, e2ee: None, number: 0, timestamp: 0 }
    }
}

impl Part for Frame {
    fn byte_len(&self) -> usize {
        self.payload.len()
    }
}
