//! Which frames are over, so that neither a repeated frame nor a late packet counts as a new one.

use std::time::{Duration, Instant};

use tramline_wire::Header;

/// Frames remembered. Copies that a network or a mending sender makes come within a few packets.
const FRAMES: usize = 512;
/// At this age a frame with the same numbers is another one: frame numbers, and the sequences of small frames,
/// wrap together after 65,536, and some official publishers never advance their timestamps.
const MAX_AGE_MS: u32 = 10_000;

/// The last frames of a track, found by number.
///
/// A number alone does not make a frame the same: its sequence and timestamp must match too, so that a publisher
/// that begins again at 0 is not mistaken for an echo.
#[derive(Debug)]
pub(super) struct Window {
    epoch: Option<Instant>,
    /// Empty until the first frame is over, then `FRAMES` long.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    end: End,
    number: u16,
    /// Of the start packet, and how many follow it with the start counted; for a delivered frame.
    sequence: u16,
    packets: u16,
    timestamp: u32,
    /// Milliseconds since the epoch; wraps after 49 days.
    at_ms: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Unused,
    Delivered,
    Dropped,
}

/// What a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A frame that is not over.
    New,
    /// A frame that was delivered.
    Delivered,
    /// A frame that was dropped.
    Dropped,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { epoch: None, entries: Vec::new() }
    }

    pub(super) fn check(&self, now: Instant, header: &Header) -> Verdict {
        let Some(entry) = self.entries.get(usize::from(header.frame_number) % FRAMES) else {
            return Verdict::New;
        };
        let same = entry.number == header.frame_number
            && entry.timestamp == header.timestamp
            && self.since_epoch(now).wrapping_sub(entry.at_ms) < MAX_AGE_MS;
        match entry.end {
            End::Delivered if same && header.sequence.wrapping_sub(entry.sequence) < entry.packets => {
                Verdict::Delivered
            }
            End::Dropped if same => Verdict::Dropped,
            _ => Verdict::New,
        }
    }

    pub(super) fn note_delivered(
        &mut self,
        now: Instant,
        number: u16,
        timestamp: u32,
        sequence: u16,
        packets: u16,
    ) {
        self.note(now, Entry { end: End::Delivered, number, sequence, packets, timestamp, at_ms: 0 });
    }

    pub(super) fn note_dropped(&mut self, now: Instant, number: u16, timestamp: u32) {
        self.note(now, Entry { end: End::Dropped, number, sequence: 0, packets: 0, timestamp, at_ms: 0 });
    }

    fn note(&mut self, now: Instant, entry: Entry) {
        self.epoch.get_or_insert(now);
        if self.entries.is_empty() {
            self.entries.resize(FRAMES, Entry::default());
        }
        let at_ms = self.since_epoch(now);
        self.entries[usize::from(entry.number) % FRAMES] = Entry { at_ms, ..entry };
    }

    fn since_epoch(&self, now: Instant) -> u32 {
        let since = self.epoch.map_or(Duration::ZERO, |epoch| now.saturating_duration_since(epoch));
        since.as_millis() as u32
    }
}
