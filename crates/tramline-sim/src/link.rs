use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::Conditions;

/// What one direction of a link does to datagrams. The default is a perfect one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinkConfig {
    /// Part of the datagrams that is lost, 0 to 1.
    pub loss: f64,
    /// Mean length of a run of losses, in datagrams. 1: each is lost independently. Longer runs are as much rarer
    /// (Gilbert's model), so that `loss` stays the part that is lost.
    pub burst: f64,
    /// Part of the datagrams that arrives twice, 0 to 1. Each copy has its own jitter.
    pub duplicate: f64,
    /// Time on the way, at least.
    pub delay: Duration,
    /// Up to this much more, uniformly.
    pub jitter: Duration,
    /// Whether datagrams closer together than the jitter overtake each other; otherwise they wait for the one before, as on one
    /// radio link.
    pub reorder: bool,
    /// Bytes per second that get through; `None`: without limit.
    pub rate: Option<u64>,
    /// Bytes that may wait in front of the rate. What comes when it is full is lost.
    pub queue: usize,
    /// Times after the start of the link in which everything is lost: begin and length.
    pub outages: Vec<(Duration, Duration)>,
}

impl LinkConfig {
    /// A queue as home routers and radio modems have it: 100 ms at 20 Mbit/s.
    pub const DEFAULT_QUEUE: usize = 256_000;

    /// A link that does nothing but take this long.
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// Sets [`loss`](Self::loss) and [`burst`](Self::burst).
    pub fn with_loss(self, loss: f64, burst: f64) -> Self {
        Self { loss, burst, ..self }
    }

    /// Sets [`jitter`](Self::jitter), in order.
    pub fn with_jitter(self, jitter: Duration) -> Self {
        Self { jitter, reorder: false, ..self }
    }

    /// Sets [`rate`](Self::rate), in bits per second, and [`queue`](Self::queue), in bytes.
    pub fn with_rate(self, bits: u64, queue: usize) -> Self {
        Self { rate: Some(bits / 8), queue, ..self }
    }

    /// Adds an outage.
    pub fn with_outage(mut self, begin: Duration, length: Duration) -> Self {
        self.outages.push((begin, length));
        self
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            loss: 0.0,
            burst: 1.0,
            duplicate: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: false,
            rate: None,
            queue: Self::DEFAULT_QUEUE,
            outages: Vec::new(),
        }
    }
}

impl From<Conditions> for LinkConfig {
    fn from(conditions: Conditions) -> Self {
        let Conditions { loss, duplicate, delay, jitter } = conditions;
        Self { loss, duplicate, delay, jitter, reorder: true, ..Self::default() }
    }
}

/// What one direction of a link did so far, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Given to the link.
    pub sent: u64,
    /// Lost at random or in an outage.
    pub lost: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
    /// Second copies that were made.
    pub duplicated: u64,
}

/// Decides when a datagram arrives, if it does. Holds no datagrams: [`Link`] and [`Network`](crate::Network) do.
#[derive(Debug)]
pub(crate) struct Channel {
    config: LinkConfig,
    /// When the link began to exist.
    start: Option<Instant>,
    in_burst: bool,
    /// When the last datagram that entered the queue has left it.
    free_at: Option<Instant>,
    /// When the last datagram arrives.
    last_at: Option<Instant>,
    pub(crate) stats: LinkStats,
}

impl Channel {
    /// It exists from its first datagram on, unless [`start`](Self::start) said otherwise.
    pub(crate) fn new(config: LinkConfig) -> Self {
        Self {
            config,
            start: None,
            in_burst: false,
            free_at: None,
            last_at: None,
            stats: LinkStats::default(),
        }
    }

    pub(crate) fn start(mut self, at: Instant) -> Self {
        self.start = Some(at);
        self
    }

