//! The clocks that the machines below are handed: monotonic, wall, and the 90 kHz of data-track packets.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch; 0 on a machine whose clock stands before it.
#[must_use]
pub fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Turns moments into the 32-bit, 90 kHz timestamps of data-track packets.
///
/// Counts from its own creation, so it only ever moves forward; it wraps after 13 hours, as the field does.
/// The random base that the packets add to it belongs to the track, not to the clock.
#[derive(Debug, Clone, Copy)]
pub struct MediaClock {
    start: Instant,
}

impl MediaClock {
    /// A clock that reads zero at `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self { start }
    }

    /// The reading at `now`; zero before the start.
    #[must_use]
    pub fn at(&self, now: Instant) -> u32 {
        ticks(now.saturating_duration_since(self.start))
    }
}

fn ticks(elapsed: Duration) -> u32 {
    // 90 ticks a millisecond; the product of any Duration's microseconds and 9 fits in 128 bits.
    ((elapsed.as_micros() * 9 / 100) & u128::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_clock_counts_ninety_ticks_a_millisecond_and_wraps() {
        let start = Instant::now();
        let clock = MediaClock::new(start);
        assert_eq!(clock.at(start), 0);
        assert_eq!(clock.at(start + Duration::from_secs(1)), 90_000);
        assert_eq!(clock.at(start + Duration::from_micros(100)), 9);
        // 2^32 ticks last 47,721 s and 858.. ms; 48,000 s is past the wrap.
        assert_eq!(u64::from(clock.at(start + Duration::from_secs(48_000))), 48_000 * 90_000 - (1u64 << 32));
    }

    #[test]
    fn unix_time_is_past_the_year_2020() {
        assert!(unix_millis() > 1_577_836_800_000);
    }
}
