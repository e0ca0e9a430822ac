//! What waits for one peer: a live queue per track, and whose turn it is.
//!
//! Tracks have one of four priorities; while a higher one has anything to send, a lower one waits. Within a priority the
//! tracks share by bytes (deficit round robin), packet by packet, so that a large frame never stands in the way of a
//! small one. A track that sends less than its share is served at once: it begins before those that have a backlog
//! (as in FQ-CoDel, RFC 8290 section 4.2). That is also how a server, which is told no priorities, gets a small track past a
//! bulk one: by what they do.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::queue::LiveQueue;
pub use crate::slots::SlotKey;
use crate::slots::Slots;

/// How a queue is reached: directly, or behind a lock that the owner of this type knows.
///
/// A publisher's threads push into a track's queue while its driver takes from it, so the SDK implements this
/// for its shared queue; a server owns its queues and uses [`LiveQueue`] itself.
pub trait QueueAccess<T> {
    /// Calls `f` with the queue, alone.
    fn access<R>(&mut self, f: impl FnOnce(&mut LiveQueue<T>) -> R) -> R;
}

impl<T> QueueAccess<T> for LiveQueue<T> {
    fn access<R>(&mut self, f: impl FnOnce(&mut LiveQueue<T>) -> R) -> R {
        f(self)
    }
}

/// Which tracks go first when there is not room for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// Only what the others leave: logs, maps, thumbnails.
    Background,
    /// Shares with the others of its kind.
    #[default]
    Normal,
    /// Before the normal ones: state that others act on.
    High,
    /// Before everything: commands, emergency stops. Keep it small, since nothing else is sent while it has anything to send.
    Critical,
}

impl Priority {
    /// All, the lowest first.
    pub const ALL: [Self; 4] = [Self::Background, Self::Normal, Self::High, Self::Critical];
}

/// The queues of the tracks that go to one peer, served a packet each in turn.
///
/// After anything was pushed into a queue that was empty, call [`mark_ready`](Self::mark_ready) with its key (the
/// `push_*` methods here do it). While the transport has room, call [`next`](Self::next) until there is nothing. A track
/// that has nothing to send costs nothing, however many there are.
#[derive(Debug)]
pub struct Outbox<Q = LiveQueue<Bytes>> {
    slots: Slots<Track<Q>>,
    classes: [Class; Priority::ALL.len()],
    /// No ready queue has anything too old before this; it may be early, never late.
    expiry: Option<Instant>,
}

#[derive(Debug)]
struct Track<Q> {
    queue: Q,
    priority: Priority,
    /// Whether its key is in one of its class's lists.
    is_listed: bool,
    /// Bytes that it may send before it is the next one's turn; below zero after a packet that was longer than that.
    credit: i64,
}

/// The tracks of one priority that may have something to send.
#[derive(Debug, Default)]
struct Class {
    /// Tracks that had nothing to send for a whole round. They come first, for as long as their first credit lasts.
    fresh: VecDeque<SlotKey>,
    /// The others. One that runs empty keeps its place until it is reached again.
    turns: VecDeque<SlotKey>,
}

impl<Q: QueueAccess<Bytes>> Outbox<Q> {
    /// An outbox without tracks.
    pub fn new() -> Self {
        Self { slots: Slots::new(), classes: Default::default(), expiry: None }
    }

    /// Adds a track of normal priority.
    pub fn add(&mut self, queue: Q) -> SlotKey {
        self.add_with(queue, Priority::default())
    }

    /// Adds a track.
    pub fn add_with(&mut self, queue: Q, priority: Priority) -> SlotKey {
        self.slots.insert(Track { queue, priority, is_listed: false, credit: 0 })
    }

    /// Removes a track; its queue comes back with what still waits.
    pub fn remove(&mut self, key: SlotKey) -> Option<Q> {
        // A key left in a list names nothing any more and is skipped.
        self.slots.remove(key).map(|track| track.queue)
    }

    /// The queue of a track. Whoever pushes into it through this also calls [`mark_ready`](Self::mark_ready).
    pub fn queue_mut(&mut self, key: SlotKey) -> Option<&mut Q> {
        self.slots.at_mut(key).map(|track| &mut track.queue)
    }

    /// Tracks, in no order.
    pub fn queues_mut(&mut self) -> impl Iterator<Item = (SlotKey, &mut Q)> {
        self.slots.iter_mut().map(|(key, track)| (key, &mut track.queue))
    }

