//! The live queue: what waits for a slower next hop, and what is given up when it waits too long.
//!
//! One rule at every hop. Frames leave oldest first. A frame that has not started to leave within
//! [`max_age`](QueueConfig::max_age) of entering is dropped whole, oldest first. A full queue drops its oldest
//! frames that have not started. A frame that *has* started gets as long again as `max_age`, or twice the time
//! that its bytes need at the rate at which this queue drains, whichever is longer: what is on the wire already
//! is wasted unless the rest follows.
//!
//! Frames consist of parts (packets). A publisher and a reader push whole frames ([`LiveQueue::push_frame`]).
//! A forwarding hop pushes parts as they come ([`LiveQueue::push_part`]): parts of a dropped frame are dropped
//! when they come later, and a frame whose next part has not come yet stands in nobody's way.

mod drain;
mod recent;
mod slab;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::stats::{Counters, DropReason};
use drain::DrainMeter;
use recent::{Fate, Recent};
use slab::{Chain, Slab};

/// What a queue may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueConfig {
    /// Bytes that may wait. A single frame above it never enters.
    pub max_bytes: usize,
    /// Frames that may wait; `None` leaves the bound to `max_bytes`, which a queue of empty items never meets.
    pub max_frames: Option<usize>,
    /// How long a frame may wait before it starts to leave; `None` keeps it until there is no room.
    pub max_age: Option<Duration>,
}

impl QueueConfig {
    /// Two frames of the largest size: one on its way out, one behind it.
    pub const DEFAULT_MAX_BYTES: usize = 4 << 20;
    /// More frames than any link drains within [`DEFAULT_MAX_AGE`](Self::DEFAULT_MAX_AGE): only bounds the memory
    /// that tiny frames cost beyond their bytes.
    pub const DEFAULT_MAX_FRAMES: usize = 16_384;
    /// A robot acts on what is newer than this.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_millis(100);

    /// Sets [`max_bytes`](Self::max_bytes).
    pub fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Sets [`max_frames`](Self::max_frames).
    pub fn with_max_frames(self, max_frames: impl Into<Option<usize>>) -> Self {
        Self { max_frames: max_frames.into(), ..self }
    }

    /// Sets [`max_age`](Self::max_age).
    pub fn with_max_age(self, max_age: impl Into<Option<Duration>>) -> Self {
        Self { max_age: max_age.into(), ..self }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_bytes: Self::DEFAULT_MAX_BYTES,
            max_frames: Some(Self::DEFAULT_MAX_FRAMES),
            max_age: Some(Self::DEFAULT_MAX_AGE),
        }
    }
}

/// Something that can wait in a [`LiveQueue`].
pub trait Part {
    /// Bytes that it holds.
    fn byte_len(&self) -> usize;
}

impl Part for Bytes {
    fn byte_len(&self) -> usize {
        self.len()
    }
}

/// Parts of one frame above which a forwarding hop takes the frame for garbage.
///
/// Twice what a receiver assembles, so that repeated packets alone do not cost a frame.
pub const MAX_PARTS_PER_FRAME: u32 = 2 * tramline_wire::MAX_PACKETS_PER_FRAME as u32;

/// A queue of frames in parts, bounded by bytes, frames and age.
///
/// Push with [`push_frame`](Self::push_frame) or [`push_part`](Self::push_part), take with [`pop`](Self::pop).
/// Both drop what is too old first. A caller that stops pushing and popping comes back at
/// [`poll_timeout`](Self::poll_timeout) with [`handle_timeout`](Self::handle_timeout), so that waiting frames are
/// counted and freed in time.
///
/// Every operation is O(1) amortised, and none allocates once the queue has seen its working size.
#[derive(Debug)]
pub struct LiveQueue<T> {
    config: QueueConfig,
    parts: Slab<T>,
    /// Frames that have not started, oldest first; the first one's id is `first_id`.
    waiting: VecDeque<Slot>,
    first_id: u64,
    /// Frames that have started and have parts to send: the one in front, and rarely some that were overtaken.
    started: VecDeque<Slot>,
    recent: Recent,
    drain: DrainMeter,
    bytes: usize,
    counters: Counters,
}

impl<T: Part> LiveQueue<T> {
    /// An empty queue.
    pub fn new(config: QueueConfig) -> Self {
        Self {
            config,
            parts: Slab::new(),
            waiting: VecDeque::new(),
            first_id: 0,
            started: VecDeque::new(),
            recent: Recent::new(),
            drain: DrainMeter::new(),
            bytes: 0,
            counters: Counters::default(),
        }
    }

