use std::time::Instant;

use super::{Ack, Controller, Limits};

/// RFC 9260 section 7.2 in bytes: doubled each round until the first loss, then one packet more each round, halved by
/// each round with a loss. Every random loss halves it as well, which is why it is not the default.
#[derive(Debug)]
pub(crate) struct Reno {
    limits: Limits,
    window: usize,
    threshold: usize,
    acked: usize,
    /// A loss of this round was answered already.
    reduced: bool,
}

impl Reno {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, window: 4 * limits.unit, threshold: usize::MAX, acked: 0, reduced: false }
    }
}

impl Controller for Reno {
    fn window(&self) -> usize {
        self.window
    }

    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    fn handle_ack(&mut self, ack: &Ack) {
        if ack.round_ended {
            self.reduced = false;
        }
        if !ack.window_limited || self.reduced {
            return;
        }
        if self.window < self.threshold {
            self.window += ack.bytes;
        } else {
            self.acked += ack.bytes;
            if self.acked >= self.window {
                self.acked -= self.window;
                self.window += self.limits.unit;
            }
        }
        self.window = self.window.min(self.limits.max);
    }

    fn handle_loss(&mut self, _: Instant, _: usize) {
        if !self.reduced {
            self.reduced = true;
            self.window = (self.window / 2).max(4 * self.limits.unit);
            self.threshold = self.window;
            self.acked = 0;
        }
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.threshold = (self.window / 2).max(4 * self.limits.unit);
        self.window = self.limits.restart();
        self.acked = 0;
    }
}
