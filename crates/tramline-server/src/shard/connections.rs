//! The connections of one participant: one for everything, or one for each direction.

use std::time::Instant;

use tramline_core::room::Target;
use tramline_transport::{Peer, PeerEvent, Transmits};

/// What the participant's packets travel on. Publishers send on the connection that they offered; what is for the participant leaves
/// on the one that the server offered, if it did.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// `None` until its offer has come.
    publisher: Option<Peer>,
    /// `None` with a single connection.
    subscriber: Option<Peer>,
}

impl Connections {
    pub(super) fn get_mut(&mut self, target: Target) -> Option<&mut Peer> {
        match target {
            Target::Publisher => self.publisher.as_mut(),
            Target::Subscriber => self.subscriber.as_mut(),
        }
    }

    pub(super) fn set(&mut self, target: Target, connection: Peer) {
        match target {
            Target::Publisher => self.publisher = Some(connection),
            Target::Subscriber => self.subscriber = Some(connection),
        }
    }

    /// The one without which the participant is not there, and on which it receives.
    pub(super) fn primary(&self) -> Target {
        if self.subscriber.is_some() { Target::Subscriber } else { Target::Publisher }
    }

    /// Where everything for the participant goes.
    pub(super) fn downstream(&mut self) -> Option<&mut Peer> {
        self.subscriber.as_mut().or(self.publisher.as_mut())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.publisher.iter().chain(&self.subscriber)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.publisher.iter_mut().chain(&mut self.subscriber)
    }

    pub(super) fn poll_event(&mut self) -> Option<(Target, PeerEvent)> {
        let publisher = self.publisher.iter_mut().map(|peer| (Target::Publisher, peer));
        let subscriber = self.subscriber.iter_mut().map(|peer| (Target::Subscriber, peer));
        publisher.chain(subscriber).find_map(|(target, peer)| peer.poll_event().map(|event| (target, event)))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.iter_mut().for_each(|peer| peer.handle_timeout(now));
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        self.iter_mut().filter_map(Peer::poll_timeout).min()
    }

    pub(super) fn poll_transmit(&mut self, now: Instant, out: &mut Transmits) {
        self.iter_mut().for_each(|peer| peer.poll_transmit(now, out));
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.iter_mut().for_each(|peer| peer.close(now));
    }
}
