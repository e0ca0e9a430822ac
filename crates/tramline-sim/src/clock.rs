use std::time::{Duration, Instant};

/// Time that moves only when told to.
///
/// Machines take `now` as an [`Instant`], of which there is no zero: the clock starts at an arbitrary one and
/// everything else is relative to it.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    epoch: Instant,
    now: Instant,
}

impl VirtualClock {
    /// A clock at its epoch.
    pub fn new() -> Self {
        let epoch = Instant::now();
        Self { epoch, now: epoch }
    }

    /// The current time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Time since the epoch.
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// Moves forward by `by`; returns the new time.
    pub fn advance(&mut self, by: Duration) -> Instant {
        self.now += by;
        self.now
    }

    /// Moves forward to `to`; stays when that has passed.
    pub fn advance_to(&mut self, to: Instant) -> Instant {
        self.now = self.now.max(to);
        self.now
    }

    /// The instant `after` the epoch.
    pub fn at(&self, after: Duration) -> Instant {
        self.epoch + after
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}
