//! What was sent and not acknowledged for good.
//!
//! A ring of chunks, indexed by TSN; a ring of the messages that they are cut from; and a ring of transmissions in the order of
//! their time, in which losses are found as RFC 8985 does: a chunk is lost when one that was sent later has
//! arrived, and a round trip and a little more have passed. Each is walked only where something changed: the cost of an
//! acknowledgement does not depend on how much is in flight.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::streams::Streams;
use crate::serial::before;
use crate::stats::Stats;
use crate::wire::{DATA_HEADER_LEN, Sack};

#[derive(Debug)]
pub(crate) struct Flight {
    /// TSN of the first chunk: one above the cumulative TSN of the peer.
    base: u32,
    chunks: VecDeque<Chunk>,
    messages: VecDeque<Outgoing>,
    /// Number of the first message.
    first_message: u64,
    sent: VecDeque<Sent>,
    /// TSNs to be sent again, oldest first. Ones that arrived meanwhile are passed over.
    lost: VecDeque<u32>,
    /// The gap ack blocks of the last SACK, as TSNs.
    blocks: Vec<(u32, u32)>,
    /// Of messages that arrived whole.
    receipts: Vec<u64>,
    lost_small: u32,
    spare: Vec<(u32, u32)>,
    bytes: usize,
    payload: usize,
    /// The chunk that was sent last of those that arrived, and its round trip.
    newest: Option<Newest>,
    highest_acked: u32,
    reordering: Reordering,
    /// What the peer may skip to; `base - 1` when nothing.
    forward: u32,
    scanned: u32,
    /// The point that the peer was last told.
    told: u32,
    /// A round ends when this TSN is acknowledged.
    round_end: u32,
    /// The peer understands FORWARD TSN, so messages can be given up.
    can_abandon: bool,
}

/// A message of which at least a part was sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    payload: Bytes,
    pub(crate) stream: u16,
    ssn: u16,
    ppid: u32,
    ordered: bool,
    max_retransmits: u32,
    expires: Option<Instant>,
    first_tsn: u32,
    assigned: u32,
    acknowledged: u32,
    /// Chunks that arrived, in whatever order.
    arrived: u32,
    receipt: Option<u64>,
    complete: bool,
    abandoned: bool,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    message: u64,
    offset: u32,
    len: u16,
    /// Transmissions of any kind.
    sends: u16,
    /// Transmissions after it was taken for lost.
    retries: u16,
    /// Spares in flight beside the first transmission or the last retry.
    copies: u16,
    state: State,
    sent_at: Instant,
    /// When the first transmission or the last retry left. A spare never changes what is measured: it rides ahead of a
    /// newer chunk, so the newest chunk of an acknowledgement was brought by its own packet.
    measured_from: Instant,
}

/// InFlight → Acked or Lost; Lost → InFlight when sent again, or Acked when it was only late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Lost,
    Acked,
}

/// One transmission; void when the chunk was sent again since.
#[derive(Debug, Clone, Copy)]
struct Sent {
    tsn: u32,
    sends: u16,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    sent_at: Instant,
    tsn: u32,
    round_trip: Duration,
}

/// How far packets are known to overtake each other.
#[derive(Debug, Clone, Copy, Default)]
struct Reordering {
    /// Times that the allowance was too small.
    steps: u32,
    /// Rounds since.
    quiet: u32,
}

/// What an acknowledgement brought.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Acked {
    /// Bytes that left the flight or arrived late.
    pub(crate) bytes: usize,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) round_ended: bool,
    /// Anything was acknowledged for the first time.
    pub(crate) progress: bool,
}

/// What there is to write of a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) tsn: u32,
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) ordered: bool,
    pub(crate) begin: bool,
    pub(crate) end: bool,
    pub(crate) payload: &'a [u8],
}

/// How a message enters the flight.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) payload: Bytes,
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) ordered: bool,
    pub(crate) max_retransmits: Option<u32>,
    pub(crate) expires: Option<Instant>,
    pub(crate) receipt: Option<u64>,
}

