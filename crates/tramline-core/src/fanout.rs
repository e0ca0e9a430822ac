//! One subscription, several local readers.

use std::time::Instant;

use crate::frame::Frame;
use crate::outbox::{QueueAccess, SlotKey, Slots};
use crate::queue::{LiveQueue, QueueConfig};
use crate::stats::{Counters, DropReason};

/// Frames that a stream holds for its reader unless told otherwise, as LiveKit's clients do.
pub const DEFAULT_STREAM_FRAMES: usize = 16;

/// The bounds of a stream's queue: [`DEFAULT_STREAM_FRAMES`] frames, the default age.
///
/// Bytes are bounded by the frames: 16 of the largest size are 32 MiB.
pub fn stream_queue_config() -> QueueConfig {
    QueueConfig::default().with_max_frames(DEFAULT_STREAM_FRAMES).with_max_bytes(
        DEFAULT_STREAM_FRAMES * tramline_wire::MAX_PACKET_LEN * tramline_wire::MAX_PACKETS_PER_FRAME,
    )
}

/// Hands every frame of one track to every stream that reads it.
///
/// Each stream has its own [`LiveQueue`]: one that reads too slowly loses its own oldest frames and nobody
/// else's. Payloads are shared, not copied. `Q` is how a queue is reached, see [`QueueAccess`].
#[derive(Debug)]
pub struct Fanout<Q = LiveQueue<Frame>> {
    streams: Slots<Q>,
    counters: Counters,
}

impl<Q: QueueAccess<Frame>> Fanout<Q> {
    /// A track that nobody reads yet.
    pub fn new() -> Self {
        Self { streams: Slots::new(), counters: Counters::default() }
    }

    /// Adds a stream; it sees the frames from now on.
    pub fn add(&mut self, queue: Q) -> SlotKey {
        self.streams.insert(queue)
    }

    /// Removes a stream; its queue comes back with what was not read.
    pub fn remove(&mut self, key: SlotKey) -> Option<Q> {
        self.streams.remove(key)
    }

    /// The queue of a stream.
    pub fn queue_mut(&mut self, key: SlotKey) -> Option<&mut Q> {
        self.streams.at_mut(key)
    }

    /// The streams, in no order.
    pub fn queues_mut(&mut self) -> impl Iterator<Item = (SlotKey, &mut Q)> {
        self.streams.iter_mut()
    }

    /// Streams that read this track.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Hands out a frame; `woken` is called with each stream that has something to read now.
    pub fn handle_frame(&mut self, now: Instant, frame: Frame, mut woken: impl FnMut(SlotKey, &mut Q)) {
        self.counters.accepted += 1;
        if self.streams.len() == 0 {
            self.counters.dropped.add(DropReason::NoReader);
            return;
        }
        self.counters.sent += 1;
        self.counters.bytes += frame.payload.len() as u64;
        let mut left = self.streams.len();
        let mut frame = Some(frame);
        for (key, queue) in self.streams.iter_mut() {
            left -= 1;
            // The last stream has the frame itself: with one reader nothing is shared.
            let Some(mine) = (if left == 0 { frame.take() } else { frame.clone() }) else { return };
            if queue.access(|queue| queue.push_frame(now, [mine])) {
                woken(key, queue);
            }
        }
    }

    /// Frames handed out, and those that came while nobody read. What each stream lost is in its own queue.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl<Q: QueueAccess<Frame>> Default for Fanout<Q> {
    fn default() -> Self {
        Self::new()
    }
}
