//! Packets and chunks: bytes to values and back (RFC 9260 section 3 and its extensions). No state, no clock.

mod chunk;
mod init;
mod packet;
mod reconfig;
mod write;

pub(crate) use chunk::{Cause, Data, DataFlags, ForwardTsn, Sack, kind};
pub(crate) use init::{Init, extension};
pub(crate) use packet::{Chunk, Header, Packet};
pub(crate) use reconfig::{Outcome, Parameter, Reconfig};
pub(crate) use write::{Body, Checksum, Writer};

/// Length of the common header (RFC 9260 section 3.1).
pub(crate) const HEADER_LEN: usize = 12;
/// Length of a chunk header (section 3.2).
pub(crate) const CHUNK_HEADER_LEN: usize = 4;
/// Length of a DATA chunk without its user data (section 3.3.1).
pub(crate) const DATA_HEADER_LEN: usize = 16;

/// Chunks and parameters start on 4-byte boundaries.
pub(crate) const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
