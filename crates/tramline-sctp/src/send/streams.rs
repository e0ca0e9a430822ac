//! Outgoing streams and which of their messages is next.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

/// A message of which nothing was sent.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) payload: Bytes,
    pub(crate) ppid: u32,
    pub(crate) ordered: bool,
    pub(crate) max_retransmits: Option<u32>,
    pub(crate) expires: Option<Instant>,
    pub(crate) copies: u8,
    pub(crate) flow: u32,
    pub(crate) receipt: Option<u64>,
}

/// All outgoing streams that were ever used.
///
/// Messages cannot be interleaved (that would need RFC 8260), so streams take turns by whole messages: the next is the one that
/// would have begun first if all streams shared the path equally (start-time fair queueing). A small message overtakes
/// a queue of large ones on another stream, and neither starves.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Sorted by id.
    all: Vec<Stream>,
    /// Ids of the streams with something in their queue.
    waiting: Vec<u16>,
    /// The virtual time of the fair order, in bytes.
    time: u64,
    buffered: usize,
    /// Bytes of messages of which nothing was sent.
    queued: usize,
}

#[derive(Debug)]
struct Stream {
    id: u16,
    next_ssn: u16,
    queue: VecDeque<Queued>,
    /// Bytes queued, or sent and neither acknowledged nor given up.
    buffered: usize,
    /// When its last message is through, in virtual time.
    finished: u64,
    reset: Reset,
}

/// How far the reset of our direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    /// Nothing was sent since the beginning or the last reset.
    Unused,
    Used,
    /// Wanted, as soon as its messages have left.
    Wanted,
    /// Asked for.
    Requested,
}

impl Streams {
    /// `false` while the stream is being reset.
    pub(crate) fn push(&mut self, id: u16, message: Queued) -> bool {
        let stream = self.get_or_insert(id);
        if matches!(stream.reset, Reset::Wanted | Reset::Requested) {
            return false;
        }
        stream.reset = Reset::Used;
        stream.buffered += message.payload.len();
        let (len, first) = (message.payload.len(), stream.queue.is_empty());
        stream.queue.push_back(message);
        self.buffered += len;
        self.queued += len;
        if first {
            self.waiting.push(id);
        }
        true
    }

    /// The next message of all; ones that have expired are given to `expired`.
    pub(crate) fn pop(&mut self, now: Instant, mut expired: impl FnMut()) -> Option<(u16, Queued)> {
        loop {
            let (at, id, start) = self
                .waiting
                .iter()
                .enumerate()
                .filter_map(|(at, id)| {
                    Some((at, *id, self.time.max(self.all[self.find(*id).ok()?].finished)))
                })
                .min_by_key(|(_, _, start)| *start)?;
            let index = self.find(id).ok()?;
            let stream = &mut self.all[index];
            let message = stream.queue.pop_front()?;
            self.queued -= message.payload.len();
            if stream.queue.is_empty() {
                self.waiting.remove(at);
            }
            if message.expires.is_some_and(|expires| expires <= now) {
                self.release(id, message.payload.len());
                expired();
                continue;
            }
            self.time = start;
            stream.finished = start + message.payload.len() as u64 + MESSAGE_COST;
            return Some((id, message));
        }
    }

    /// Bytes of messages of which nothing was sent.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Whether any message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The number of the next ordered message of a stream.
    pub(crate) fn take_ssn(&mut self, id: u16) -> u16 {
        let stream = self.get_or_insert(id);
        let ssn = stream.next_ssn;
        stream.next_ssn = ssn.wrapping_add(1);
        ssn
    }

    /// The number that [`take_ssn`](Self::take_ssn) would give.
    pub(crate) fn peek_ssn(&self, id: u16) -> u16 {
        self.find(id).map_or(0, |at| self.all[at].next_ssn)
    }

    /// Bytes of a stream arrived or were given up.
    pub(crate) fn release(&mut self, id: u16, len: usize) {
        if let Ok(at) = self.find(id) {
            self.all[at].buffered = self.all[at].buffered.saturating_sub(len);
            self.buffered = self.buffered.saturating_sub(len);
        }
    }

    /// Bytes that had arrived are missing again.
    pub(crate) fn take_back(&mut self, id: u16, len: usize) {
        self.get_or_insert(id).buffered += len;
        self.buffered += len;
    }

    pub(crate) fn buffered(&self, id: u16) -> usize {
        self.find(id).map_or(0, |at| self.all[at].buffered)
    }

    pub(crate) fn total_buffered(&self) -> usize {
        self.buffered
    }

    /// Wants our direction of a stream to begin anew; `false` when there is nothing to reset.
    pub(crate) fn want_reset(&mut self, id: u16) -> bool {
        let Ok(at) = self.find(id) else { return false };
        let wanted = self.all[at].reset == Reset::Used;
        if wanted {
            self.all[at].reset = Reset::Wanted;
        }
        wanted
    }

    /// Streams that can be reset now: wanted, with nothing left to send. `busy` is the one whose message is being sent.
    pub(crate) fn request_resets(&mut self, busy: Option<u16>, limit: usize, out: &mut Vec<u16>) {
        for stream in &mut self.all {
            if out.len() < limit
                && stream.reset == Reset::Wanted
                && stream.queue.is_empty()
                && busy != Some(stream.id)
            {
                stream.reset = Reset::Requested;
                out.push(stream.id);
            }
        }
    }

    /// The peer performed (or refused) the reset.
    pub(crate) fn finish_reset(&mut self, id: u16, performed: bool) {
        if let Ok(at) = self.find(id) {
            let stream = &mut self.all[at];
            stream.reset = if performed { Reset::Unused } else { Reset::Used };
            if performed {
                stream.next_ssn = 0;
            }
        }
    }

    /// Ids of the streams in use.
    pub(crate) fn used(&self) -> impl Iterator<Item = u16> {
        self.all.iter().filter(|stream| stream.reset == Reset::Used).map(|stream| stream.id)
    }

    fn find(&self, id: u16) -> Result<usize, usize> {
        self.all.binary_search_by_key(&id, |stream| stream.id)
    }

    fn get_or_insert(&mut self, id: u16) -> &mut Stream {
        let at = match self.find(id) {
            Ok(at) => at,
            Err(at) => {
                self.all.insert(
                    at,
                    Stream {
                        id,
                        next_ssn: 0,
                        queue: VecDeque::new(),
                        buffered: 0,
                        finished: 0,
                        reset: Reset::Unused,
                    },
                );
                at
            }
        };
        &mut self.all[at]
    }
}

/// What a message costs beside its bytes in the fair order: about its headers.
const MESSAGE_COST: u64 = 16;