    pub(crate) fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// When the copy of a datagram that occupies the link for `bytes` arrives, and when the datagram itself does.
    pub(crate) fn carry(&mut self, now: Instant, bytes: usize, rng: &mut Rng) -> [Option<Instant>; 2] {
        self.stats.sent += 1;
        // Both are drawn for every datagram, so that a change of one probability leaves the other draws alone.
        let (lost, twice) = (self.is_lost(rng.f64()), rng.f64() < self.config.duplicate);
        if self.is_out(now) || lost {
            self.stats.lost += 1;
            return [None, None];
        }
        let Some(leaves) = self.queue(now, bytes) else {
            self.stats.overflowed += 1;
            return [None, None];
        };
        self.stats.duplicated += u64::from(twice);
        let mut arrive = || {
            let mut at = leaves + self.config.delay + self.config.jitter.mul_f64(rng.f64());
            if !self.config.reorder {
                at = self.last_at.map_or(at, |last| last.max(at));
                self.last_at = Some(at);
            }
            at
        };
        let copy = twice.then(&mut arrive);
        [copy, Some(arrive())]
    }

    fn is_lost(&mut self, draw: f64) -> bool {
        let LinkConfig { loss, burst, .. } = self.config;
        if burst <= 1.0 || loss <= 0.0 || loss >= 1.0 {
            return draw < loss;
        }
        let leave = 1.0 / burst;
        let enter = loss * leave / (1.0 - loss);
        self.in_burst = if self.in_burst { draw >= leave } else { draw < enter };
        self.in_burst
    }

    fn is_out(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(*self.start.get_or_insert(now));
        self.config.outages.iter().any(|(begin, length)| passed >= *begin && passed < *begin + *length)
    }

    /// When the datagram has left the sender, if the queue takes it.
    fn queue(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = self.config.rate else { return Some(now) };
        let rate = rate.max(1) as f64;
        let begin = self.free_at.map_or(now, |free| free.max(now));
        let waiting = begin.saturating_duration_since(now).as_secs_f64() * rate;
        if waiting > self.config.queue as f64 {
            return None;
        }
        let leaves = begin + Duration::from_secs_f64(bytes as f64 / rate);
        self.free_at = Some(leaves);
        Some(leaves)
    }
}

/// One direction of a link, with the datagrams on it: impairs what is sent, the same way for the same seed.
///
/// [`send`](Self::send), come back at [`poll_timeout`](Self::poll_timeout), then take everything that
/// [`poll_delivery`](Self::poll_delivery) has. Time is virtual in tests; `tramline relay` drives the same type by real time.
#[derive(Debug)]
pub struct Link<D> {
    channel: Channel,
    rng: Rng,
    flying: BinaryHeap<Arrival<D>>,
    serial: u64,
}

impl<D: Clone> Link<D> {
    /// A link that exists from `start` on; outages count from there.
    pub fn new(config: LinkConfig, seed: u64, start: Instant) -> Self {
        Self {
            channel: Channel::new(config).start(start),
            rng: Rng::with_seed(seed),
            flying: BinaryHeap::new(),
            serial: 0,
        }
    }

    /// Changes the link for what is sent from now on.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.channel.set_config(config);
    }

    /// Puts a datagram on its way that occupies the link for `bytes`, headers of IP and UDP included.
    pub fn send(&mut self, now: Instant, bytes: usize, datagram: D) {
        let [copy, original] = self.channel.carry(now, bytes, &mut self.rng);
        if let Some(at) = copy {
            self.fly(at, datagram.clone());
        }
        if let Some(at) = original {
            self.fly(at, datagram);
        }
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flying.peek().map(|arrival| arrival.at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn poll_delivery(&mut self, now: Instant) -> Option<D> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.flying.pop().map(|arrival| arrival.datagram)
    }

    /// Datagrams on their way.
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// What happened so far.
    pub fn stats(&self) -> LinkStats {
        self.channel.stats
    }

    fn fly(&mut self, at: Instant, datagram: D) {
        self.flying.push(Arrival { at, serial: self.serial, datagram });
        self.serial += 1;
    }
}

/// A datagram that is on its way; the greatest is the earliest, then the one sent first.
#[derive(Debug)]
pub(crate) struct Arrival<D> {
    pub(crate) at: Instant,
    pub(crate) serial: u64,
    pub(crate) datagram: D,
}