/// Path measurements that loss detection leans on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathTimes {
    pub(crate) smoothed: Duration,
    pub(crate) min: Duration,
}

impl Flight {
    pub(crate) fn new(first_tsn: u32) -> Self {
        let before_first = first_tsn.wrapping_sub(1);
        Self {
            base: first_tsn,
            chunks: VecDeque::new(),
            messages: VecDeque::new(),
            first_message: 0,
            sent: VecDeque::new(),
            lost: VecDeque::new(),
            blocks: Vec::new(),
            receipts: Vec::new(),
            lost_small: 0,
            spare: Vec::new(),
            bytes: 0,
            payload: 0,
            newest: None,
            highest_acked: before_first,
            reordering: Reordering::default(),
            forward: before_first,
            scanned: before_first,
            told: before_first,
            round_end: first_tsn,
            can_abandon: false,
        }
    }

    pub(crate) fn set_can_abandon(&mut self, can: bool) {
        self.can_abandon = can;
    }

    /// Bytes in flight, with chunk headers.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes in flight, user data only.
    pub(crate) fn payload(&self) -> usize {
        self.payload
    }

    pub(crate) fn next_tsn(&self) -> u32 {
        self.base.wrapping_add(self.chunks.len() as u32)
    }

    /// Everything that was sent was acknowledged or skipped.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Takes a message in; its chunks follow with [`send_new`](Self::send_new). Returns its number.
    pub(crate) fn begin(&mut self, entry: Entry) -> u64 {
        let Entry { payload, stream, ssn, ppid, ordered, max_retransmits, expires, receipt } = entry;
        self.messages.push_back(Outgoing {
            payload,
            stream,
            ssn,
            ppid,
            ordered,
            max_retransmits: max_retransmits.unwrap_or(u32::MAX),
            expires,
            first_tsn: self.next_tsn(),
            assigned: 0,
            acknowledged: 0,
            arrived: 0,
            receipt,
            complete: false,
            abandoned: false,
        });
        self.first_message + self.messages.len() as u64 - 1
    }

    /// The next `len` bytes of the newest message get a TSN and leave.
    pub(crate) fn send_new(&mut self, now: Instant, message: u64, offset: usize, len: usize) -> u32 {
        let tsn = self.next_tsn();
        let Some(outgoing) = self.message_mut(message) else { return tsn };
        outgoing.assigned += 1;
        outgoing.complete = offset + len >= outgoing.payload.len();
        self.chunks.push_back(Chunk {
            message,
            offset: offset as u32,
            len: len as u16,
            sends: 1,
            retries: 0,
            copies: 0,
            state: State::InFlight,
            sent_at: now,
            measured_from: now,
        });
        self.sent.push_back(Sent { tsn, sends: 1 });
        self.bytes += len + DATA_HEADER_LEN;
        self.payload += len;
        tsn
    }

    /// Ends a message that was given up before all of it was sent. It gets one more TSN, never sent, so that there is
    /// something to skip even when all that was sent has arrived.
    pub(crate) fn cut_off(&mut self, now: Instant, message: u64) {
        let Some(outgoing) = self.message_mut(message) else { return };
        outgoing.assigned += 1;
        outgoing.complete = true;
        self.chunks.push_back(Chunk {
            message,
            offset: 0,
            len: 0,
            sends: 1,
            retries: 0,
            copies: 0,
            state: State::Lost,
            sent_at: now,
            measured_from: now,
        });
        self.advance();
    }

    /// Gives a message up, if that did not happen before.
    pub(crate) fn give_up(&mut self, message: u64, streams: &mut Streams, stats: &mut Stats) {
        if !self.is_abandoned(message) {
            self.abandon(message, streams, stats);
        }
    }

    pub(crate) fn is_abandoned(&self, message: u64) -> bool {
        self.message(message).is_none_or(|outgoing| outgoing.abandoned)
    }

