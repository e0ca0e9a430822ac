//! The default controller.
//!
//! **What it does.** Once per round trip it compares the shortest round trip of the round with the shortest of the last ten
//! seconds; the difference is the queue that stands in the network. While that is below a target of 4 to 10 ms the window
//! grows (twofold per round at first, then by a packet, and faster the longer there is no queue); above, it shrinks in proportion to the
//! excess. Loss counts only where a congested link shows in it: more than a tenth of a round, or two hundredths
//! together with a queue. Even then the window stays at what the path has delivered recently, so an application that sends less
//! than the path takes never feels a random loss. A window that was never full does not grow. Data leaves at
//! 1.25 windows per round trip (two, while the window doubles), in bursts of a few packets.
//!
//! **What it borrows.** Delay as the signal and the proportional decrease from FAST and LEDBAT, the delivery rate as a floor
//! and the periodic draining of the queue from BBR, the mode switch against traffic that fills buffers from Copa.
//!
//! **When it is wrong.** A queue that others fill does not go away when we send less: after six rounds of
//! decrease without effect the longer round trip is taken as the path's own, and the comparison starts anew; until then
//! the others get more. A path that gets longer looks the same. A link that loses more than a tenth at random is taken
//! for a congested one and slowed to what it delivered. Delay that varies by more than the target from round to round
//! (not from packet to packet: the shortest counts) keeps the window at what was delivered.

use std::time::{Duration, Instant};

use super::{Ack, Controller, Limits};

