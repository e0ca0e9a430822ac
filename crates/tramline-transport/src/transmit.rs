//! Datagrams on their way out, in one buffer.

use std::net::SocketAddr;
use std::ops::Range;

/// One datagram inside a [`Transmits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Local address to send from; `None` leaves the choice to the socket.
    pub src: Option<SocketAddr>,
    /// Where to send it.
    pub dst: SocketAddr,
    /// Its bytes inside [`Transmits::bytes`].
    pub range: Range<usize>,
}

/// Datagrams to send, in one buffer and in order.
///
/// Datagrams lie back to back in [`bytes`](Self::bytes), so a run of equally long ones to the same destination is one
/// contiguous slice and can leave with one system call (GSO). Keep one of these per socket and
/// [`clear`](Self::clear) it after sending: in steady state nothing is allocated.
#[derive(Debug, Default)]
pub struct Transmits {
    /// Always initialised up to its length; only the first `used` bytes mean something.
    buf: Vec<u8>,
    used: usize,
    items: Vec<Transmit>,
}

impl Transmits {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all datagrams and keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.items.clear();
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The datagrams in the order in which they are to be sent.
    pub fn items(&self) -> &[Transmit] {
        &self.items
    }

    /// All payloads back to back; [`Transmit::range`] indexes into it.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[..self.used]
    }

    /// Source, destination and payload of each datagram.
    pub fn iter(&self) -> impl Iterator<Item = (Option<SocketAddr>, SocketAddr, &[u8])> {
        self.items.iter().map(|t| (t.src, t.dst, &self.buf[t.range.clone()]))
    }

    /// Appends one datagram.
    pub fn push(&mut self, src: Option<SocketAddr>, dst: SocketAddr, payload: &[u8]) {
        self.room(payload.len())[..payload.len()].copy_from_slice(payload);
        self.commit(src, dst, payload.len());
    }

    /// At least `len` writable bytes behind the last datagram, to be kept with [`commit`](Self::commit).
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        let wanted = self.used + len;
        if self.buf.len() < wanted {
            // Grown in large steps: zeroing new memory for each datagram would cost as much as copying it.
            self.buf.resize(wanted.next_multiple_of(GROWTH), 0);
        }
        &mut self.buf[self.used..]
    }

    /// Makes the first `len` bytes of the last [`room`](Self::room) a datagram.
    pub(crate) fn commit(&mut self, src: Option<SocketAddr>, dst: SocketAddr, len: usize) {
        debug_assert!(self.used + len <= self.buf.len());
        let range = self.used..self.used + len;
        self.used = range.end;
        self.items.push(Transmit { src, dst, range });
    }
}

/// One GSO run: 64 datagrams of 1,200 bytes, rounded up.
const GROWTH: usize = 80 * 1024;