    /// The bounds in force.
    pub fn config(&self) -> QueueConfig {
        self.config
    }

    /// Changes the bounds; what is above the new ones is dropped now.
    pub fn set_config(&mut self, now: Instant, config: QueueConfig) {
        self.config = config;
        self.expire(now);
        self.make_room(0, 0);
    }

    /// Adds a whole frame of one or more parts.
    ///
    /// Evicts the oldest frames that have not started when there is no room. Returns whether the frame entered;
    /// it does not when it alone is larger than the queue, or when a frame that has started leaves no room.
    pub fn push_frame(&mut self, now: Instant, parts: impl IntoIterator<Item = T>) -> bool {
        self.expire(now);
        let mut slot = Slot::new(None, now);
        for part in parts {
            slot.push(&mut self.parts, part, now, true);
        }
        if slot.chain.is_empty() {
            return false;
        }
        if !self.make_room(slot.total_bytes, 1) {
            self.parts.clear(&mut slot.chain);
            self.count_refused(slot.total_bytes);
            return false;
        }
        self.enter(slot);
        true
    }

    /// Adds one part of a frame that may still be arriving, in any order of its parts.
    ///
    /// `frame` tells frames apart (the frame number on the wire; it may wrap). Returns whether the part entered;
    /// it does not when its frame has been dropped, before or just now for want of room.
    pub fn push_part(&mut self, now: Instant, frame: u16, is_start: bool, is_end: bool, part: T) -> bool {
        if is_start && is_end {
            return self.push_frame(now, [part]);
        }
        self.expire(now);
        let given_up = self.recent.forget_old(now, self.counters.accepted);
        self.counters.dropped.add_many(DropReason::Incomplete, given_up);
        match self.recent.find(frame, now, self.counters.accepted) {
            Some(Fate::Waiting { id }) => self.push_to_waiting(now, id, is_end, part),
            Some(Fate::Started) => self.push_to_started(now, frame, is_end, part),
            Some(Fate::Between { started, bytes, parts }) => {
                let mut slot = Slot::new(Some(frame), now);
                (slot.started, slot.total_bytes, slot.total_parts) = (Some(started), bytes, parts);
                self.resume(now, self.started.len(), slot, is_end, part)
            }
            Some(Fate::Sent) => {
                let mut slot = Slot::new(Some(frame), now);
                (slot.started, slot.ended, slot.counted) = (Some(now), true, true);
                self.resume(now, self.started.len(), slot, is_end, part)
            }
            Some(Fate::Dropped) => false,
            None => self.push_first_part(now, frame, is_end, part),
        }
    }

