//! One subscription, several local readers.

use std::time::Instant;

use crate::frame::Frame;
use crate::outbox::{QueueAccess, SlotKey};
use crate::queue::{LiveQueue, QueueConfig};
use crate::slots::Slots;
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

/// What a stream does with frames that come after newer ones of their track, because they were lost and sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LateFrames {
    /// Hands them out like the others; their numbers tell their place.
    #[default]
    Deliver,
    /// Drops and counts them: the numbers of what is read only ever rise.
    Drop,
}

/// Hands every frame of one track to every stream that reads it.
///
/// Each stream has its own [`LiveQueue`]: one that reads too slowly loses its own oldest frames and nobody
/// else's. Payloads are shared, not copied. `Q` is how a queue is reached, see [`QueueAccess`].
#[derive(Debug)]
pub struct Fanout<Q = LiveQueue<Frame>> {
    streams: Slots<Stream<Q>>,
    counters: Counters,
}

#[derive(Debug)]
struct Stream<Q> {
    queue: Q,
    late_frames: LateFrames,
    /// The highest number so far.
    newest: Option<u16>,
}

impl<Q: QueueAccess<Frame>> Fanout<Q> {
    /// A track that nobody reads yet.
    pub fn new() -> Self {
        Self { streams: Slots::new(), counters: Counters::default() }
    }

    /// Adds a stream that takes late frames; it sees the frames from now on.
    pub fn add(&mut self, queue: Q) -> SlotKey {
        self.add_with(queue, LateFrames::default())
    }

    /// Adds a stream; it sees the frames from now on.
    pub fn add_with(&mut self, queue: Q, late_frames: LateFrames) -> SlotKey {
        self.streams.insert(Stream { queue, late_frames, newest: None })
    }

    /// Removes a stream; its queue comes back with what was not read.
    pub fn remove(&mut self, key: SlotKey) -> Option<Q> {
        self.streams.remove(key).map(|stream| stream.queue)
    }

    /// The queue of a stream.
    pub fn queue_mut(&mut self, key: SlotKey) -> Option<&mut Q> {
        self.streams.at_mut(key).map(|stream| &mut stream.queue)
    }

    /// The streams, in no order.
    pub fn queues_mut(&mut self) -> impl Iterator<Item = (SlotKey, &mut Q)> {
        self.streams.iter_mut().map(|(key, stream)| (key, &mut stream.queue))
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
        for (key, stream) in self.streams.iter_mut() {
            left -= 1;
            let Some(number) = frame.as_ref().map(|frame| frame.number) else { return };
            let is_late = stream.is_late(number);
            let Stream { queue, .. } = stream;
            if is_late {
                queue.access(|queue| queue.refuse(DropReason::Late));
                continue;
            }
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

impl<Q> Stream<Q> {
    /// Whether the frame comes too late for this stream. Numbers wrap; a step back by more than half of them is one forward.
    fn is_late(&mut self, number: u16) -> bool {
        let is_newer =
            self.newest.is_none_or(|newest| (1..=u16::MAX / 2).contains(&number.wrapping_sub(newest)));
        if is_newer {
            self.newest = Some(number);
        }
        !is_newer && self.late_frames == LateFrames::Drop
    }
}

impl<Q: QueueAccess<Frame>> Default for Fanout<Q> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tramline_sim::VirtualClock;

    #[test]
    fn a_slow_stream_loses_its_own_oldest_frames_and_nobody_elses() {
        let (clock, mut fanout) = (VirtualClock::new(), Fanout::new());
        let [slow, fast] = [16, 64].map(|frames| fanout.add(queue(frames)));
        let mut woken = 0;
        for number in 0..40u8 {
            fanout.handle_frame(clock.now(), Frame::new(vec![number]), |_, _| woken += 1);
        }
        assert_eq!(woken, 80);
        assert_eq!(read(&mut fanout, slow, &clock), (24..40).collect::<Vec<_>>());
        assert_eq!(read(&mut fanout, fast, &clock), (0..40).collect::<Vec<_>>());
        let lost = |queue: &mut LiveQueue<Frame>| queue.counters().dropped.count(DropReason::QueueFull);
        assert_eq!(fanout.queue_mut(slow).map(lost), Some(24));
        assert_eq!(fanout.queue_mut(fast).map(lost), Some(0));
    }

    #[test]
    fn late_frames_are_handed_out_or_dropped_and_counted_as_each_stream_likes() {
        let (clock, mut fanout) = (VirtualClock::new(), Fanout::new());
        let [all, in_order] =
            [LateFrames::Deliver, LateFrames::Drop].map(|late| fanout.add_with(queue(64), late));
        for number in [65_533u16, 65_535, 65_534, 1, 0, 2] {
            let mut frame = Frame::new(vec![number as u8]);
            frame.number = number;
            fanout.handle_frame(clock.now(), frame, |_, _| {});
        }
        assert_eq!(read(&mut fanout, all, &clock), [253, 255, 254, 1, 0, 2]);
        assert_eq!(read(&mut fanout, in_order, &clock), [253, 255, 1, 2]);
        let late = |queue: &mut LiveQueue<Frame>| queue.counters().dropped.count(DropReason::Late);
        assert_eq!([all, in_order].map(|key| fanout.queue_mut(key).map(late)), [Some(0), Some(2)]);
    }

    #[test]
    fn streams_share_the_payload() {
        let (clock, mut fanout) = (VirtualClock::new(), Fanout::new());
        let keys = [16, 16, 16].map(|frames| fanout.add(queue(frames)));
        let payload = Bytes::from(vec![1; 1_000]);
        fanout.handle_frame(clock.now(), Frame::new(payload.clone()), |_, _| {});
        for key in keys {
            let frame =
                fanout.queue_mut(key).and_then(|queue| queue.pop(clock.now())).expect("was handed out");
            assert_eq!(frame.payload.as_ptr(), payload.as_ptr());
        }
    }

    #[test]
    fn a_frame_that_nobody_reads_is_counted() {
        let (clock, mut fanout) = (VirtualClock::new(), Fanout::<LiveQueue<Frame>>::new());
        fanout.handle_frame(clock.now(), Frame::new("x"), |_, _| panic!("there is no stream"));
        let key = fanout.add(queue(16));
        fanout.remove(key);
        fanout.handle_frame(clock.now(), Frame::new("x"), |_, _| panic!("the stream is gone"));
        assert_eq!(fanout.counters().dropped.count(DropReason::NoReader), 2);
        assert_eq!(fanout.streams(), 0);
    }

    #[test]
    fn empty_frames_are_bounded_too() {
        let (clock, mut fanout) = (VirtualClock::new(), Fanout::new());
        let key = fanout.add(LiveQueue::new(stream_queue_config()));
        for _ in 0..100 {
            fanout.handle_frame(clock.now(), Frame::new(Bytes::new()), |_, _| {});
        }
        assert_eq!(fanout.queue_mut(key).map(|queue| queue.frames()), Some(16));
    }

    fn queue(frames: usize) -> LiveQueue<Frame> {
        LiveQueue::new(stream_queue_config().with_max_frames(frames))
    }

    fn read(fanout: &mut Fanout, key: SlotKey, clock: &VirtualClock) -> Vec<u8> {
        let queue = fanout.queue_mut(key).expect("a stream");
        std::iter::from_fn(|| queue.pop(clock.now())).map(|frame| frame.payload[0]).collect()
    }
}
