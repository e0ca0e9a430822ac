//! What waits for one peer: a live queue per track, and whose turn it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::queue::LiveQueue;

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

/// Names a queue of an [`Outbox`] or a stream of a [`Fanout`](crate::fanout::Fanout); never names a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotKey {
    index: u32,
    generation: u32,
}

/// The queues of the tracks that go to one peer, served a packet each in turn.
///
/// After anything was pushed into a queue that was empty, call [`mark_ready`](Self::mark_ready) with its key (the
/// `push_*` methods here do it). While the transport has room, call [`next`](Self::next). A track that has nothing
/// to send costs nothing, however many there are.
#[derive(Debug)]
pub struct Outbox<Q = LiveQueue<Bytes>> {
    slots: Slots<Track<Q>>,
    ready: VecDeque<SlotKey>,
    /// No ready queue has anything too old before this; it may be early, never late.
    expiry: Option<Instant>,
}

#[derive(Debug)]
struct Track<Q> {
    queue: Q,
    ready: bool,
}

/// Expiry looks at every ready queue, so it is not done more often than this.
const EXPIRY_GRANULARITY: Duration = Duration::from_millis(1);

impl<Q: QueueAccess<Bytes>> Outbox<Q> {
    /// An outbox without tracks.
    pub fn new() -> Self {
        Self { slots: Slots::new(), ready: VecDeque::new(), expiry: None }
    }

    /// Adds a track.
    pub fn add(&mut self, queue: Q) -> SlotKey {
        self.slots.insert(Track { queue, ready: false })
    }

    /// Removes a track; its queue comes back with what still waits.
    pub fn remove(&mut self, key: SlotKey) -> Option<Q> {
        // A key left in `ready` names nothing any more and is skipped.
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
        if track.ready {
            return;
        }
        if let (false, expiry) = track.queue.access(|queue| (queue.is_empty(), queue.poll_timeout())) {
            track.ready = true;
            self.ready.push_back(key);
            self.expiry = earliest(self.expiry, expiry);
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
        while let Some(key) = self.ready.pop_front() {
            let Some(track) = self.slots.at_mut(key) else { continue };
            let (packet, more) = track.queue.access(|queue| (queue.pop(now), !queue.is_empty()));
            track.ready = more;
            if more {
                self.ready.push_back(key);
            }
            if let Some(packet) = packet {
                return Some((key, packet));
            }
        }
        self.expiry = None;
        None
    }

    /// Whether no track has anything to send.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
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
        self.ready.retain(|key| {
            let Some(track) = self.slots.at_mut(*key) else { return false };
            let timeout = track.queue.access(|queue| {
                queue.handle_timeout(now);
                (!queue.is_empty()).then(|| queue.poll_timeout())
            });
            track.ready = timeout.is_some();
            next = earliest(next, timeout.flatten());
            track.ready
        });
        self.expiry = next.map(|next| next.max(now + EXPIRY_GRANULARITY));
    }
}

