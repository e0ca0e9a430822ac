//! Where the driver hands frames over to the readers of one stream, whichever threads those are on.
//!
//! The locks come from the parent module, so that the model tests can put their own in the place of those of the standard library.

use std::{
    sync::PoisonError,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tramline_core::{
    frame::Frame,
    queue::{LiveQueue, QueueConfig},
    stats::{Counters, DropReason},
};

use super::{
    StreamEnd,
    sync::{Condvar, Mutex, MutexGuard},
};

/// One side puts in, calls [`wake`](Self::wake) when it has put in everything that it has for now, and ends it. The other side takes out, waits and closes.
pub(crate) struct Exchange {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    queue: LiveQueue<Frame>,
    /// A task that waits.
    waker: Option<Waker>,
    /// Threads that wait.
    blocked: usize,
    end: Option<StreamEnd>,
    is_closed: bool,
    numbers: Numbers,
    missed: Missed,
    newest: Newest,
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame, and how many of the track are missing before it.
    Frame(Frame, u32),
    /// No frame came within the deadline.
    DeadlineMissed,
}

/// Why a reader gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    Yet,
    EverMore,
}

/// What an exchange has counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) counters: Counters,
    pub(crate) waiting: usize,
    pub(crate) missing: u64,
    pub(crate) missed_deadlines: u64,
}

impl Exchange {
    pub(crate) fn new(config: QueueConfig) -> Self {
        let state = State {
            queue: LiveQueue::new(config),
            waker: None,
            blocked: 0,
            end: None,
            is_closed: false,
            numbers: Numbers::default(),
            missed: Missed::default(),
            newest: Newest::default(),
        };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    // ---- The driver's side.

    /// The queue, to put frames in. Nobody is woken yet.
    pub(crate) fn access<R>(&self, f: impl FnOnce(&mut LiveQueue<Frame>) -> R) -> R {
        f(&mut self.lock().queue)
    }

    /// Wakes whoever waits for what was put in.
    pub(crate) fn wake(&self) {
        self.wake_from(self.lock());
    }

    /// No frame has come for too long. The reader learns of it after the frames that came before.
    pub(crate) fn miss_deadline(&self) {
        let mut state = self.lock();
        let accepted = state.queue.counters().accepted;
        state.missed.pending = Some(accepted);
        state.missed.total += 1;
        self.wake_from(state);
    }

    /// Nothing comes any more; the first reason stays.
    pub(crate) fn end(&self, end: StreamEnd) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        self.wake_from(state);
    }

    /// Forgets what came after a close.
    pub(crate) fn discard(&self) {
        self.lock().queue.clear(DropReason::NoReader);
    }

    // ---- The readers' side.

    pub(crate) fn try_next(&self, now: Instant) -> Result<Item, Nothing> {
        self.lock().next(now)
    }

    /// One task at a time: a second one would take the first one's place.
    pub(crate) fn poll_next(&self, now: Instant, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let mut state = self.lock();
        match state.next(now) {
            Ok(item) => Poll::Ready(Some(item)),
            Err(Nothing::EverMore) => Poll::Ready(None),
            Err(Nothing::Yet) => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Blocks the calling thread until there is something, nothing can come any more (`Ok(None)`), or `deadline` has passed (`Err`).
    pub(crate) fn wait_next(&self, deadline: Option<Instant>) -> Result<Option<Item>, TimedOut> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            match state.next(now) {
                Ok(item) => return Ok(Some(item)),
                Err(Nothing::EverMore) => return Ok(None),
                Err(Nothing::Yet) => {}
            }
            state.blocked += 1;
            state = match deadline {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(now);
                    if left.is_zero() {
                        state.blocked -= 1;
                        return Err(TimedOut);
                    }
                    self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.blocked -= 1;
        }
    }

    /// The newest frame, new or seen before, if it came within `max_age`.
    pub(crate) fn newest(&self, now: Instant, max_age: Duration) -> Option<(Frame, u32)> {
        let mut state = self.lock();
        let State { queue, numbers, newest, .. } = &mut *state;
        // What this reader still wants may not grow too old in the queue.
        let config = queue.config();
        if config.max_age.is_some_and(|limit| limit < max_age) {
            queue.set_config(now, config.with_max_age(max_age));
        }
        let mut missing = 0;
        if let Some((frame, came)) =
            queue.pop_newest(now, |superseded| missing += numbers.take(superseded.number))
        {
            missing += numbers.take(frame.number);
            newest.0 = Some((frame, missing, came));
        }
        let (frame, missing, came) = newest.0.as_ref()?;
        (now.saturating_duration_since(*came) <= max_age).then(|| (frame.clone(), *missing))
    }

    /// Ends it from the readers' side: what waits is forgotten and whoever waits is woken. Whether it was open before.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        let was_open = !std::mem::replace(&mut state.is_closed, true);
        state.end.get_or_insert(StreamEnd::Closed);
        state.queue.clear(DropReason::NoReader);
        state.newest = Newest::default();
        self.wake_from(state);
        was_open
    }

