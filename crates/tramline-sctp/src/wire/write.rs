//! Writing packets into a buffer of the caller.

use super::packet::checksum;
use super::{CHUNK_HEADER_LEN, HEADER_LEN, Header, padded};

/// What goes into the checksum field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    Crc32c,
    /// RFC 9653.
    Zero,
}

/// One packet in the making. Every `put` needs room that was asked for before.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// `out` is as long as the packet may become.
    pub(crate) fn new(out: &'a mut [u8], header: Header) -> Self {
        out[0..2].copy_from_slice(&header.source_port.to_be_bytes());
        out[2..4].copy_from_slice(&header.destination_port.to_be_bytes());
        out[4..8].copy_from_slice(&header.tag.to_be_bytes());
        out[8..12].fill(0);
        Self { out, len: HEADER_LEN }
    }

    /// Bytes that still fit, chunk headers included. Always a multiple of 4.
    pub(crate) fn room(&self) -> usize {
        (self.out.len() - self.len) / 4 * 4
    }

    /// Whether there is no chunk yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == HEADER_LEN
    }

    /// Appends a chunk whose body, of `len` bytes, is written by `body`. Returns where it starts.
    pub(crate) fn chunk(
        &mut self,
        kind: u8,
        flags: u8,
        len: usize,
        body: impl FnOnce(&mut Body<'_>),
    ) -> usize {
        let start = self.len;
        let end = start + CHUNK_HEADER_LEN + len;
        self.out[start] = kind;
        self.out[start + 1] = flags;
        self.out[start + 2..start + 4].copy_from_slice(&((CHUNK_HEADER_LEN + len) as u16).to_be_bytes());
        let mut writer = Body(&mut self.out[start + CHUNK_HEADER_LEN..end]);
        body(&mut writer);
        debug_assert!(writer.0.is_empty(), "a body is as long as was said");
        self.len = start + padded(CHUNK_HEADER_LEN + len);
        self.out[end..self.len].fill(0);
        start
    }

    /// Sets flags of a chunk that was written before.
    pub(crate) fn add_flags(&mut self, chunk: usize, flags: u8) {
        self.out[chunk + 1] |= flags;
    }

    /// The packet's length.
    pub(crate) fn finish(self, mode: Checksum) -> usize {
        if mode == Checksum::Crc32c {
            let crc = checksum(&self.out[..self.len]);
            self.out[8..12].copy_from_slice(&crc.to_le_bytes());
        }
        self.len
    }
}

/// The body of a chunk, filled from front to back.
#[derive(Debug)]
pub(crate) struct Body<'a>(&'a mut [u8]);

impl Body<'_> {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (head, rest) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.0 = rest;
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// A parameter or error cause with its padding.
    pub(crate) fn parameter(&mut self, kind_of: u16, body: &[u8]) {
        self.u16(kind_of);
        self.u16((4 + body.len()) as u16);
        self.bytes(body);
        let padding = padded(body.len()) - body.len();
        self.bytes(&[0; 3][..padding]);
    }
}