    /// Takes the next part: of the frame that has started, otherwise of the oldest one.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        self.expire(now);
        let (mut slot, just_started) = match self.started.pop_front() {
            Some(slot) => (slot, false),
            None => {
                let mut slot = self.waiting.pop_front()?;
                self.first_id += 1;
                slot.started = Some(now);
                (slot, true)
            }
        };
        let part = self.parts.pop(&mut slot.chain)?;
        let len = part.byte_len();
        slot.waiting_bytes -= len;
        self.bytes -= len;
        self.counters.bytes += len as u64;
        if slot.chain.is_empty() {
            self.settle(slot);
        } else {
            if just_started && let Some(key) = slot.key {
                self.recent.set(key, Fate::Started);
            }
            self.started.push_front(slot);
        }
        self.drain.handle_pop(now, len, self.is_empty());
        Some(part)
    }

    /// Takes the newest frame and when it entered, for frames of a single part. The older ones are handed to `superseded`,
    /// oldest first, and counted as dropped.
    pub fn pop_newest(&mut self, now: Instant, mut superseded: impl FnMut(T)) -> Option<(T, Instant)> {
        self.expire(now);
        while self.waiting.len() > 1 {
            let Some(mut slot) = self.waiting.pop_front() else { break };
            self.first_id += 1;
            while let Some(part) = self.parts.pop(&mut slot.chain) {
                let len = part.byte_len();
                slot.waiting_bytes -= len;
                self.bytes -= len;
                superseded(part);
            }
            self.discard(slot, DropReason::Superseded);
        }
        let entered = self.waiting.front()?.entered;
        self.pop(now).map(|part| (part, entered))
    }

    /// Bytes of the part that [`pop`](Self::pop) hands out next, unless it is found too old by then.
    pub fn next_len(&self) -> Option<usize> {
        let slot = self.started.front().or_else(|| self.waiting.front())?;
        self.parts.first(&slot.chain).map(T::byte_len)
    }

    /// When a frame here becomes too old, if nothing is popped before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let max_age = self.config.max_age?;
        let waiting = self.waiting.front().map(|slot| slot.entered + max_age);
        let started = self.started.iter().map(|slot| self.started_deadline(slot, max_age));
        started.chain(waiting).min()
    }

    /// Drops what is too old.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire(now);
    }

    /// Drops everything that waits, counted by `reason`, and with it the parts of those frames that come later.
    pub fn clear(&mut self, reason: DropReason) {
        while let Some(slot) = self.started.pop_front() {
            self.discard(slot, reason);
        }
        while self.drop_oldest_waiting(reason) {}
    }

    /// Counts a frame that was kept out for a reason of the caller's.
    pub fn refuse(&mut self, reason: DropReason) {
        self.counters.dropped.add(reason);
    }

    /// Whether a frame of `bytes` bytes would cost another frame its place.
    pub fn would_overflow(&self, bytes: usize) -> bool {
        self.is_above(bytes, 1)
    }

    /// Whether there is nothing to pop.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.started.is_empty()
    }

    /// Frames that have parts to pop.
    pub fn frames(&self) -> usize {
        self.waiting.len() + self.started.len()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes per second at which this queue drained when it last had a backlog.
    pub fn drain_rate(&self) -> Option<u64> {
        self.drain.rate()
    }

    /// What this queue did so far. A frame of which parts never came is counted as incomplete once it is given up.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn push_first_part(&mut self, now: Instant, frame: u16, is_end: bool, part: T) -> bool {
        let len = part.byte_len();
        let fate = if self.make_room(len, 1) {
            let mut slot = Slot::new(Some(frame), now);
            slot.push(&mut self.parts, part, now, is_end);
            Fate::Waiting { id: self.enter(slot) }
        } else {
            self.count_refused(len);
            Fate::Dropped
        };
        let given_up = self.recent.insert(frame, fate, now, self.counters.accepted);
        self.counters.dropped.add_many(DropReason::Incomplete, given_up);
        fate != Fate::Dropped
    }

    fn push_to_waiting(&mut self, now: Instant, id: u64, is_end: bool, part: T) -> bool {
        let len = part.byte_len();
        let fits = self.make_room(len, 0);
        // Making room drops the oldest first, which may have been this very frame.
        let Some(index) = id.checked_sub(self.first_id).map(|index| index as usize) else { return false };
        let Some(slot) = self.waiting.get_mut(index) else { return false };
        if fits && slot.total_parts < MAX_PARTS_PER_FRAME {
            slot.push(&mut self.parts, part, now, is_end);
            self.bytes += len;
            return true;
        }
        if let Some(slot) = self.waiting.remove(index) {
            self.recent.handle_removed(id);
            self.discard(slot, DropReason::Oversize);
        }
        false
    }

    fn push_to_started(&mut self, now: Instant, frame: u16, is_end: bool, part: T) -> bool {
        let Some(index) = self.started.iter().position(|slot| slot.key == Some(frame)) else { return false };
        let Some(slot) = self.started.remove(index) else { return false };
        self.resume(now, index, slot, is_end, part)
    }

    /// Adds a part to a frame that has started, and puts the frame at `index` among those.
    fn resume(&mut self, now: Instant, index: usize, mut slot: Slot, is_end: bool, part: T) -> bool {
        let len = part.byte_len();
        let reason = if slot.total_parts >= MAX_PARTS_PER_FRAME {
            Some(DropReason::Oversize)
        } else {
            (!self.make_room(len, 0)).then_some(DropReason::QueueFull)
        };
        if let Some(reason) = reason {
            // A started frame with a hole in it is of no use to anybody: the rest goes too.
            self.discard(slot, reason);
            return false;
        }
        slot.push(&mut self.parts, part, now, is_end);
        self.bytes += len;
        if let Some(key) = slot.key {
            self.recent.set(key, Fate::Started);
        }
        self.started.insert(index, slot);
        true
    }

    /// Puts a filled frame last; returns its id.
    fn enter(&mut self, slot: Slot) -> u64 {
        let id = self.first_id + self.waiting.len() as u64;
        self.bytes += slot.waiting_bytes;
        self.counters.accepted += 1;
        self.waiting.push_back(slot);
        id
    }

    /// Files a frame of which everything that came has left.
    fn settle(&mut self, slot: Slot) {
        let fate = match slot.started {
            Some(started) if !slot.ended => {
                Fate::Between { started, bytes: slot.total_bytes, parts: slot.total_parts }
            }
            _ => Fate::Sent,
        };
        let remembered = slot.key.is_some_and(|key| self.recent.set(key, fate));
        if slot.counted {
            return;
        }
        if fate == Fate::Sent {
            self.counters.sent += 1;
        } else if !remembered {
            self.counters.dropped.add(DropReason::Incomplete);
        }
    }

    /// Drops a frame that was taken out of its list.
    fn discard(&mut self, mut slot: Slot, reason: DropReason) {
        self.bytes -= slot.waiting_bytes;
        self.parts.clear(&mut slot.chain);
        if let Some(key) = slot.key {
            self.recent.set(key, Fate::Dropped);
        }
        if !slot.counted {
            self.counters.dropped.add(reason);
        }
    }

    fn count_refused(&mut self, bytes: usize) {
        let oversize = bytes > self.config.max_bytes;
        self.counters.dropped.add(if oversize { DropReason::Oversize } else { DropReason::QueueFull });
    }

    fn is_above(&self, more_bytes: usize, more_frames: usize) -> bool {
        self.bytes.saturating_add(more_bytes) > self.config.max_bytes
            || self.config.max_frames.is_some_and(|max| self.frames() + more_frames > max)
    }

    /// Evicts until this much more fits; false when that cannot be.
    fn make_room(&mut self, bytes: usize, frames: usize) -> bool {
        if bytes > self.config.max_bytes {
            return false;
        }
        while self.is_above(bytes, frames) {
            if !self.drop_oldest_waiting(DropReason::QueueFull) {
                return false;
            }
        }
        true
    }

    fn drop_oldest_waiting(&mut self, reason: DropReason) -> bool {
        let Some(slot) = self.waiting.pop_front() else { return false };
        self.first_id += 1;
        self.discard(slot, reason);
        true
    }

    fn expire(&mut self, now: Instant) {
        let Some(max_age) = self.config.max_age else { return };
        while self.waiting.front().is_some_and(|slot| slot.entered + max_age <= now) {
            self.drop_oldest_waiting(DropReason::Stale);
        }
        let mut index = 0;
        while let Some(slot) = self.started.get(index) {
            if self.started_deadline(slot, max_age) > now {
                index += 1;
            } else if let Some(slot) = self.started.remove(index) {
                self.discard(slot, DropReason::Stale);
            }
        }
    }

    /// When a started frame is given up. Its time runs from its start, and for a part that came later from then:
    /// what the hop before took to send is not this hop's delay.
    fn started_deadline(&self, slot: &Slot, max_age: Duration) -> Instant {
        let since = self.parts.first_entered(&slot.chain).unwrap_or(slot.entered);
        let since = slot.started.map_or(since, |started| started.max(since));
        since + max_age.max(2 * self.drain.time_for(slot.total_bytes, LONGEST_SERIALISATION))
    }
}

