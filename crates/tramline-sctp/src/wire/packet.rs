//! The packet around the chunks.

use super::{CHUNK_HEADER_LEN, HEADER_LEN, padded, read_u16, read_u32};

/// What cannot be an SCTP packet, or ends the reading of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Shorter than the common header, or without a chunk.
    Short,
    /// A chunk's length is below its header or beyond the packet.
    ChunkLength,
}

/// The common header (RFC 9260 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) tag: u32,
}

/// A packet whose header was read and whose chunks were not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) header: Header,
    bytes: &'a [u8],
}

/// One chunk, with its value not yet looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// Without the chunk header and without padding.
    pub(crate) value: &'a [u8],
    /// Where `value` begins in the packet.
    pub(crate) offset: usize,
}

impl<'a> Packet<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() < HEADER_LEN + CHUNK_HEADER_LEN {
            return Err(Malformed::Short);
        }
        let (Some(source_port), Some(destination_port), Some(tag)) =
            (read_u16(bytes, 0), read_u16(bytes, 2), read_u32(bytes, 4))
        else {
            return Err(Malformed::Short);
        };
        Ok(Self { header: Header { source_port, destination_port, tag }, bytes })
    }

    /// Whether the checksum field is all zero, as with RFC 9653.
    pub(crate) fn is_checksum_zero(&self) -> bool {
        self.bytes[8..12] == [0; 4]
    }

    /// Whether the CRC32c is right (RFC 9260 appendix A).
    pub(crate) fn is_checksum_right(&self) -> bool {
        self.bytes[8..12] == checksum(self.bytes).to_le_bytes()
    }

    /// The chunks in order; an error is the last item.
    pub(crate) fn chunks(&self) -> Chunks<'a> {
        Chunks { bytes: self.bytes, at: HEADER_LEN }
    }
}

/// See [`Packet::chunks`].
#[derive(Debug, Clone)]
pub(crate) struct Chunks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let (Some(&[kind, flags]), Some(len)) = (rest.first_chunk(), read_u16(rest, 2)) else {
            self.at = self.bytes.len();
            return Some(Err(Malformed::ChunkLength));
        };
        let len = usize::from(len);
        if len < CHUNK_HEADER_LEN || len > rest.len() {
            self.at = self.bytes.len();
            return Some(Err(Malformed::ChunkLength));
        }
        let offset = self.at + CHUNK_HEADER_LEN;
        // Some senders leave out the padding of the last chunk.
        self.at += padded(len).min(rest.len());
        Some(Ok(Chunk { kind, flags, value: &rest[CHUNK_HEADER_LEN..len], offset }))
    }
}

/// CRC32c of a packet, its checksum field taken as zero. It is sent with the least significant byte first.
pub(super) fn checksum(packet: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&packet[..8]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, &packet[HEADER_LEN..])
}