impl<Q: QueueAccess<Bytes>> Default for Outbox<Q> {
    fn default() -> Self {
        Self::new()
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Values under keys that are never given out twice.
#[derive(Debug)]
pub(crate) struct Slots<V> {
    places: Vec<(u32, Option<V>)>,
    free: Vec<u32>,
    len: usize,
}

impl<V> Slots<V> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(crate) fn insert(&mut self, value: V) -> SlotKey {
        self.len += 1;
        if let Some(index) = self.free.pop()
            && let Some((generation, place)) = self.places.get_mut(index as usize)
        {
            *place = Some(value);
            return SlotKey { index, generation: *generation };
        }
        self.places.push((0, Some(value)));
        SlotKey { index: (self.places.len() - 1) as u32, generation: 0 }
    }

    pub(crate) fn remove(&mut self, key: SlotKey) -> Option<V> {
        let (generation, place) = self.places.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = place.take()?;
        self.len -= 1;
        // A place whose generations are used up stays empty: its old keys must name nothing.
        if let Some(next) = generation.checked_add(1) {
            *generation = next;
            self.free.push(key.index);
        }
        Some(value)
    }

    pub(crate) fn at_mut(&mut self, key: SlotKey) -> Option<&mut V> {
        let (generation, place) = self.places.get_mut(key.index as usize)?;
        if *generation == key.generation { place.as_mut() } else { None }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SlotKey, &mut V)> {
        self.places.iter_mut().enumerate().filter_map(|(index, (generation, place))| {
            let key = SlotKey { index: index as u32, generation: *generation };
            place.as_mut().map(|value| (key, value))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::QueueConfig;
    use crate::stats::DropReason;
    use std::sync::{Arc, Mutex};
    use tramline_sim::VirtualClock;

    #[test]
    fn tracks_take_turns_by_packet() {
        let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
        let [big, small] = [queue(), queue()].map(|queue| outbox.add(queue));
        outbox.push_frame(clock.now(), big, (0..4).map(|_| Bytes::from_static(b"big")));
        outbox.push_frame(clock.now(), small, [Bytes::from_static(b"one")]);
        outbox.push_frame(clock.now(), small, [Bytes::from_static(b"two")]);
        let order: Vec<_> = std::iter::from_fn(|| outbox.next(clock.now())).map(|(key, _)| key).collect();
        assert_eq!(order, [big, small, big, small, big, big]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_frame_that_waits_for_its_next_part_does_not_block_the_other_tracks() {
        let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
        let [slow, other] = [queue(), queue()].map(|queue| outbox.add(queue));
        outbox.push_part(clock.now(), slow, 0, true, false, Bytes::from_static(b"start"));
        outbox.push_frame(clock.now(), other, [Bytes::from_static(b"whole")]);
        assert_eq!(outbox.next(clock.now()).map(|(key, _)| key), Some(slow));
        assert_eq!(outbox.next(clock.now()).map(|(key, _)| key), Some(other));
        assert_eq!(outbox.next(clock.now()), None);
        outbox.push_part(clock.now(), slow, 0, false, true, Bytes::from_static(b"final"));
        assert_eq!(outbox.next(clock.now()), Some((slow, Bytes::from_static(b"final"))));
    }

    #[test]
    fn a_removed_track_sends_nothing_and_its_key_names_no_later_one() {
        let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
        let gone = outbox.add(queue());
        outbox.push_frame(clock.now(), gone, [Bytes::from_static(b"x")]);
        let left = outbox.remove(gone).expect("was added");
        assert_eq!(left.frames(), 1);
        let new = outbox.add(queue());
        assert_ne!(gone, new);
        assert!(!outbox.push_frame(clock.now(), gone, [Bytes::from_static(b"x")]));
        assert!(outbox.remove(gone).is_none() && outbox.queue_mut(gone).is_none());
        assert_eq!(outbox.next(clock.now()), None);
        outbox.push_frame(clock.now(), new, [Bytes::from_static(b"y")]);
        assert_eq!(outbox.next(clock.now()), Some((new, Bytes::from_static(b"y"))));
    }

    #[test]
    fn expiry_finds_the_old_frames_of_every_track() {
        let (mut clock, mut outbox) = (VirtualClock::new(), Outbox::new());
        let keys: Vec<_> = (0..256).map(|_| outbox.add(queue())).collect();
        for key in &keys {
            outbox.push_frame(clock.now(), *key, [Bytes::from_static(b"x")]);
            clock.advance(Duration::from_millis(1));
        }
        let mut timeouts = 0;
        while let Some(timeout) = outbox.poll_timeout() {
            clock.advance_to(timeout);
            outbox.handle_timeout(timeout);
            timeouts += 1;
        }
        assert!((1..=256).contains(&timeouts), "{timeouts}");
        assert!(outbox.is_empty());
        let stale = |queue: &LiveQueue<Bytes>| queue.counters().dropped.count(DropReason::Stale);
        assert_eq!(outbox.queues_mut().map(|(_, queue)| stale(queue)).sum::<u64>(), 256);
    }

    #[test]
    fn queues_may_be_shared_with_those_who_push() {
        struct Shared(Arc<Mutex<LiveQueue<Bytes>>>);
        impl QueueAccess<Bytes> for Shared {
            fn access<R>(&mut self, f: impl FnOnce(&mut LiveQueue<Bytes>) -> R) -> R {
                f(&mut self.0.lock().expect("no holder panics"))
            }
        }
        let clock = VirtualClock::new();
        let shared = Arc::new(Mutex::new(queue()));
        let mut outbox = Outbox::new();
        let key = outbox.add(Shared(Arc::clone(&shared)));
        outbox.mark_ready(key);
        assert_eq!(outbox.next(clock.now()), None, "nothing was pushed");
        shared.lock().expect("no holder panics").push_frame(clock.now(), [Bytes::from_static(b"x")]);
        outbox.mark_ready(key);
        outbox.mark_ready(key);
        assert_eq!(outbox.next(clock.now()), Some((key, Bytes::from_static(b"x"))));
        assert_eq!(outbox.next(clock.now()), None);
    }

    fn queue() -> LiveQueue<Bytes> {
        LiveQueue::new(QueueConfig::default())
    }
}
