use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use fastrand::Rng;

/// What happens to a datagram on its way.
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
    /// Never delivered.
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
    conditions: Conditions,
    links: BTreeMap<(A, A), Conditions>,
    flying: BinaryHeap<Flying<A, D>>,
    serial: u64,
    newest: BTreeMap<(A, A), u64>,
    stats: NetworkStats,
}

impl<A: Copy + Ord, D: Clone> Network<A, D> {
    /// A network with the same conditions everywhere.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            conditions,
            links: BTreeMap::new(),
            flying: BinaryHeap::new(),
            serial: 0,
            newest: BTreeMap::new(),
            stats: NetworkStats::default(),
        }
    }

    /// Changes the conditions from one endpoint to another, for what is sent from now on.
    pub fn set_link(&mut self, from: A, to: A, conditions: Conditions) {
        self.links.insert((from, to), conditions);
    }

    /// Changes the conditions of every link that has none of its own.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Puts a datagram on its way.
    pub fn send(&mut self, now: Instant, from: A, to: A, datagram: D) {
        let conditions = *self.links.get(&(from, to)).unwrap_or(&self.conditions);
        self.stats.sent += 1;
        // Both are drawn for every datagram, so that a change of one probability leaves the other draws alone.
        let (lost, twice) = (self.rng.f64() < conditions.loss, self.rng.f64() < conditions.duplicate);
        if lost {
            self.stats.lost += 1;
            return;
        }
        if twice {
            self.stats.duplicated += 1;
            self.fly(now, from, to, datagram.clone(), conditions);
        }
        self.fly(now, from, to, datagram, conditions);
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flying.peek().map(|flying| flying.delivery.at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn poll_delivery(&mut self, now: Instant) -> Option<Delivery<A, D>> {
        if self.poll_timeout()? > now {
            return None;
        }
        let Flying { delivery, serial } = self.flying.pop()?;
        let newest = self.newest.entry((delivery.from, delivery.to)).or_default();
        if serial < *newest {
            self.stats.overtaken += 1;
        }
        *newest = serial.max(*newest);
        self.stats.delivered += 1;
        Some(delivery)
    }

    /// What happened so far.
    pub fn stats(&self) -> NetworkStats {
        self.stats
    }

    /// Datagrams on their way.
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    fn fly(&mut self, now: Instant, from: A, to: A, datagram: D, conditions: Conditions) {
        let jitter = conditions.jitter.mul_f64(self.rng.f64());
        let at = now + conditions.delay + jitter;
        self.flying.push(Flying { delivery: Delivery { from, to, at, datagram }, serial: self.serial });
        self.serial += 1;
    }
}

#[derive(Debug)]
struct Flying<A, D> {
    delivery: Delivery<A, D>,
    serial: u64,
}

impl<A, D> Ord for Flying<A, D> {
    /// The heap hands out its greatest: the earliest, then the one sent first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.delivery.at, other.serial).cmp(&(self.delivery.at, self.serial))
    }
}

impl<A, D> PartialOrd for Flying<A, D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<A, D> PartialEq for Flying<A, D> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<A, D> Eq for Flying<A, D> {}

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
