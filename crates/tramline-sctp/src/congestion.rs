//! How much may be in flight: the controllers behind one trait.

use std::fmt;
use std::time::{Duration, Instant};

mod delay;
mod reno;

pub(crate) use delay::DelayAware;
pub(crate) use reno::Reno;

use crate::config::{Config, Congestion};

/// What one acknowledgement told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ack {
    pub(crate) now: Instant,
    /// Bytes acknowledged for the first time.
    pub(crate) bytes: usize,
    /// Round trip of the newest acknowledged chunk, if it was sent once.
    pub(crate) round_trip: Option<Duration>,
    /// Everything that was sent when the last round ended has been acknowledged.
    pub(crate) round_ended: bool,
    /// The window, and not a lack of data, kept more from being sent in this round.
    pub(crate) window_limited: bool,
}

/// Decides how much may be in flight and how fast it leaves.
pub(crate) trait Controller: fmt::Debug + Send {
    /// Bytes that may be in flight.
    fn window(&self) -> usize;
    /// Bytes per second at which they leave; `None`: as fast as the window lets them.
    fn pacing_rate(&self) -> Option<u64>;
    fn handle_ack(&mut self, ack: &Ack);
    /// `bytes` were taken for lost.
    fn handle_loss(&mut self, now: Instant, bytes: usize);
    /// Nothing was heard for a whole time-out; everything in flight was taken for lost.
    fn handle_timeout(&mut self, now: Instant);
}

pub(crate) fn controller(config: &Config) -> Box<dyn Controller> {
    let limits = Limits { unit: config.packet_budget, max: config.max_window };
    match config.congestion {
        Congestion::DelayAware { max_rate } => Box::new(DelayAware::new(limits, max_rate)),
        Congestion::Reno => Box::new(Reno::new(limits)),
    }
}

/// What every window keeps to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// A full packet.
    pub(crate) unit: usize,
    pub(crate) max: usize,
}

impl Limits {
    /// 37 kB, so that a stream of 1 kB a millisecond does not wait on its first round trips. RFC 6928 allows 15 kB at once; these
    /// are spread over half a round trip, which the handshake has measured.
    fn initial(self) -> usize {
        (32 * self.unit).min(self.max)
    }

    /// After a time-out: one packet, and one more so that an acknowledgement is not delayed.
    fn restart(self) -> usize {
        2 * self.unit
    }
}
