//! Spreads packets over time.

use std::time::{Duration, Instant};

/// A bucket of bytes that fills at the pacing rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    unit: f64,
    /// May be below zero by one packet.
    bytes: f64,
    filled: Option<Instant>,
}

impl Pacer {
    pub(crate) fn new(unit: usize) -> Self {
        let unit = unit as f64;
        Self { unit, bytes: BURST * unit, filled: None }
    }

    /// Starts with a full bucket again.
    pub(crate) fn reset(&mut self) {
        self.bytes = BURST * self.unit;
        self.filled = None;
    }

    /// When the next packet may leave, if not now.
    pub(crate) fn blocked_until(&mut self, now: Instant, rate: Option<u64>) -> Option<Instant> {
        let Some(rate) = rate else {
            self.reset();
            return None;
        };
        let rate = (rate as f64).max(self.unit);
        let most = (rate * TICK.as_secs_f64() * 2.0).max(BURST * self.unit);
        let passed = self.filled.map_or(Duration::ZERO, |filled| now.saturating_duration_since(filled));
        self.filled = Some(now);
        self.bytes = (self.bytes + rate * passed.as_secs_f64()).min(most);
        if self.bytes > 0.0 {
            return None;
        }
        let wait = Duration::from_secs_f64((self.unit - self.bytes) / rate);
        Some(now + wait.max(TICK))
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.bytes -= bytes as f64;
    }
}

/// Bytes that have to be at hand so that something can leave whenever the pacer lets it.
pub(crate) fn until_next_tick(rate: u64) -> usize {
    (rate as f64 * TICK.as_secs_f64() * 2.0) as usize + 1
}

/// Packets that may leave back to back.
const BURST: f64 = 10.0;

/// Waking up earlier than this is not worth it.
const TICK: Duration = Duration::from_millis(1);
