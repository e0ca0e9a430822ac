//! How fast a queue empties while it has a backlog.

use std::time::{Duration, Instant};

/// The transport takes packets in bursts of about one window; shorter spans would measure the bursts.
const SPAN: Duration = Duration::from_millis(20);
/// What a new sample weighs against the past: links of robots change within a second.
const WEIGHT: f64 = 0.25;

/// Measures bytes per second over spans in which the queue never ran empty.
///
/// A queue that runs empty is limited by its source, so that span says nothing about the link and is forgotten.
#[derive(Debug)]
pub(super) struct DrainMeter {
    span_start: Option<Instant>,
    span_bytes: usize,
    rate: Option<f64>,
}

impl DrainMeter {
    pub(super) const fn new() -> Self {
        Self { span_start: None, span_bytes: 0, rate: None }
    }

    /// `len` bytes left the queue.
    pub(super) fn handle_pop(&mut self, now: Instant, len: usize, now_empty: bool) {
        let start = *self.span_start.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= SPAN {
            // The bytes of this pop open the next span: the ones before took `elapsed` to be followed by it.
            let sample = self.span_bytes as f64 / elapsed.as_secs_f64();
            self.rate = Some(self.rate.map_or(sample, |rate| rate + WEIGHT * (sample - rate)));
            self.span_start = Some(now);
            self.span_bytes = 0;
        }
        self.span_bytes += len;
        if now_empty {
            self.span_start = None;
            self.span_bytes = 0;
        }
    }

    /// Bytes per second, once known.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rate.map(|rate| rate as u64)
    }

    /// How long `bytes` take at the measured rate; zero while that is not known, never above `limit`.
    pub(super) fn time_for(&self, bytes: usize, limit: Duration) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        Duration::try_from_secs_f64(bytes as f64 / rate).map_or(limit, |time| time.min(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tramline_sim::VirtualClock;

    #[test]
    fn bursts_count_over_the_pause_that_follows_them() {
        let mut clock = VirtualClock::new();
        let mut meter = DrainMeter::new();
        for _ in 0..5 {
            for _ in 0..10 {
                meter.handle_pop(clock.now(), 1_000, false);
            }
            clock.advance(Duration::from_millis(100));
        }
        assert_eq!(meter.rate(), Some(100_000));
        assert_eq!(meter.time_for(50_000, Duration::from_secs(9)), Duration::from_millis(500));
        assert_eq!(meter.time_for(usize::MAX, Duration::from_secs(9)), Duration::from_secs(9));
    }

    #[test]
    fn a_queue_that_runs_empty_measures_nothing() {
        let mut clock = VirtualClock::new();
        let mut meter = DrainMeter::new();
        for _ in 0..10 {
            meter.handle_pop(clock.now(), 1_000, false);
            meter.handle_pop(clock.now(), 1_000, true);
            clock.advance(Duration::from_millis(100));
        }
        assert_eq!(meter.rate(), None);
    }
}