    /// The length of the next chunk to be sent again. What expired meanwhile is given up here.
    pub(crate) fn next_lost(
        &mut self,
        now: Instant,
        times: Option<PathTimes>,
        streams: &mut Streams,
        stats: &mut Stats,
    ) -> Option<usize> {
        while let Some(&tsn) = self.lost.front() {
            if let Some(chunk) = self.chunk(tsn).filter(|chunk| chunk.state == State::Lost).copied()
                && let Some(outgoing) = self.message(chunk.message)
                && !outgoing.abandoned
            {
                if !self.can_abandon || !has_expired(outgoing, now, times) {
                    return Some(usize::from(chunk.len));
                }
                self.abandon(chunk.message, streams, stats);
                self.advance();
            }
            self.lost.pop_front();
        }
        None
    }

    /// Sends the chunk that [`next_lost`](Self::next_lost) named.
    pub(crate) fn send_lost(&mut self, now: Instant) -> Option<u32> {
        let tsn = self.lost.pop_front()?;
        self.send_again(now, tsn);
        Some(tsn)
    }

    /// Whether something waits to be sent again.
    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The last chunk in flight, if it may be sent once more as a probe.
    pub(crate) fn probe(&mut self, now: Instant) -> Option<u32> {
        let at = self.chunks.iter().rposition(|chunk| chunk.state == State::InFlight)?;
        let chunk = self.chunks[at];
        let outgoing = self.message(chunk.message)?;
        let spent = u32::from(chunk.retries) >= outgoing.max_retransmits || has_expired(outgoing, now, None);
        if self.can_abandon && (outgoing.abandoned || spent) {
            return None;
        }
        let tsn = self.base.wrapping_add(at as u32);
        self.leave(&chunk);
        self.send_again(now, tsn);
        Some(tsn)
    }

    /// Length of a chunk that is in flight.
    pub(crate) fn in_flight(&self, tsn: u32) -> Option<usize> {
        self.chunk(tsn)
            .filter(|chunk| chunk.state == State::InFlight && !self.is_abandoned(chunk.message))
            .map(|chunk| usize::from(chunk.len))
    }

    /// Sends a spare of a chunk that is in flight.
    pub(crate) fn send_spare(&mut self, now: Instant, tsn: u32) {
        let index = tsn.wrapping_sub(self.base) as usize;
        let Some(chunk) = self.chunks.get_mut(index) else { return };
        chunk.sends = chunk.sends.saturating_add(1);
        chunk.copies += 1;
        chunk.sent_at = now;
        self.bytes += usize::from(chunk.len) + DATA_HEADER_LEN;
        self.payload += usize::from(chunk.len);
        self.sent.push_back(Sent { tsn, sends: chunk.sends });
    }

    /// Messages of one chunk that were lost since the last call.
    pub(crate) fn take_lost_small(&mut self) -> u32 {
        std::mem::take(&mut self.lost_small)
    }

