//! Round-trip times and the time-out that follows from them (RFC 9260 section 6.3.1).

use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub(crate) struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
    latest: Duration,
    /// The shortest of the present and of the previous period, and when the present one began.
    shortest: [Option<Duration>; 2],
    period: Option<Instant>,
}

impl Rtt {
    pub(crate) fn new() -> Self {
        Self {
            smoothed: None,
            variation: Duration::ZERO,
            latest: Duration::ZERO,
            shortest: [None, None],
            period: None,
        }
    }

    pub(crate) fn handle_sample(&mut self, now: Instant, sample: Duration) {
        let sample = sample.max(GRANULARITY);
        self.latest = sample;
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
        match self.period {
            Some(began) if now.saturating_duration_since(began) < PERIOD => {}
            _ => {
                self.shortest = [None, self.shortest[0]];
                self.period = Some(now);
            }
        }
        self.shortest[0] = Some(self.shortest[0].map_or(sample, |shortest| shortest.min(sample)));
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    pub(crate) fn latest(&self) -> Duration {
        self.latest
    }

    /// The shortest of the last 10 to 20 seconds.
    pub(crate) fn min(&self) -> Option<Duration> {
        self.shortest.into_iter().flatten().min()
    }

    /// Before doubling.
    pub(crate) fn timeout(&self, initial: Duration, margin: Duration) -> Duration {
        match self.smoothed {
            None => initial,
            Some(smoothed) => smoothed + (self.variation * 4).max(margin),
        }
    }
}

/// Shorter samples are noise of clocks and schedulers.
const GRANULARITY: Duration = Duration::from_micros(1);

/// How long a shortest round trip is believed, at least.
const PERIOD: Duration = Duration::from_secs(10);
