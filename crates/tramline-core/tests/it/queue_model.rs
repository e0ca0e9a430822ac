//! The live queue against a reference that is slow and obvious.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tramline_core::queue::{LiveQueue, QueueConfig};
use tramline_core::stats::{Counters, DropReason};
use tramline_sim::VirtualClock;

const MAX_BYTES: usize = 1_000;
const MAX_FRAMES: usize = 12;
const MAX_AGE_MS: u64 = 100;

#[derive(Clone, Debug)]
enum Operation {
    PushFrame(Vec<usize>),
    PushPart { frame: u16, is_start: bool, is_end: bool, len: usize },
    Pop,
    Advance(u64),
    Clear,
}

fn operation() -> impl Strategy<Value = Operation> {
    let len = prop_oneof![9 => 0usize..120, 1 => 900usize..1_100];
    prop_oneof![
        3 => proptest::collection::vec(len.clone(), 0..4).prop_map(Operation::PushFrame),
        8 => (0u16..6, any::<bool>(), any::<bool>(), len)
            .prop_map(|(frame, is_start, is_end, len)| Operation::PushPart { frame, is_start, is_end, len }),
        6 => Just(Operation::Pop),
        2 => (1u64..60).prop_map(Operation::Advance),
        1 => Just(Operation::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_queue_does_what_the_reference_does(operations in proptest::collection::vec(operation(), 1..120)) {
        let config = QueueConfig::default()
            .with_max_bytes(MAX_BYTES)
            .with_max_frames(MAX_FRAMES)
            .with_max_age(Duration::from_millis(MAX_AGE_MS));
        let (mut clock, mut queue) = (VirtualClock::new(), LiveQueue::new(config));
        let mut reference = Reference::default();
        for (step, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::PushFrame(lens) => {
                    let parts: Vec<_> = lens.into_iter().map(|len| item(step, len)).collect();
                    let entered = queue.push_frame(clock.now(), parts.clone());
                    prop_assert_eq!(entered, reference.push_frame(parts), "step {}", step);
                }
                Operation::PushPart { frame, is_start, is_end, len } => {
                    let part = item(step, len);
                    let entered = queue.push_part(clock.now(), frame, is_start, is_end, part.clone());
                    prop_assert_eq!(entered, reference.push_part(frame, is_start, is_end, part), "step {}", step);
                }
                Operation::Pop => prop_assert_eq!(queue.pop(clock.now()), reference.pop(), "step {}", step),
                Operation::Advance(ms) => {
                    // How long a started frame has depends on the measured rate, which the reference does not
                    // know: those leave first.
                    while reference.has_started_parts() {
                        prop_assert_eq!(queue.pop(clock.now()), reference.pop());
                    }
                    clock.advance(Duration::from_millis(ms));
                    queue.handle_timeout(clock.now());
                    reference.advance(ms);
                    let deadline = reference.deadline_ms().map(|ms| clock.at(Duration::from_millis(ms)));
                    prop_assert_eq!(queue.poll_timeout(), deadline);
                }
                Operation::Clear => {
                    queue.clear(DropReason::TrackEnded);
                    reference.clear();
                }
            }
            let mut counters = queue.counters();
            prop_assert_eq!(queue.bytes(), reference.bytes(), "step {}", step);
            prop_assert_eq!(queue.frames(), reference.frames(), "step {}", step);
            prop_assert_eq!(queue.is_empty(), reference.frames() == 0, "step {}", step);
            prop_assert!(queue.bytes() <= MAX_BYTES && queue.frames() <= MAX_FRAMES + 32);
            counters.dropped = Default::default();
            let expected = Counters { accepted: reference.accepted, sent: reference.sent, bytes: reference.left, ..counters };
            prop_assert_eq!(counters, expected, "step {}", step);
            for reason in DropReason::ALL {
                let count = reference.drops.get(&reason).copied().unwrap_or(0);
                prop_assert_eq!(queue.counters().dropped.count(reason), count, "step {}: {}", step, reason);
            }
        }
    }
}

fn item(step: usize, len: usize) -> Bytes {
    vec![step as u8; len].into()
}

/// Every frame that ever entered, in order of entering, each with all that is known of it.
#[derive(Default)]
struct Reference {
    now_ms: u64,
    frames: Vec<Frame>,
    /// Frames that have started and have parts, in the order in which they are served.
    serving: Vec<usize>,
    accepted: u64,
    sent: u64,
    left: u64,
    drops: HashMap<DropReason, u64>,
}

struct Frame {
    number: Option<u16>,
    entered_ms: u64,
    parts: Vec<Bytes>,
    started: bool,
    ended: bool,
    dropped: bool,
    counted: bool,
}

impl Reference {
    fn push_frame(&mut self, parts: Vec<Bytes>) -> bool {
        if parts.is_empty() {
            return false;
        }
        let len = parts.iter().map(Bytes::len).sum();
        if !self.make_room(len, 1, 0) {
            self.refuse(len);
            return false;
        }
        self.enter(None, parts, true, false);
        true
    }

    fn push_part(&mut self, number: u16, is_start: bool, is_end: bool, part: Bytes) -> bool {
        if is_start && is_end {
            return self.push_frame(vec![part]);
        }
        let known = self.frames.iter().rposition(|frame| frame.number == Some(number));
        let Some(index) = known else {
            let fits = self.make_room(part.len(), 1, 0);
            if fits {
                self.enter(Some(number), vec![part], is_end, false);
            } else {
                self.refuse(part.len());
                self.enter(Some(number), vec![], is_end, true);
                self.accepted -= 1;
            }
            return fits;
        };
        if self.frames[index].dropped {
            return false;
        }
        // A frame that has started has its place already.
        let started = self.frames[index].started;
        let placed = usize::from(started && !self.frames[index].parts.is_empty());
        let fits = self.make_room(part.len(), 0, placed);
        if self.frames[index].dropped {
            return false;
        }
        if !fits {
            self.drop(index, if started { DropReason::QueueFull } else { DropReason::Oversize });
            return false;
        }
        if started && self.frames[index].parts.is_empty() {
            self.serving.push(index);
        }
        self.frames[index].parts.push(part);
        self.frames[index].ended |= is_end;
        true
    }

    fn pop(&mut self) -> Option<Bytes> {
        let waiting = || self.frames.iter().position(Frame::waits);
        let index = self.serving.first().copied().or_else(waiting)?;
        let frame = &mut self.frames[index];
        if !frame.started {
            frame.started = true;
            self.serving.push(index);
        }
        let part = frame.parts.remove(0);
        self.left += part.len() as u64;
        if frame.parts.is_empty() {
            self.serving.retain(|other| *other != index);
            if frame.ended && !frame.counted {
                frame.counted = true;
                self.sent += 1;
            }
        }
        Some(part)
    }

    fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        for index in 0..self.frames.len() {
            if self.frames[index].waits() && self.frames[index].entered_ms + MAX_AGE_MS <= self.now_ms {
                self.drop(index, DropReason::Stale);
            }
        }
    }

    fn clear(&mut self) {
        for index in 0..self.frames.len() {
            if !self.frames[index].parts.is_empty() {
                self.drop(index, DropReason::TrackEnded);
            }
        }
    }

    fn deadline_ms(&self) -> Option<u64> {
        self.frames.iter().filter(|frame| frame.waits()).map(|frame| frame.entered_ms + MAX_AGE_MS).min()
    }

    fn bytes(&self) -> usize {
        self.frames.iter().flat_map(|frame| &frame.parts).map(Bytes::len).sum()
    }

    fn frames(&self) -> usize {
        self.frames.iter().filter(|frame| !frame.parts.is_empty()).count()
    }

    fn has_started_parts(&self) -> bool {
        !self.serving.is_empty()
    }

    /// `placed` frames are there and do not count.
    fn make_room(&mut self, bytes: usize, frames: usize, placed: usize) -> bool {
        if bytes > MAX_BYTES {
            return false;
        }
        while self.bytes() + bytes > MAX_BYTES || self.frames() + frames - placed > MAX_FRAMES {
            let Some(oldest) = self.frames.iter().position(Frame::waits) else { return false };
            self.drop(oldest, DropReason::QueueFull);
        }
        true
    }

    fn enter(&mut self, number: Option<u16>, parts: Vec<Bytes>, ended: bool, dropped: bool) {
        self.accepted += 1;
        let entered_ms = self.now_ms;
        self.frames.push(Frame { number, entered_ms, parts, started: false, ended, dropped, counted: false });
    }

    fn refuse(&mut self, len: usize) {
        let reason = if len > MAX_BYTES { DropReason::Oversize } else { DropReason::QueueFull };
        *self.drops.entry(reason).or_default() += 1;
    }

    fn drop(&mut self, index: usize, reason: DropReason) {
        let frame = &mut self.frames[index];
        frame.parts.clear();
        frame.dropped = true;
        self.serving.retain(|other| *other != index);
        if !frame.counted {
            *self.drops.entry(reason).or_default() += 1;
        }
    }
}

impl Frame {
    fn waits(&self) -> bool {
        !self.started && !self.parts.is_empty()
    }
}