    pub(crate) fn written(&self, tsn: u32) -> Option<Written<'_>> {
        let chunk = self.chunk(tsn)?;
        let outgoing = self.message(chunk.message)?;
        let (offset, len) = (chunk.offset as usize, usize::from(chunk.len));
        Some(Written {
            tsn,
            stream: outgoing.stream,
            ssn: outgoing.ssn,
            ppid: outgoing.ppid,
            ordered: outgoing.ordered,
            begin: offset == 0,
            end: offset + len == outgoing.payload.len(),
            payload: outgoing.payload.get(offset..offset + len)?,
        })
    }

    /// Takes an acknowledgement in. `None` when it is old or acknowledges what was never sent.
    pub(crate) fn handle_sack(
        &mut self,
        now: Instant,
        sack: &Sack<'_>,
        min_round_trip: Option<Duration>,
        streams: &mut Streams,
        stats: &mut Stats,
    ) -> Option<Acked> {
        let cumulative = sack.cumulative_tsn;
        let next = self.next_tsn();
        if before(cumulative, self.base.wrapping_sub(1)) {
            return None; // Overtaken by a newer one.
        }
        let outstanding = next.wrapping_sub(1).wrapping_sub(cumulative);
        let mut last_end = 0;
        let is_sane = !before(next.wrapping_sub(1), cumulative)
            && sack.gaps().all(|gap| {
                let sane = *gap.start() > last_end
                    && gap.start() <= gap.end()
                    && u32::from(*gap.end()) <= outstanding;
                last_end = *gap.end();
                sane
            });
        if !is_sane {
            stats.chunks_rejected += 1;
            return None;
        }

        let mut acked = Acked::default();
        let mut sample: Option<Newest> = None;
        while before(self.base, cumulative.wrapping_add(1)) {
            self.acknowledge(now, self.base, min_round_trip, &mut acked, &mut sample, streams, stats);
            self.pop_front();
        }
        let mut blocks = std::mem::take(&mut self.spare);
        blocks.clear();
        blocks.extend(sack.gaps().map(|gap| {
            let at = |offset: u16| cumulative.wrapping_add(u32::from(offset));
            (at(*gap.start()), at(*gap.end()))
        }));
        // Only what the last SACK did not cover is new.
        let known = std::mem::take(&mut self.blocks);
        let mut at = 0;
        for &(start, end) in &blocks {
            let mut tsn = start;
            while !before(end, tsn) {
                while known.get(at).is_some_and(|(_, known_end)| before(*known_end, tsn)) {
                    at += 1;
                }
                let until = match known.get(at) {
                    Some((known_start, known_end)) if !before(tsn, *known_start) => {
                        tsn = known_end.wrapping_add(1);
                        continue;
                    }
                    Some((known_start, _)) if !before(end, *known_start) => known_start.wrapping_sub(1),
                    _ => end,
                };
                while !before(until, tsn) {
                    self.acknowledge(now, tsn, min_round_trip, &mut acked, &mut sample, streams, stats);
                    tsn = tsn.wrapping_add(1);
                }
            }
        }
        self.blocks = blocks;
        self.spare = known;

        if let Some(sample) = sample {
            acked.round_trip = Some(sample.round_trip);
        }
        if !before(self.highest_acked, self.round_end) {
            acked.round_ended = true;
            self.round_end = self.next_tsn();
            self.reordering.handle_round();
        }
        self.advance();
        Some(acked)
    }

    /// Finds what is lost by now. Returns its bytes, and when to look again.
    pub(crate) fn detect_losses(
        &mut self,
        now: Instant,
        times: PathTimes,
        streams: &mut Streams,
        stats: &mut Stats,
    ) -> (usize, Option<Instant>) {
        let Some(newest) = self.newest else { return (0, None) };
        let patience = newest.round_trip + self.reordering.window(times);
        let mut bytes = 0;
        let again = loop {
            let Some((tsn, sent_at)) = self.oldest() else { break None };
            let sent_before =
                sent_at < newest.sent_at || (sent_at == newest.sent_at && before(tsn, newest.tsn));
            if !sent_before {
                break None;
            }
            if sent_at + patience > now {
                break Some(sent_at + patience);
            }
            self.sent.pop_front();
            bytes += self.lose(now, tsn, Some(times), streams, stats);
        };
        if bytes > 0 {
            self.advance();
        }
        (bytes, again)
    }

    /// Takes everything in flight for lost, and what the peer acknowledged once and does not any more.
    pub(crate) fn lose_all(&mut self, now: Instant, streams: &mut Streams, stats: &mut Stats) -> usize {
        self.sent.clear();
        self.lost.clear();
        self.newest = None;
        let mut bytes = 0;
        let mut block = 0;
        for at in 0..self.chunks.len() {
            let tsn = self.base.wrapping_add(at as u32);
            while self.blocks.get(block).is_some_and(|(_, end)| before(*end, tsn)) {
                block += 1;
            }
            let chunk = self.chunks[at];
            match chunk.state {
                State::InFlight => bytes += self.lose(now, tsn, None, streams, stats),
                State::Lost if !self.is_abandoned(chunk.message) => self.lost.push_back(tsn),
                State::Acked if self.blocks.get(block).is_none_or(|(start, _)| before(tsn, *start)) => {
                    self.chunks[at].state = State::Lost;
                    if let Some(outgoing) = self.message_mut(chunk.message)
                        && !outgoing.abandoned
                    {
                        outgoing.arrived -= 1;
                        streams.take_back(outgoing.stream, usize::from(chunk.len));
                        self.lost.push_back(tsn);
                    }
                }
                State::Lost | State::Acked => {}
            }
        }
        self.scanned = self.base.wrapping_sub(1);
        self.forward = self.scanned;
        self.advance();
        bytes
    }

    /// The oldest transmission that is in flight.
    pub(crate) fn oldest(&mut self) -> Option<(u32, Instant)> {
        while let Some(&Sent { tsn, sends }) = self.sent.front() {
            if let Some(chunk) = self.chunk(tsn)
                && chunk.state == State::InFlight
                && chunk.sends == sends
            {
                return Some((tsn, chunk.sent_at));
            }
            self.sent.pop_front();
        }
        None
    }

    /// Receipts of messages that arrived whole since the last call.
    pub(crate) fn take_receipts(&mut self) -> impl Iterator<Item = u64> {
        self.receipts.drain(..)
    }

    /// The TSN that the peer should skip to, when there is one.
    pub(crate) fn forward_point(&self) -> Option<u32> {
        (self.forward != self.base.wrapping_sub(1)).then_some(self.forward)
    }

    pub(crate) fn note_told(&mut self, point: u32) {
        self.told = point;
    }

    pub(crate) fn cumulative(&self) -> u32 {
        self.base.wrapping_sub(1)
    }

    /// Streams and numbers of the ordered messages that are skipped, at most `limit` streams. Returns the TSN up to which
    /// they are all in `out`.
    pub(crate) fn skipped(&self, limit: usize, out: &mut Vec<(u16, u16)>) -> u32 {
        out.clear();
        for outgoing in &self.messages {
            if before(self.forward, outgoing.first_tsn) {
                break;
            }
            if !outgoing.abandoned || !outgoing.ordered {
                continue;
            }
            if let Some(skipped) = out.iter_mut().find(|(stream, _)| *stream == outgoing.stream) {
                skipped.1 = outgoing.ssn;
            } else if out.len() < limit {
                out.push((outgoing.stream, outgoing.ssn));
            } else {
                return outgoing.first_tsn.wrapping_sub(1);
            }
        }
        self.forward
    }

    /// Whether a chunk of an ordered message waits to be skipped: its stream stands still until then.
    pub(crate) fn blocks_a_stream(&self) -> bool {
        self.messages
            .iter()
            .take_while(|outgoing| !before(self.forward, outgoing.first_tsn))
            .any(|outgoing| outgoing.abandoned && outgoing.ordered)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of handle_sack")]
    fn acknowledge(
        &mut self,
        now: Instant,
        tsn: u32,
        min_round_trip: Option<Duration>,
        acked: &mut Acked,
        sample: &mut Option<Newest>,
        streams: &mut Streams,
        stats: &mut Stats,
    ) {
        let index = tsn.wrapping_sub(self.base) as usize;
        let Some(chunk) = self.chunks.get_mut(index) else { return };
        let (was, len) = (chunk.state, usize::from(chunk.len));
        if was == State::Acked {
            return;
        }
        chunk.state = State::Acked;
        let chunk = *chunk;
        let Some(outgoing) = self.message_mut(chunk.message) else { return };
        let (stream, abandoned) = (outgoing.stream, outgoing.abandoned);
        if was == State::Lost && len == 0 {
            return; // A TSN that was never sent.
        }
        outgoing.arrived += 1;
        if outgoing.complete && outgoing.arrived == outgoing.assigned && !abandoned {
            let receipt = outgoing.receipt.take();
            self.receipts.extend(receipt);
        }
        acked.progress = true;
        if was == State::InFlight {
            self.leave(&chunk);
            acked.bytes += len + DATA_HEADER_LEN;
        }
        if was == State::InFlight || !abandoned {
            streams.release(stream, len);
        }
        if was == State::Lost && abandoned && !before(self.told, tsn) {
            return; // Skipped, as far as anyone can tell.
        }
        if was == State::Lost && chunk.retries == 0 {
            stats.spurious_losses += 1;
            self.reordering.handle_spurious_loss();
        }
        if before(self.highest_acked, tsn) {
            self.highest_acked = tsn;
        }
        let round_trip = now.saturating_duration_since(chunk.measured_from);
        // Of a chunk that was sent again, nobody knows which transmission arrived, unless too little time has passed for the second.
        let known = chunk.retries == 0;
        if !known && min_round_trip.is_none_or(|min| round_trip < min) {
            return;
        }
        let this = Newest { sent_at: chunk.measured_from, tsn, round_trip };
        let is_newer = |other: &Newest| {
            (chunk.measured_from, tsn.wrapping_sub(self.base) as i32)
                > (other.sent_at, other.tsn.wrapping_sub(self.base) as i32)
        };
        if self.newest.as_ref().is_none_or(is_newer) {
            self.newest = Some(this);
        }
        if known && sample.as_ref().is_none_or(is_newer) {
            *sample = Some(this);
        }
    }

    /// Drops the first chunk, and its message when that was the last of it.
    fn pop_front(&mut self) {
        let Some(chunk) = self.chunks.pop_front() else { return };
        self.base = self.base.wrapping_add(1);
        let cumulative = self.base.wrapping_sub(1);
        for point in [&mut self.forward, &mut self.scanned, &mut self.told, &mut self.highest_acked] {
            if before(*point, cumulative) {
                *point = cumulative;
            }
        }
        if let Some(outgoing) = self.message_mut(chunk.message) {
            outgoing.acknowledged += 1;
        }
        while self
            .messages
            .front()
            .is_some_and(|outgoing| outgoing.complete && outgoing.acknowledged == outgoing.assigned)
        {
            self.messages.pop_front();
            self.first_message += 1;
        }
    }

    /// One chunk in flight is lost; returns its bytes.
    fn lose(
        &mut self,
        now: Instant,
        tsn: u32,
        times: Option<PathTimes>,
        streams: &mut Streams,
        stats: &mut Stats,
    ) -> usize {
        let index = tsn.wrapping_sub(self.base) as usize;
        let Some(chunk) = self.chunks.get_mut(index) else { return 0 };
        chunk.state = State::Lost;
        let lost = *chunk;
        chunk.copies = 0;
        let chunk = lost;
        let len = usize::from(chunk.len);
        self.leave(&chunk);
        stats.losses += 1;
        let Some(outgoing) = self.message(chunk.message) else { return 0 };
        let spent = u32::from(chunk.retries) >= outgoing.max_retransmits || has_expired(outgoing, now, times);
        let small = outgoing.complete && outgoing.assigned == 1;
        if outgoing.abandoned {
            streams.release(outgoing.stream, len);
        } else if self.can_abandon && spent {
            self.abandon(chunk.message, streams, stats);
        } else {
            self.lost.push_back(tsn);
        }
        self.lost_small += u32::from(small);
        len + DATA_HEADER_LEN
    }

    /// Gives a message up. What of it is in flight stays there until it is heard of.
    fn abandon(&mut self, number: u64, streams: &mut Streams, stats: &mut Stats) {
        let Some(outgoing) = self.message_mut(number) else { return };
        outgoing.abandoned = true;
        outgoing.payload = outgoing.payload.slice(..0);
        stats.abandoned_messages += 1;
        let (stream, first, assigned) = (outgoing.stream, outgoing.first_tsn, outgoing.assigned);
        for nth in 0..assigned {
            if let Some(chunk) = self.chunk(first.wrapping_add(nth))
                && chunk.state == State::Lost
            {
                streams.release(stream, usize::from(chunk.len));
            }
        }
    }

    /// Moves the point to skip to over what has arrived or was given up. It never rests inside a message that still counts:
    /// receivers drop every incomplete message up to it.
    fn advance(&mut self) {
        while let Some(&chunk) = self.chunk(self.scanned.wrapping_add(1)) {
            let abandoned = self.is_abandoned(chunk.message);
            if chunk.state == State::InFlight || (chunk.state == State::Lost && !abandoned) {
                break;
            }
            self.scanned = self.scanned.wrapping_add(1);
            // What has arrived of a message that was given up is skipped as well, but only with all the rest of it.
            if abandoned && self.message(chunk.message).is_none_or(|outgoing| outgoing.is_last(self.scanned))
            {
                self.forward = self.scanned;
            }
        }
    }

    fn send_again(&mut self, now: Instant, tsn: u32) {
        let index = tsn.wrapping_sub(self.base) as usize;
        let Some(chunk) = self.chunks.get_mut(index) else { return };
        chunk.state = State::InFlight;
        chunk.sends = chunk.sends.saturating_add(1);
        chunk.retries = chunk.retries.saturating_add(1);
        chunk.copies = 0;
        chunk.sent_at = now;
        chunk.measured_from = now;
        self.bytes += usize::from(chunk.len) + DATA_HEADER_LEN;
        self.payload += usize::from(chunk.len);
        self.sent.push_back(Sent { tsn, sends: chunk.sends });
    }

    /// All transmissions of a chunk leave the flight.
    fn leave(&mut self, chunk: &Chunk) {
        let (len, times) = (usize::from(chunk.len), 1 + usize::from(chunk.copies));
        self.bytes -= (len + DATA_HEADER_LEN) * times;
        self.payload -= len * times;
    }

    fn chunk(&self, tsn: u32) -> Option<&Chunk> {
        self.chunks.get(tsn.wrapping_sub(self.base) as usize)
    }

    fn message(&self, number: u64) -> Option<&Outgoing> {
        self.messages.get(number.checked_sub(self.first_message)? as usize)
    }

    fn message_mut(&mut self, number: u64) -> Option<&mut Outgoing> {
        self.messages.get_mut(number.checked_sub(self.first_message)? as usize)
    }
}

