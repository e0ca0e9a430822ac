//! When to come back to whom.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use tramline_core::forward::PeerKey;

use super::rooms::RoomKey;

/// Whose timer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Peer(PeerKey),
    Room(RoomKey),
    /// The answer that waits for a participant has waited long enough.
    Answer(PeerKey),
    /// What a publisher said last is to be passed on.
    Farewell,
}

/// A heap of moments. A timer that moved later stays where it is and finds nothing to do; one that moved earlier is
/// set once more, and whoever it belongs to tells the stale one by its time. So nothing is ever searched for.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, Timer)>>);

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.push(Reverse((at, timer)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.next()? <= now { self.0.pop().map(|Reverse(timer)| timer) } else { None }
    }
}