/// A frame that needs longer than this for its bytes is not live data; also what one odd sample can do at most.
const LONGEST_SERIALISATION: Duration = Duration::from_secs(10);

/// One frame, in `waiting` or `started`.
#[derive(Debug)]
struct Slot {
    /// The frame number, if parts may still come.
    key: Option<u16>,
    entered: Instant,
    started: Option<Instant>,
    /// The parts that wait, and their bytes.
    chain: Chain,
    waiting_bytes: usize,
    /// All parts that came, sent ones included.
    total_bytes: usize,
    total_parts: u32,
    /// The last part came.
    ended: bool,
    /// Already counted as sent: what waits are late parts.
    counted: bool,
}

impl Slot {
    fn new(key: Option<u16>, entered: Instant) -> Self {
        Self {
            key,
            entered,
            started: None,
            chain: Chain::new(),
            waiting_bytes: 0,
            total_bytes: 0,
            total_parts: 0,
            ended: false,
            counted: false,
        }
    }

    fn push<T: Part>(&mut self, parts: &mut Slab<T>, part: T, now: Instant, is_end: bool) {
        let len = part.byte_len();
        parts.push(&mut self.chain, part, now);
        self.waiting_bytes += len;
        self.total_bytes += len;
        self.total_parts += 1;
        self.ended |= is_end;
    }
}

#[cfg(test)]
mod tests;