impl Outgoing {
    fn is_last(&self, tsn: u32) -> bool {
        self.complete && self.first_tsn.wrapping_add(self.assigned - 1) == tsn
    }
}

impl Reordering {
    /// How long a chunk may be overtaken before it counts as lost (RFC 8985 section 6.2, step 4).
    fn window(&self, times: PathTimes) -> Duration {
        (times.min / 4 * (1 + self.steps)).min(times.smoothed).max(LEAST_PATIENCE)
    }

    fn handle_spurious_loss(&mut self) {
        self.quiet = 0;
        self.steps = (self.steps + 1).min(MAX_STEPS);
    }

    fn handle_round(&mut self) {
        self.quiet += 1;
        if self.quiet >= QUIET_ROUNDS {
            self.quiet = 0;
            self.steps = self.steps.saturating_sub(1);
        }
    }
}

/// Whether sending it now is of no use: it would arrive after its time.
fn has_expired(outgoing: &Outgoing, now: Instant, times: Option<PathTimes>) -> bool {
    let way = times.map_or(Duration::ZERO, |times| times.min / 2);
    outgoing.expires.is_some_and(|expires| expires <= now + way)
}

/// Schedulers and batches overtake each other by this much on the shortest path.
const LEAST_PATIENCE: Duration = Duration::from_millis(1);

/// RFC 8985 section 7.1: how far the window may be widened, and after how long it narrows again.
const MAX_STEPS: u32 = 7;
const QUIET_ROUNDS: u32 = 64;
