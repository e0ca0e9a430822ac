use thiserror::Error;

use crate::extension::WORD_COUNT_LEN;
use crate::{Extensions, MIN_HEADER_LEN, TrackHandle};

/// Everything in a packet but its payload.
///
/// On the wire (big-endian): three bits of version (0), two of [`Marker`], one that says whether extensions
/// follow, two reserved; a reserved byte; handle, sequence and frame number with 16 bits each; the 32-bit
/// timestamp; then the extension block, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Where in its frame the packet belongs.
    pub marker: Marker,
    /// The track, by the number that its sender or the server gave it.
    pub handle: TrackHandle,
    /// Counts the packets of the track from 0 and wraps.
    pub sequence: u16,
    /// Counts the frames of the track from 0 and wraps.
    pub frame_number: u16,
    /// Time of the frame in ticks of 90 kHz from a random base. Some clients send a constant: not to be used for
    /// order or pace.
    pub timestamp: u32,
    /// Optional entries.
    pub extensions: Extensions,
}

impl Header {
    /// Length in bytes that [`encode`](Self::encode) writes: 12 without extensions, at most 40.
    pub const fn encoded_len(&self) -> usize {
        MIN_HEADER_LEN + self.extensions.encoded_len()
    }

    /// Writes the header in its canonical form to the start of `out` and returns its length; the payload belongs
    /// right behind it.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len); nothing is written then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.encoded_len();
        let available = out.len();
        let Some(out) = out.get_mut(..needed) else {
            return Err(EncodeError { needed, available });
        };
        let (fixed, block) = out.split_at_mut(MIN_HEADER_LEN);
        fixed[0] = (self.marker as u8) << MARKER_SHIFT;
        fixed[1] = 0;
        fixed[2..4].copy_from_slice(&self.handle.get().to_be_bytes());
        fixed[4..6].copy_from_slice(&self.sequence.to_be_bytes());
        fixed[6..8].copy_from_slice(&self.frame_number.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.timestamp.to_be_bytes());
        if !block.is_empty() {
            fixed[0] |= EXTENSION_FLAG;
            self.extensions.encode(block);
        }
        Ok(needed)
    }

    /// Reads the header of `packet` and returns it with the offset of the payload, which is the rest.
    ///
    /// For a packet in a reference-counted buffer, whose payload is to be sliced off; see also
    /// [`Packet::parse`](crate::Packet::parse).
    ///
    /// # Errors
    /// What [`ParseError`] lists; the packet is of no use then.
    pub fn parse(packet: &[u8]) -> Result<(Self, usize), ParseError> {
        let fixed = Fixed::parse(packet)?;
        let extensions = match packet.get(MIN_HEADER_LEN + WORD_COUNT_LEN..fixed.payload_offset) {
            Some(entries) => Extensions::parse(entries)?,
            None => Extensions::default(),
        };
        let Fixed { marker, handle, sequence, frame_number, timestamp, payload_offset } = fixed;
        Ok((Self { marker, handle, sequence, frame_number, timestamp, extensions }, payload_offset))
    }
}

/// Where in its frame a packet belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Marker {
    /// Between the first and the last one.
    Inter = 0b00,
    /// The last of several.
    Final = 0b01,
    /// The first of several.
    Start = 0b10,
    /// The only one.
    Single = 0b11,
}

impl Marker {
    /// The packet begins a frame.
    pub const fn is_start(self) -> bool {
        matches!(self, Self::Start | Self::Single)
    }

    /// The packet ends a frame.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Final | Self::Single)
    }

    const fn from_first_byte(byte: u8) -> Self {
        match (byte >> MARKER_SHIFT) & 0b11 {
            0b00 => Self::Inter,
            0b01 => Self::Final,
            0b10 => Self::Start,
            _ => Self::Single,
        }
    }
}

/// The buffer for a header is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the packet header needs {needed} bytes, the buffer has {available}")]
pub struct EncodeError {
    /// Length of the header in bytes.
    pub needed: usize,
    /// Length of the buffer in bytes.
    pub available: usize,
}

/// Why bytes are not a data-track packet. Always the peer's fault: drop the packet and count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Shorter than the shortest header.
    #[error("a packet of {len} bytes is too short for a header of 12")]
    TooShort {
        /// Length of the packet in bytes.
        len: usize,
    },
    /// A version of the format other than 0.
    #[error("packet format version {version} is not supported, only 0 is")]
    Version {
        /// The version, 1 to 7.
        version: u8,
    },
    /// The reserved handle 0.
    #[error("track handle 0 is reserved")]
    ZeroHandle,
    /// The header promises extensions and ends before their length.
    #[error("the extension flag is set, but {available} of 2 bytes of the extension length are there")]
    NoExtensionLength {
        /// Bytes behind the fixed header.
        available: usize,
    },
    /// The extension block is longer than the packet.
    #[error("an extension block of {len} bytes does not fit the {available} bytes behind the fixed header")]
    ExtensionOverrun {
        /// Length of the block in bytes, its own length field included.
        len: usize,
        /// Bytes behind the fixed header.
        available: usize,
    },
    /// An entry is longer than the rest of its block.
    #[error("extension {tag} of {len} bytes does not fit the {available} bytes left of its block")]
    Extension {
        /// Id of the extension.
        tag: u8,
        /// Length in bytes that it claims.
        len: u8,
        /// Bytes left of the block.
        available: usize,
    },
}

const VERSION_SHIFT: u8 = 5;
const MARKER_SHIFT: u8 = 3;
const EXTENSION_FLAG: u8 = 1 << 2;

/// The header up to its extensions, with the room that they take checked but nothing in them read.
pub(crate) struct Fixed {
    pub(crate) marker: Marker,
    pub(crate) handle: TrackHandle,
    pub(crate) sequence: u16,
    pub(crate) frame_number: u16,
    pub(crate) timestamp: u32,
    pub(crate) payload_offset: usize,
}

impl Fixed {
    /// Reserved bits are ignored, as all official parsers do.
    pub(crate) fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let Some((fixed, rest)) = packet.split_first_chunk::<MIN_HEADER_LEN>() else {
            return Err(ParseError::TooShort { len: packet.len() });
        };
        let [first, _, h0, h1, s0, s1, f0, f1, timestamp @ ..] = *fixed;
        let version = first >> VERSION_SHIFT;
        if version != 0 {
            return Err(ParseError::Version { version });
        }
        let handle = TrackHandle::new(u16::from_be_bytes([h0, h1])).ok_or(ParseError::ZeroHandle)?;
        let block_len = if first & EXTENSION_FLAG == 0 { 0 } else { extension_block_len(rest)? };
        Ok(Self {
            marker: Marker::from_first_byte(first),
            handle,
            sequence: u16::from_be_bytes([s0, s1]),
            frame_number: u16::from_be_bytes([f0, f1]),
            timestamp: u32::from_be_bytes(timestamp),
            payload_offset: MIN_HEADER_LEN + block_len,
        })
    }
}

/// Length of the extension block at the start of `rest`: the field counts 32-bit words, itself included, minus
/// one.
fn extension_block_len(rest: &[u8]) -> Result<usize, ParseError> {
    let available = rest.len();
    let Some(words) = rest.first_chunk::<WORD_COUNT_LEN>() else {
        return Err(ParseError::NoExtensionLength { available });
    };
    let len = 4 * (usize::from(u16::from_be_bytes(*words)) + 1);
    if len > available { Err(ParseError::ExtensionOverrun { len, available }) } else { Ok(len) }
}
