//! RE-CONFIG chunks (RFC 6525).

use super::{padded, read_u16, read_u32};

/// A RE-CONFIG chunk with its one or two parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reconfig<'a>(&'a [u8]);

/// One parameter of a RE-CONFIG chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter<'a> {
    /// Section 4.1: the sender starts again on these of its streams once everything up to `last_tsn` has arrived.
    Outgoing { request: u32, response: u32, last_tsn: u32, streams: Streams<'a> },
    /// Section 4.2: the receiver is asked to start again on these of its streams.
    Incoming { request: u32, streams: Streams<'a> },
    /// Section 4.4.
    Response { request: u32, result: u32 },
    /// Sections 4.3, 4.5 and 4.6: requests that data channels have no use for.
    Other { request: u32 },
}

/// Stream ids; none means all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streams<'a>(&'a [u8]);

/// Results of section 4.4 that are sent or acted on here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    NothingToDo = 0,
    Performed = 1,
    Denied = 2,
    BadSequence = 5,
    InProgress = 6,
}

impl Outcome {
    pub(crate) const fn code(self) -> u32 {
        self as u32
    }
}

impl<'a> Reconfig<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self(value)
    }

    /// At most two parameters; what cannot be read ends them.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = Parameter<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (kind_of, len) = (read_u16(rest, 0)?, usize::from(read_u16(rest, 2)?));
            let body = rest.get(4..len)?;
            rest = &rest[padded(len).min(rest.len())..];
            let request = read_u32(body, 0)?;
            Some(match kind_of {
                13 => Parameter::Outgoing {
                    request,
                    response: read_u32(body, 4)?,
                    last_tsn: read_u32(body, 8)?,
                    streams: Streams(&body[12..]),
                },
                14 => Parameter::Incoming { request, streams: Streams(&body[4..]) },
                16 => Parameter::Response { request, result: read_u32(body, 4)? },
                _ => Parameter::Other { request },
            })
        })
        .take(2)
    }
}

impl<'a> Streams<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.0.chunks_exact(2).map(|id| u16::from_be_bytes([id[0], id[1]]))
    }

    pub(crate) fn is_all(&self) -> bool {
        self.0.len() < 2
    }
}