    /// The queue `key` may have something to send.
    pub fn mark_ready(&mut self, key: SlotKey) {
        let Some(track) = self.slots.at_mut(key) else { return };
        let (is_empty, expiry) = track.queue.access(|queue| (queue.is_empty(), queue.poll_timeout()));
        if is_empty {
            return;
        }
        self.expiry = earliest(self.expiry, expiry);
        if !track.is_listed {
            track.is_listed = true;
            track.credit = QUANTUM;
            self.classes[track.priority as usize].fresh.push_back(key);
        }
    }

    /// [`LiveQueue::push_frame`] into the queue `key`; false also when there is none.
    pub fn push_frame(&mut self, now: Instant, key: SlotKey, parts: impl IntoIterator<Item = Bytes>) -> bool {
        let Some(track) = self.slots.at_mut(key) else { return false };
        let entered = track.queue.access(|queue| queue.push_frame(now, parts));
        self.mark_ready(key);
        entered
    }

    /// [`LiveQueue::push_part`] into the queue `key`; false also when there is none.
    pub fn push_part(
        &mut self,
        now: Instant,
        key: SlotKey,
        frame: u16,
        is_start: bool,
        is_end: bool,
        part: Bytes,
    ) -> bool {
        let Some(track) = self.slots.at_mut(key) else { return false };
        let entered = track.queue.access(|queue| queue.push_part(now, frame, is_start, is_end, part));
        self.mark_ready(key);
        entered
    }

    /// The next packet, and the track that it is of.
    pub fn next(&mut self, now: Instant) -> Option<(SlotKey, Bytes)> {
        for class in self.classes.iter_mut().rev() {
            let next = class.next(now, &mut self.slots);
            if next.is_some() {
                return next;
            }
        }
        self.expiry = None;
        None
    }

    /// Whether no track has anything to send; certain after [`next`](Self::next) had nothing.
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(|class| class.fresh.is_empty() && class.turns.is_empty())
    }

    /// When to come back with [`handle_timeout`](Self::handle_timeout), if nothing is taken before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.expiry
    }

    /// Drops what is too old in every queue.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.expiry.is_none_or(|expiry| expiry > now) {
            return;
        }
        let mut next = None;
        for Class { fresh, turns } in &mut self.classes {
            for list in [fresh, turns] {
                list.retain(|key| {
                    let Some(track) = self.slots.at_mut(*key) else { return false };
                    let timeout = track.queue.access(|queue| {
                        queue.handle_timeout(now);
                        (!queue.is_empty()).then(|| queue.poll_timeout())
                    });
                    track.is_listed = timeout.is_some();
                    next = earliest(next, timeout.flatten());
                    track.is_listed
                });
            }
        }
        self.expiry = next.map(|next| next.max(now + EXPIRY_GRANULARITY));
    }
}

impl Class {
    fn next<Q: QueueAccess<Bytes>>(
        &mut self,
        now: Instant,
        slots: &mut Slots<Track<Q>>,
    ) -> Option<(SlotKey, Bytes)> {
        loop {
            let is_fresh = !self.fresh.is_empty();
            let list = if is_fresh { &mut self.fresh } else { &mut self.turns };
            let key = *list.front()?;
            let Some(track) = slots.at_mut(key) else {
                list.pop_front();
                continue;
            };
            if track.credit <= 0 {
                track.credit += QUANTUM;
                list.pop_front();
                self.turns.push_back(key);
                continue;
            }
            if let Some(packet) = track.queue.access(|queue| queue.pop(now)) {
                track.credit -= packet.len() as i64 + PACKET_COST;
                return Some((key, packet));
            }
            list.pop_front();
            // Out of turn, it has to wait for all the others once before it may be fresh again.
            track.is_listed = is_fresh;
            if is_fresh {
                self.turns.push_back(key);
            }
        }
    }
}

impl<Q: QueueAccess<Bytes>> Default for Outbox<Q> {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes that a track may send in a turn: about one datagram, the smallest piece in which a link can be shared.
const QUANTUM: i64 = 1_500;

/// What a packet takes besides its bytes: headers of SCTP, DTLS, UDP and IP. Many small ones are not cheaper than a large one.
const PACKET_COST: i64 = 80;

/// Expiry looks at every ready queue, so it is not done more often than this.
const EXPIRY_GRANULARITY: Duration = Duration::from_millis(1);

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests;
