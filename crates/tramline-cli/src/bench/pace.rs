//! When the next frame is due.

use std::time::{Duration, Instant};

/// A beat that does not drift: the n-th frame is due n periods after the first.
pub(super) struct Pace {
    start: Instant,
    period: Duration,
    frames: u32,
}

impl Pace {
    /// `rate` frames per second; 0 has no beat.
    pub(super) fn new(start: Instant, rate: f64) -> Option<Self> {
        (rate > 0.0).then(|| Self { start, period: Duration::from_secs_f64(1.0 / rate), frames: 0 })
    }

    /// Sleeps until the next frame is due, not at all when it is late already.
    pub(super) fn wait(&mut self) {
        let due = self.next_due();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    fn next_due(&mut self) -> Instant {
        let due = self.start + self.period.saturating_mul(self.frames);
        self.frames = self.frames.saturating_add(1);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beat_does_not_drift() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 1_000.0).expect("a rate above zero");
        let due: Vec<_> = (0..4).map(|_| pace.next_due() - start).collect();
        assert_eq!(due, [0, 1, 2, 3].map(Duration::from_millis));
    }

    #[test]
    fn rate_zero_has_no_beat() {
        assert!(Pace::new(Instant::now(), 0.0).is_none());
    }
}
