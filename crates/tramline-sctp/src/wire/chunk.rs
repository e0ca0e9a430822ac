//! The chunks of an established association.

use std::ops::RangeInclusive;

use super::{Chunk, read_u16, read_u32};

/// Chunk types.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    /// RFC 6525.
    pub(crate) const RECONFIG: u8 = 130;
    /// RFC 4820: filling, to be skipped.
    pub(crate) const PAD: u8 = 132;
    /// RFC 3758.
    pub(crate) const FORWARD_TSN: u8 = 192;
}

/// Error causes (RFC 9260 section 3.3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    InvalidStream = 1,
    StaleCookie = 3,
    OutOfResource = 4,
    UnrecognizedChunk = 6,
    NoUserData = 9,
    UserAbort = 12,
}

impl Cause {
    pub(crate) fn describe(code: u16) -> &'static str {
        match code {
            1 => "invalid stream identifier",
            2 => "missing mandatory parameter",
            3 => "stale cookie",
            4 => "out of resource",
            5 => "unresolvable address",
            6 => "unrecognized chunk type",
            7 => "invalid mandatory parameter",
            8 => "unrecognized parameters",
            9 => "no user data",
            10 => "cookie received while shutting down",
            11 => "restart with new addresses",
            12 => "user initiated abort",
            13 => "protocol violation",
            _ => "unknown cause",
        }
    }
}

/// Flags of a DATA chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DataFlags(pub(crate) u8);

impl DataFlags {
    pub(crate) const END: u8 = 1;
    pub(crate) const BEGIN: u8 = 2;
    pub(crate) const UNORDERED: u8 = 4;
    pub(crate) const IMMEDIATE: u8 = 8;

    pub(crate) fn is_end(self) -> bool {
        self.0 & Self::END != 0
    }

    pub(crate) fn is_begin(self) -> bool {
        self.0 & Self::BEGIN != 0
    }

    pub(crate) fn is_unordered(self) -> bool {
        self.0 & Self::UNORDERED != 0
    }

    pub(crate) fn is_immediate(self) -> bool {
        self.0 & Self::IMMEDIATE != 0
    }
}

/// A DATA chunk (RFC 9260 section 3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Data<'a> {
    pub(crate) flags: DataFlags,
    pub(crate) tsn: u32,
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) payload: &'a [u8],
    /// Where `payload` begins in the packet.
    pub(crate) offset: usize,
}

impl<'a> Data<'a> {
    /// `None` when it is shorter than its header.
    pub(crate) fn parse(chunk: &Chunk<'a>) -> Option<Self> {
        let value = chunk.value;
        Some(Self {
            flags: DataFlags(chunk.flags),
            tsn: read_u32(value, 0)?,
            stream: read_u16(value, 4)?,
            ssn: read_u16(value, 6)?,
            ppid: read_u32(value, 8)?,
            payload: value.get(12..)?,
            offset: chunk.offset + 12,
        })
    }
}

/// A SACK chunk (RFC 9260 section 3.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sack<'a> {
    pub(crate) cumulative_tsn: u32,
    pub(crate) window: u32,
    gaps: &'a [u8],
}

impl<'a> Sack<'a> {
    /// `None` when it is shorter than the blocks that it claims to hold.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let gaps = 4 * usize::from(read_u16(value, 8)?);
        let duplicates = 4 * usize::from(read_u16(value, 10)?);
        let gaps = &value.get(12..12 + gaps + duplicates)?[..gaps];
        Some(Self { cumulative_tsn: read_u32(value, 0)?, window: read_u32(value, 4)?, gaps })
    }

    /// What a SHUTDOWN chunk acknowledges (section 3.3.8).
    pub(crate) fn cumulative(cumulative_tsn: u32, window: u32) -> Self {
        Self { cumulative_tsn, window, gaps: &[] }
    }

    /// The gap ack blocks, as offsets from the cumulative TSN.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = RangeInclusive<u16>> + use<'a> {
        self.gaps
            .chunks_exact(4)
            .map(|block| u16::from_be_bytes([block[0], block[1]])..=u16::from_be_bytes([block[2], block[3]]))
    }
}

/// A FORWARD TSN chunk (RFC 3758 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForwardTsn<'a> {
    pub(crate) tsn: u32,
    streams: &'a [u8],
}

impl<'a> ForwardTsn<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let streams = value.get(4..)?;
        Some(Self { tsn: read_u32(value, 0)?, streams: &streams[..streams.len() / 4 * 4] })
    }

    /// Stream and the last skipped sequence number on it.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (u16, u16)> + use<'a> {
        self.streams
            .chunks_exact(4)
            .map(|pair| (u16::from_be_bytes([pair[0], pair[1]]), u16::from_be_bytes([pair[2], pair[3]])))
    }
}