    pub(crate) fn ended(&self) -> Option<StreamEnd> {
        self.lock().end
    }

    pub(crate) fn report(&self, now: Instant) -> Report {
        let mut state = self.lock();
        state.queue.handle_timeout(now);
        Report {
            counters: state.queue.counters(),
            waiting: state.queue.frames(),
            missing: state.numbers.missing,
            missed_deadlines: state.missed.total,
        }
    }

    fn wake_from(&self, mut state: MutexGuard<'_, State>) {
        let (waker, has_blocked) = (state.waker.take(), state.blocked > 0);
        // Whoever wakes up wants the lock first of all.
        drop(state);
        if has_blocked {
            self.arrived.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Also after a panic of another holder: the state is valid between any two statements.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimedOut;

impl State {
    fn next(&mut self, now: Instant) -> Result<Item, Nothing> {
        if self.is_closed {
            return Err(Nothing::EverMore);
        }
        self.queue.handle_timeout(now);
        let taken_or_dropped = self.queue.counters().accepted - self.queue.frames() as u64;
        if self.missed.pending.is_some_and(|after| after <= taken_or_dropped) {
            self.missed.pending = None;
            return Ok(Item::DeadlineMissed);
        }
        match self.queue.pop(now) {
            Some(frame) => {
                let missing = self.numbers.take(frame.number);
                Ok(Item::Frame(frame, missing))
            }
            None if self.end.is_some() => Err(Nothing::EverMore),
            None => Err(Nothing::Yet),
        }
    }
}

/// Deadlines without a frame. One at a time waits for the reader: for a later one an earlier one means nothing any more.
#[derive(Debug, Default)]
struct Missed {
    /// After how many frames.
    pending: Option<u64>,
    total: u64,
}

/// The newest frame for those who ask again and again, how many are missing before it, and when it came.
#[derive(Debug, Default)]
struct Newest(Option<(Frame, u32, Instant)>);

/// The frame numbers as they come by.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: Option<u16>,
    missing: u64,
}

impl Numbers {
    /// How many frames are missing before this one.
    pub(super) fn take(&mut self, number: u16) -> u32 {
        let Some(last) = self.last.replace(number) else { return 0 };
        match number.wrapping_sub(last) {
            0 => 0,
            ahead @ 1..=0x7FFF => {
                let missing = u32::from(ahead) - 1;
                self.missing += u64::from(missing);
                missing
            }
            behind if behind.wrapping_neg() <= FURTHEST_BEHIND => {
                // It was missing before another one, and has come after all.
                self.last = Some(last);
                self.missing = self.missing.saturating_sub(1);
                0
            }
            // So many are missing that their number says nothing any more, or the counting has begun anew.
            _ => 0,
        }
    }
}

/// A frame that is further behind than this was not overtaken on its way.
const FURTHEST_BEHIND: u16 = 1_024;
