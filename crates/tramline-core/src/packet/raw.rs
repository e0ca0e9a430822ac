//! What a server does with a packet: reads whom it is from and for, and rewrites the first.
//!
//! Everything that is not about the sender stays byte for byte what it was, also fields and kinds that are not known
//! here: newer clients talk to each other through older servers.

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use super::DataPacketKind;

/// Not a protobuf message, or one whose fields of `DataPacket` have other types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a data packet")]
pub struct Malformed;

/// What of a packet matters on its way. Borrows from the packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet<'a> {
    /// Who the sender says it is.
    pub identity: &'a str,
    /// The identities that it is for; empty for everybody.
    pub destinations: Vec<&'a str>,
    /// The same by SID, as old clients address.
    pub destination_sids: Vec<&'a str>,
    /// The sender's number for it, 0 for none.
    pub sequence: u32,
    /// What it is.
    pub body: Body,
    /// The sender's mark against repeats; empty when there is none.
    pub nonce: &'a [u8],
}

/// What a packet is (the oneof of `DataPacket`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// A user's bytes.
    User,
    /// What agents say for others: a transcription.
    Transcription,
    /// A client's metrics.
    Metrics,
    /// A chat message, or a part of a stream: agents may send them in another's name.
    Speech,
    /// Anything else.
    #[default]
    Other,
}

/// What the server says of the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// Its identity.
    pub identity: &'a str,
    /// Its SID.
    pub sid: &'a str,
    /// The channel that the packet came on.
    pub kind: DataPacketKind,
    /// Whether the sender's number stays.
    pub keep_sequence: bool,
}

/// Fields of `DataPacket`.
mod field {
    pub(super) const KIND: u32 = 1;
    pub(super) const USER: u32 = 2;
    pub(super) const IDENTITY: u32 = 4;
    pub(super) const DESTINATIONS: u32 = 5;
    pub(super) const TRANSCRIPTION: u32 = 7;
    pub(super) const METRICS: u32 = 8;
    pub(super) const CHAT: u32 = 9;
    pub(super) const STREAM: std::ops::RangeInclusive<u32> = 13..=15;
    pub(super) const SEQUENCE: u32 = 16;
    pub(super) const SID: u32 = 17;
}

/// Fields of `UserPacket`.
mod user {
    pub(super) const SID: u32 = 1;
    pub(super) const DESTINATION_SIDS: u32 = 3;
    pub(super) const IDENTITY: u32 = 5;
    pub(super) const DESTINATIONS: u32 = 6;
    pub(super) const NONCE: u32 = 11;
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut packet = Self::default();
        let mut old_destinations = Vec::new();
        for field in Fields::new(bytes) {
            let Field { number, value, .. } = field?;
            match (number, value) {
                (field::KIND, Value::Varint(_)) => {}
                (field::SEQUENCE, Value::Varint(sequence)) => packet.sequence = sequence as u32,
                (field::IDENTITY, Value::Bytes(range)) => packet.identity = text(&bytes[range])?,
                (field::DESTINATIONS, Value::Bytes(range)) => packet.destinations.push(text(&bytes[range])?),
                (field::SID, Value::Bytes(range)) => {
                    text(&bytes[range])?;
                }
                (field::USER, Value::Bytes(range)) => {
                    packet.body = Body::User;
                    for field in Fields::new(&bytes[range.clone()]) {
                        let Field { number, value, .. } = field?;
                        let Value::Bytes(inner) = value else { continue };
                        let inner = &bytes[range.start + inner.start..range.start + inner.end];
                        match number {
                            user::DESTINATION_SIDS => packet.destination_sids.push(text(inner)?),
                            user::DESTINATIONS => old_destinations.push(text(inner)?),
                            user::NONCE => packet.nonce = inner,
                            _ => {}
                        }
                    }
                }
                (field::TRANSCRIPTION, Value::Bytes(_)) => packet.body = Body::Transcription,
                (field::METRICS, Value::Bytes(_)) => packet.body = Body::Metrics,
                (number, Value::Bytes(_)) if number == field::CHAT || field::STREAM.contains(&number) => {
                    packet.body = Body::Speech;
                }
                // Speakers, DTMF, RPC, encrypted packets.
                (3 | 6 | 10..=12 | 18, Value::Bytes(_)) => packet.body = Body::Other,
                (
                    field::KIND
                    | field::SEQUENCE
                    | field::USER
                    | field::IDENTITY
                    | field::DESTINATIONS
                    | field::SID,
                    _,
                ) => {
                    return Err(Malformed);
                }
                _ => {}
            }
        }
        if packet.destinations.is_empty() {
            packet.destinations = old_destinations;
        }
        Ok(packet)
    }
}

/// The same packet with the server's word about its sender.
///
/// # Errors
/// It is no packet.
pub fn stamp(bytes: &[u8], stamp: &Stamp<'_>) -> Result<Bytes, Malformed> {
    let mut out = BytesMut::with_capacity(bytes.len() + stamp.identity.len() * 2 + stamp.sid.len() * 2 + 32);
    if stamp.kind == DataPacketKind::Lossy {
        put_varint_field(&mut out, field::KIND, 1);
    }
    for field in Fields::new(bytes) {
        let Field { number, whole, value } = field?;
        match (number, value) {
            (field::KIND | field::IDENTITY | field::SID, _) => {}
            (field::SEQUENCE, _) if !stamp.keep_sequence => {}
            (field::USER, Value::Bytes(range)) => {
                let user = stamp_user(&bytes[range], stamp)?;
                put_bytes_field(&mut out, field::USER, &user);
            }
            _ => out.extend_from_slice(&bytes[whole]),
        }
    }
    put_bytes_field(&mut out, field::IDENTITY, stamp.identity.as_bytes());
    put_bytes_field(&mut out, field::SID, stamp.sid.as_bytes());
    Ok(out.freeze())
}

/// Old clients read the sender inside the user's packet.
fn stamp_user(bytes: &[u8], stamp: &Stamp<'_>) -> Result<BytesMut, Malformed> {
    let mut out = BytesMut::with_capacity(bytes.len() + stamp.identity.len() + stamp.sid.len() + 8);
    for field in Fields::new(bytes) {
        let Field { number, whole, .. } = field?;
        if number != user::SID && number != user::IDENTITY {
            out.extend_from_slice(&bytes[whole]);
        }
    }
    put_bytes_field(&mut out, user::SID, stamp.sid.as_bytes());
    put_bytes_field(&mut out, user::IDENTITY, stamp.identity.as_bytes());
    Ok(out)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// One field of a message.
struct Field {
    number: u32,
    /// Tag and value.
    whole: Range<usize>,
    value: Value,
}

enum Value {
    Varint(u64),
    /// Where a length-delimited value stands.
    Bytes(Range<usize>),
    /// A number of fixed length.
    Fixed,
}

/// The fields of a message, until its end or the first error.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(Malformed)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn skip(&mut self, len: u64) -> Result<Range<usize>, Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len()).ok_or(Malformed)?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    fn read(&mut self) -> Result<Field, Malformed> {
        let start = self.at;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0).ok_or(Malformed)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.skip(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.skip(len)?)
            }
            5 => self.skip(4).map(|_| Value::Fixed)?,
            // Groups: nobody has used them since before there was LiveKit.
            _ => return Err(Malformed),
        };
        Ok(Field { number, whole: start..self.at, value })
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_varint_field(out: &mut BytesMut, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Empty values are left out, as protobuf does.
fn put_bytes_field(out: &mut BytesMut, number: u32, value: &[u8]) {
    if value.is_empty() && number != field::USER {
        return;
    }
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests;
