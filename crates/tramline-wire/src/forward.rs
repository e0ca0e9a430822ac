//! What a server does with a packet on its way from publisher to subscriber: check it, change the handle, leave
//! everything else alone, so that extensions of a later version pass.

use crate::header::Fixed;
use crate::{Marker, ParseError, TrackHandle};

/// What a server needs to know of a packet that it may forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwardable {
    /// The publisher's handle.
    pub handle: TrackHandle,
    /// Where in its frame the packet belongs.
    pub marker: Marker,
    /// Number of the frame.
    pub frame_number: u16,
    /// Number of the packet.
    pub sequence: u16,
}

/// Checks that a packet can be forwarded: it has a header of version 0, its handle is not 0, and the extension
/// block, if it has one, fits. The entries of the block are the receiver's business.
///
/// # Errors
/// What is wrong with it; such a packet is dropped and counted.
pub fn check(packet: &[u8]) -> Result<Forwardable, ParseError> {
    let Fixed { marker, handle, sequence, frame_number, .. } = Fixed::parse(packet)?;
    Ok(Forwardable { handle, marker, frame_number, sequence })
}

/// Puts the subscriber's handle into a packet that [`check`] accepted; no other byte changes. Bytes too few for
/// a handle are left as they are.
pub fn rewrite_handle(packet: &mut [u8], handle: TrackHandle) {
    if let Some(bytes) = packet.get_mut(2..4) {
        bytes.copy_from_slice(&handle.get().to_be_bytes());
    }
}