impl<D> Ord for Arrival<D> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl<D> PartialOrd for Arrival<D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<D> PartialEq for Arrival<D> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<D> Eq for Arrival<D> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VirtualClock;

    const MS: Duration = Duration::from_millis(1);

    /// Sends a datagram of 1,000 bytes each `every`, `count` times; which arrive, and when.
    fn run(config: LinkConfig, count: u32, every: Duration) -> (Vec<(u32, Duration)>, LinkStats) {
        let mut clock = VirtualClock::new();
        let mut link = Link::new(config, 1, clock.now());
        for number in 0..count {
            link.send(clock.at(every * number), 1_000, number);
        }
        let mut arrived = Vec::new();
        while let Some(at) = link.poll_timeout() {
            clock.advance_to(at);
            arrived.extend(link.poll_delivery(clock.now()).map(|number| (number, clock.elapsed())));
        }
        (arrived, link.stats())
    }

    #[test]
    fn losses_come_as_often_and_in_runs_as_long_as_told() {
        for burst in [1.0, 4.0] {
            let (arrived, stats) = run(LinkConfig::default().with_loss(0.05, burst), 200_000, MS);
            let lost = stats.lost as f64 / stats.sent as f64;
            assert!((0.045..0.055).contains(&lost), "{lost} at bursts of {burst}");
            let runs = arrived.windows(2).filter(|pair| pair[1].0 != pair[0].0 + 1).count();
            let mean = stats.lost as f64 / runs as f64;
            assert!((burst * 0.95..burst * 1.1).contains(&mean), "runs of {mean} instead of {burst}");
        }
    }

    #[test]
    fn a_rate_spaces_datagrams_out_and_a_full_queue_loses_the_newest() {
        // 1,000 bytes take 10 ms; five wait at most, besides the one that is leaving.
        let config = LinkConfig::with_delay(3 * MS).with_rate(800_000, 4_999);
        let (arrived, stats) = run(config, 20, Duration::ZERO);
        let expected: Vec<_> = (0..5).map(|n| (n, 3 * MS + 10 * MS * (n + 1))).collect();
        assert_eq!(arrived, expected);
        assert_eq!((stats.sent, stats.overflowed, stats.lost), (20, 15, 0));
    }

    #[test]
    fn nothing_passes_in_an_outage() {
        let config = LinkConfig::default().with_outage(10 * MS, 5 * MS).with_outage(90 * MS, 1000 * MS);
        let (arrived, _) = run(config, 100, MS);
        let missing: Vec<_> = (0..100).filter(|n| !arrived.iter().any(|(number, _)| number == n)).collect();
        assert_eq!(missing, (10..15).chain(90..100).collect::<Vec<_>>());
    }

    #[test]
    fn jitter_keeps_the_order_unless_told_otherwise() {
        let in_order = LinkConfig::with_delay(5 * MS).with_jitter(20 * MS);
        let any_order = LinkConfig { reorder: true, ..in_order.clone() };
        let is_sorted = |arrived: &[(u32, Duration)]| arrived.is_sorted_by_key(|(number, _)| *number);
        let (arrived, _) = run(in_order, 1_000, MS);
        assert!(is_sorted(&arrived));
        assert!(arrived.iter().all(|(number, at)| *at >= MS * *number + 5 * MS));
        assert!(arrived.iter().all(|(number, at)| *at <= MS * *number + 25 * MS));
        let (arrived, _) = run(any_order, 1_000, MS);
        assert!(!is_sorted(&arrived));
    }

    #[test]
    fn the_directions_of_a_link_are_independent() {
        let clock = VirtualClock::new();
        let mut up = Link::new(LinkConfig::default().with_loss(1.0, 1.0), 1, clock.now());
        let mut down = Link::new(LinkConfig::with_delay(MS), 1, clock.now());
        up.send(clock.now(), 1, ());
        down.send(clock.now(), 1, ());
        assert_eq!((up.poll_timeout(), down.poll_timeout()), (None, Some(clock.at(MS))));
    }
}
