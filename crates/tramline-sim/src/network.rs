use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::link::{Arrival, Channel};
use crate::{LinkConfig, LinkStats};

/// What happens to a datagram on its way: the part of [`LinkConfig`] that most tests need.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Probability of being lost, 0 to 1.
    pub loss: f64,
    /// Probability of arriving twice, 0 to 1. Each copy has its own jitter.
    pub duplicate: f64,
    /// Time on the way, at least.
    pub delay: Duration,
    /// Up to this much more, uniformly: datagrams closer together than this overtake each other.
    pub jitter: Duration,
}

/// What the network did so far, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkStats {
    /// Given to the network.
    pub sent: u64,
    /// Never delivered, at random, in an outage or for want of room in a queue.
    pub lost: u64,
    /// Second copies that were made.
    pub duplicated: u64,
    /// Handed out, copies included.
    pub delivered: u64,
    /// Delivered after a datagram that was sent later between the same two.
    pub overtaken: u64,
}

/// A datagram that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<A, D> {
    /// Who sent it.
    pub from: A,
    /// Whom it is for.
    pub to: A,
    /// When it arrives.
    pub at: Instant,
    /// What arrives.
    pub datagram: D,
}

/// Carries datagrams `D` between endpoints with addresses `A`, badly, the same way for the same seed.
///
/// [`send`](Self::send), advance the clock to [`poll_timeout`](Self::poll_timeout), then take everything that
/// [`poll_delivery`](Self::poll_delivery) has. What arrives at the same instant arrives in the order of sending.
#[derive(Debug)]
pub struct Network<A, D> {
    rng: Rng,
    config: LinkConfig,
    links: BTreeMap<(A, A), OneWay>,
    flying: BinaryHeap<Arrival<Flying<A, D>>>,
    serial: u64,
    stats: NetworkStats,
}

#[derive(Debug)]
struct OneWay {
    channel: Channel,
    /// Follows the network's own conditions.
    is_common: bool,
    newest: u64,
}

#[derive(Debug)]
struct Flying<A, D> {
    from: A,
    to: A,
    datagram: D,
}

impl<A: Copy + Ord, D: Clone> Network<A, D> {
    /// A network with the same conditions everywhere.
    pub fn new(seed: u64, config: impl Into<LinkConfig>) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            config: config.into(),
            links: BTreeMap::new(),
            flying: BinaryHeap::new(),
            serial: 0,
            stats: NetworkStats::default(),
        }
    }

    /// Changes the conditions from one endpoint to another, for what is sent from now on. A link exists, as far as outages count,
    /// from the first datagram on it.
    pub fn set_link(&mut self, from: A, to: A, config: impl Into<LinkConfig>) {
        let config = config.into();
        let new = || OneWay { channel: Channel::new(LinkConfig::default()), is_common: false, newest: 0 };
        let link = self.links.entry((from, to)).or_insert_with(new);
        link.is_common = false;
        link.channel.set_config(config);
    }

    /// Changes the conditions of every link that has none of its own.
    pub fn set_conditions(&mut self, config: impl Into<LinkConfig>) {
        self.config = config.into();
        for link in self.links.values_mut().filter(|link| link.is_common) {
            link.channel.set_config(self.config.clone());
        }
    }

    /// Puts a datagram on its way that occupies no link for any time.
    pub fn send(&mut self, now: Instant, from: A, to: A, datagram: D) {
        self.send_sized(now, from, to, 0, datagram);
    }

    /// Puts a datagram on its way that occupies the link for `bytes`, headers of IP and UDP included.
    pub fn send_sized(&mut self, now: Instant, from: A, to: A, bytes: usize, datagram: D) {
        let config = &self.config;
        let link = self.links.entry((from, to)).or_insert_with(|| OneWay {
            channel: Channel::new(config.clone()),
            is_common: true,
            newest: 0,
        });
        let before = link.channel.stats;
        let arrivals = link.channel.carry(now, bytes, &mut self.rng);
        self.stats.sent += 1;
        self.stats.count(before, link.channel.stats);
        for at in arrivals.into_iter().flatten() {
            let datagram = Flying { from, to, datagram: datagram.clone() };
            self.flying.push(Arrival { at, serial: self.serial, datagram });
            self.serial += 1;
        }
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flying.peek().map(|arrival| arrival.at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn poll_delivery(&mut self, now: Instant) -> Option<Delivery<A, D>> {
        if self.poll_timeout()? > now {
            return None;
        }
        let Arrival { at, serial, datagram: Flying { from, to, datagram } } = self.flying.pop()?;
        if let Some(link) = self.links.get_mut(&(from, to)) {
            self.stats.overtaken += u64::from(serial < link.newest);
            link.newest = serial.max(link.newest);
        }
        self.stats.delivered += 1;
        Some(Delivery { from, to, at, datagram })
    }

    /// What happened so far.
    pub fn stats(&self) -> NetworkStats {
        self.stats
    }

    /// What happened so far from one endpoint to another.
    pub fn link_stats(&self, from: A, to: A) -> LinkStats {
        self.links.get(&(from, to)).map(|link| link.channel.stats).unwrap_or_default()
    }

    /// Datagrams on their way.
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }
}

