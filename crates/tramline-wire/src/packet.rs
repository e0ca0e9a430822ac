use crate::{EncodeError, Header, ParseError};

/// One packet of a data track: a header and the part of a frame that it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What the packet says about itself.
    pub header: Header,
    /// The payload; it can be empty.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet the way LiveKit's Rust client (`livekit-datatrack` 0.2.4) does, without copying.
    ///
    /// The payload is always the end of `packet`. To slice it off a reference-counted buffer, the offset comes
    /// from [`Header::parse`].
    ///
    /// # Errors
    /// What [`ParseError`] lists; the packet is of no use then.
    pub fn parse(packet: &'a [u8]) -> Result<Self, ParseError> {
        let (header, payload_offset) = Header::parse(packet)?;
        Ok(Self { header, payload: &packet[payload_offset..] })
    }

    /// Length in bytes that [`encode`](Self::encode) writes.
    pub const fn encoded_len(&self) -> usize {
        self.header.encoded_len() + self.payload.len()
    }

    /// Writes header and payload to the start of `out` and returns their length.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len); nothing is written then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.encoded_len();
        let available = out.len();
        let Some(out) = out.get_mut(..needed) else {
            return Err(EncodeError { needed, available });
        };
        let header_len = self.header.encode(out)?;
        out[header_len..].copy_from_slice(self.payload);
        Ok(needed)
    }
}
