//! What became of the frames that a forwarding hop saw last, so that their later parts share it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames of several parts that can be told apart at once. Parts of one frame are close together, and a receiver
/// has about eight frames in flight; older ones are complete or lost.
const REMEMBERED: usize = 32;
/// Half the range of frame numbers: beyond it the same number is a different frame.
const FRAMES: u64 = 1 << 15;
/// A frame of which nothing came for so long is over, whatever its number says.
const SILENCE: Duration = Duration::from_secs(10);

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Has not started; `id` places it in the waiting frames.
    Waiting { id: u64 },
    /// Has started, parts wait.
    Started,
    /// Has started, all that came has left, more is to come.
    Between { started: Instant, bytes: usize, parts: u32 },
    /// Its end has left.
    Sent,
    /// Was dropped.
    Dropped,
}

/// The last frames of several parts, newest at the back.
#[derive(Debug)]
pub(super) struct Recent {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: u16,
    fate: Fate,
    /// Last part, in time and in frames that had entered the queue.
    seen: Instant,
    seen_frames: u64,
}

impl Entry {
    fn is_over(&self, now: Instant, frames: u64) -> bool {
        frames.wrapping_sub(self.seen_frames) >= FRAMES || now.saturating_duration_since(self.seen) >= SILENCE
    }
}

impl Recent {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new() }
    }

    /// Forgets what is over; returns how many frames are given up with parts missing. `frames` entered so far.
    pub(super) fn forget_old(&mut self, now: Instant, frames: u64) -> u64 {
        let mut given_up = 0;
        while let Some(entry) = self.entries.front().filter(|entry| entry.is_over(now, frames)) {
            given_up += u64::from(matches!(entry.fate, Fate::Between { .. }));
            self.entries.pop_front();
        }
        given_up
    }

    /// What became of frame `key`; notes that a part of it came.
    pub(super) fn find(&mut self, key: u16, now: Instant, frames: u64) -> Option<Fate> {
        let entry = self.entries.iter_mut().rev().find(|entry| entry.key == key)?;
        if entry.is_over(now, frames) {
            return None;
        }
        (entry.seen, entry.seen_frames) = (now, frames);
        Some(entry.fate)
    }

    /// Adds a frame; returns how many frames are given up for it with parts missing.
    pub(super) fn insert(&mut self, key: u16, fate: Fate, now: Instant, frames: u64) -> u64 {
        let mut given_up = 0;
        if self.entries.len() == REMEMBERED
            && let Some(entry) = self.entries.pop_front()
        {
            given_up = u64::from(matches!(entry.fate, Fate::Between { .. }));
        }
        self.entries.push_back(Entry { key, fate, seen: now, seen_frames: frames });
        given_up
    }

    /// Changes what became of frame `key`; false when it is forgotten.
    pub(super) fn set(&mut self, key: u16, fate: Fate) -> bool {
        let entry = self.entries.iter_mut().rev().find(|entry| entry.key == key);
        entry.map(|entry| entry.fate = fate).is_some()
    }

    /// The waiting frame `id` was taken out of the middle: later ones move up by one.
    pub(super) fn handle_removed(&mut self, id: u64) {
        for entry in &mut self.entries {
            if let Fate::Waiting { id: other } = &mut entry.fate
                && *other > id
            {
                *other -= 1;
            }
        }
    }
}