impl NetworkStats {
    fn count(&mut self, before: LinkStats, after: LinkStats) {
        self.lost += (after.lost - before.lost) + (after.overflowed - before.overflowed);
        self.duplicated += after.duplicated - before.duplicated;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VirtualClock;

    const BAD: Conditions = Conditions {
        loss: 0.2,
        duplicate: 0.1,
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(5),
    };

    /// Sends 1000 datagrams a millisecond apart; returns what arrives, with the time since the start.
    fn run(seed: u64, conditions: Conditions) -> (Vec<(u32, Duration)>, NetworkStats) {
        let mut clock = VirtualClock::new();
        let mut network = Network::new(seed, conditions);
        for number in 0..1000u32 {
            network.send(clock.at(Duration::from_millis(number.into())), 'a', 'b', number);
        }
        let mut arrived = Vec::new();
        while let Some(at) = network.poll_timeout() {
            clock.advance_to(at);
            while let Some(delivery) = network.poll_delivery(clock.now()) {
                assert_eq!((delivery.from, delivery.to, delivery.at), ('a', 'b', at));
                arrived.push((delivery.datagram, clock.elapsed()));
            }
        }
        assert_eq!(network.in_flight(), 0);
        (arrived, network.stats())
    }

    #[test]
    fn a_perfect_link_delivers_everything_in_order_after_its_delay() {
        let delay = Duration::from_millis(7);
        let (arrived, stats) = run(1, Conditions { delay, ..Conditions::default() });
        let expected: Vec<_> = (0..1000).map(|n| (n, Duration::from_millis(n.into()) + delay)).collect();
        assert_eq!(arrived, expected);
        assert_eq!(stats, NetworkStats { sent: 1000, delivered: 1000, ..NetworkStats::default() });
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_one_does_not() {
        assert_eq!(run(7, BAD), run(7, BAD));
        assert_ne!(run(7, BAD).0, run(8, BAD).0);
    }

    #[test]
    fn loses_repeats_and_reorders_about_as_often_as_told() {
        let (arrived, stats) = run(3, BAD);
        assert_eq!(arrived.len() as u64, stats.delivered);
        assert_eq!(stats.delivered, stats.sent - stats.lost + stats.duplicated);
        assert!((150..250).contains(&stats.lost), "{stats:?}");
        assert!((50..120).contains(&stats.duplicated), "{stats:?}");
        assert!(stats.overtaken > 100, "{stats:?}");
    }

    #[test]
    fn one_link_can_be_worse_than_the_others() {
        let clock = VirtualClock::new();
        let mut network = Network::new(1, Conditions::default());
        network.set_link(1, 2, Conditions { loss: 1.0, ..Conditions::default() });
        network.send(clock.now(), 1, 2, ());
        network.send(clock.now(), 2, 1, ());
        assert_eq!(network.poll_delivery(clock.now()).map(|d| d.to), Some(1));
        assert_eq!(network.poll_delivery(clock.now()), None);
    }
}