#[derive(Debug)]
pub(crate) struct DelayAware {
    limits: Limits,
    max_rate: Option<u64>,
    window: usize,
    mode: Mode,
    /// Shortest round trip known, and when it was last seen.
    base: Option<(Duration, Instant)>,
    smoothed: Option<Duration>,
    round: Round,
    /// Bytes per second delivered in each of the last rounds.
    rates: [u64; RATES],
    newest_rate: usize,
    /// Rounds in a row that had no queue to speak of, or that shrank the window without effect.
    calm: u32,
    futile: u32,
    last_queue: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The window doubles each round, up to the threshold.
    Startup {
        threshold: usize,
    },
    Steady,
    /// Less than the path takes, so that the queue empties and the path's own round trip shows. Then back to `window`.
    Draining {
        rounds: u32,
        window: usize,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Round {
    began: Option<Instant>,
    acked: usize,
    lost: usize,
    shortest: Option<Duration>,
    limited: bool,
}

impl DelayAware {
    pub(crate) fn new(limits: Limits, max_rate: Option<u64>) -> Self {
        Self {
            limits,
            max_rate,
            window: limits.initial(),
            mode: Mode::Startup { threshold: usize::MAX },
            base: None,
            smoothed: None,
            round: Round::default(),
            rates: [0; RATES],
            newest_rate: 0,
            calm: 0,
            futile: 0,
            last_queue: Duration::ZERO,
        }
    }

    /// Bytes that the path holds at the rate at which it delivered lately.
    fn delivered_per_round_trip(&self) -> usize {
        let rate = self.rates.iter().copied().max().unwrap_or(0);
        let base = self.base.map_or(Duration::ZERO, |(base, _)| base);
        (rate as f64 * base.as_secs_f64()) as usize
    }

    fn end_round(&mut self, now: Instant) {
        let round = std::mem::take(&mut self.round);
        self.round.began = Some(now);
        let (Some(began), Some(shortest), Some((base, seen))) = (round.began, round.shortest, self.base)
        else {
            return;
        };
        let took = now.saturating_duration_since(began).max(shortest).as_secs_f64();
        self.newest_rate = (self.newest_rate + 1) % RATES;
        self.rates[self.newest_rate] = (round.acked as f64 / took) as u64;

        let queue = shortest.saturating_sub(base);
        let target = target(base);
        let lost = round.lost as f64 / (round.lost + round.acked).max(1) as f64;
        let congested = lost > MUCH_LOSS || (lost > SOME_LOSS && queue > target / 2);
        let serious = congested && round.lost > 3 * self.limits.unit;

        if let Mode::Draining { rounds, window } = self.mode {
            if rounds > 1 {
                self.mode = Mode::Draining { rounds: rounds - 1, window };
                return;
            }
            // What shows now is as short as it gets.
            self.base = Some((shortest, now));
            self.mode = Mode::Steady;
            self.window = window;
            return;
        }
        if let Mode::Startup { threshold } = self.mode {
            if queue > target || serious || self.window >= threshold {
                self.mode = Mode::Steady;
                if queue > target || serious {
                    self.window = self.shrunk(self.window / 2);
                }
            }
            return;
        }
        if serious {
            self.window = self.shrunk((self.window as f64 * 0.85) as usize);
            self.calm = 0;
        } else if queue > target {
            self.calm = 0;
            // A window smaller by this factor leaves a queue of the target, if the queue is our own.
            let factor = ((base + target).as_secs_f64() / shortest.as_secs_f64()).max(0.7);
            if round.limited {
                self.futile = if queue * 10 > self.last_queue * 9 { self.futile + 1 } else { 0 };
                if self.futile >= FUTILE_ROUNDS {
                    self.base = Some((shortest, now));
                    self.futile = 0;
                } else {
                    self.window = ((self.window as f64 * factor) as usize).max(self.floor());
                }
            }
        } else {
            self.futile = 0;
            self.calm = if queue <= target / 2 { self.calm + 1 } else { 0 };
            if round.limited {
                // The longer there is room, the larger the steps: a link that got faster is filled in a few rounds.
                let steps = 1 << (self.calm / 4).min(6);
                let step = (steps * self.limits.unit).min(self.window / 2);
                self.window = (self.window + step.max(self.limits.unit)).min(self.limits.max);
            }
        }
        self.last_queue = queue;
        if round.limited && now.saturating_duration_since(seen) > BASE_BELIEVED {
            self.mode = Mode::Draining { rounds: 2, window: self.window };
            let path = self.delivered_per_round_trip();
            self.window = (path * 3 / 4).clamp(self.floor(), self.window.max(self.floor()));
        }
    }

    /// A smaller window, but not less than the path delivered.
    fn shrunk(&self, wanted: usize) -> usize {
        wanted.max(self.delivered_per_round_trip()).max(self.floor()).min(self.window.max(self.floor()))
    }

    fn floor(&self) -> usize {
        4 * self.limits.unit
    }
}

impl Controller for DelayAware {
    fn window(&self) -> usize {
        match (self.max_rate, self.smoothed) {
            (Some(rate), Some(smoothed)) => {
                let capped = (rate as f64 * smoothed.as_secs_f64() * 1.5) as usize;
                self.window.min(capped.max(self.floor()))
            }
            _ => self.window,
        }
    }

    fn pacing_rate(&self) -> Option<u64> {
        let smoothed = self.smoothed?;
        let gain = if matches!(self.mode, Mode::Startup { .. }) { 2.0 } else { 1.25 };
        let rate = (self.window as f64 * gain / smoothed.as_secs_f64()) as u64;
        if let Some(max) = self.max_rate {
            return Some(rate.min(max));
        }
        // Timers are not fine enough to space out packets within a shorter time than this.
        (smoothed >= PACED_FROM).then_some(rate)
    }

    fn handle_ack(&mut self, ack: &Ack) {
        if let Some(sample) = ack.round_trip {
            // Half a millisecond more is the same path with a busier scheduler.
            match self.base {
                Some((base, _)) if sample > base + SAME => {}
                Some((base, _)) => self.base = Some((base.min(sample), ack.now)),
                None => self.base = Some((sample, ack.now)),
            }
            self.smoothed = Some(self.smoothed.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
            self.round.shortest = Some(self.round.shortest.map_or(sample, |shortest| shortest.min(sample)));
        }
        self.round.acked += ack.bytes;
        self.round.limited |= ack.window_limited;
        if let Mode::Startup { threshold } = self.mode
            && ack.window_limited
        {
            self.window = (self.window + ack.bytes).min(threshold.max(self.window)).min(self.limits.max);
        }
        if self.round.began.is_none() {
            self.round.began = Some(ack.now);
        } else if ack.round_ended {
            self.end_round(ack.now);
        }
    }

    fn handle_loss(&mut self, _: Instant, bytes: usize) {
        self.round.lost += bytes;
    }

    fn handle_timeout(&mut self, _: Instant) {
        let before = match self.mode {
            Mode::Startup { threshold } if threshold != usize::MAX => threshold,
            Mode::Draining { window, .. } => window,
            _ => self.window,
        };
        // What the path held before is a fair guess for what it holds when it is back.
        self.mode = Mode::Startup { threshold: (before / 2).max(self.limits.initial()) };
        self.window = self.limits.restart();
        self.round = Round::default();
        self.calm = 0;
        self.futile = 0;
    }
}

/// The queue that is let stand: enough to measure, and well below 25 ms.
fn target(base: Duration) -> Duration {
    (base / 8).clamp(Duration::from_millis(4), Duration::from_millis(10))
}

/// Rounds over which the delivery rate is remembered: long enough to span an application's pause between frames.
const RATES: usize = 16;

/// Parts of a round that count as congestion: on their own, and together with a queue.
const MUCH_LOSS: f64 = 0.10;
const SOME_LOSS: f64 = 0.02;

/// See the module's documentation.
const FUTILE_ROUNDS: u32 = 6;

/// A shortest round trip that was not seen again for so long is looked for.
const BASE_BELIEVED: Duration = Duration::from_secs(10);

const SAME: Duration = Duration::from_micros(500);

/// Shortest round trip with pacing.
const PACED_FROM: Duration = Duration::from_millis(4);
