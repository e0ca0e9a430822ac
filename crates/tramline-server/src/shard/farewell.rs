//! The last words of a publisher: they wait until its subscribers have what it sent before.
//!
//! Frames and messages travel on different ways. A publisher waits until its frames have reached the server before it says
//! that a track ends; what then still stands in a subscriber's queue would be lost if the server passed that on at once.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use tramline_core::forward::PeerKey;
use tramline_core::room::TransportEnd;
use tramline_transport::Channel;

use super::Shard;
use super::timers::Timer;

/// Something that a participant, or its connection, has said.
#[derive(Debug)]
pub(super) enum Said {
    Signal(Box<proto::SignalRequest>),
    SignalClosed,
    TransportClosed(TransportEnd),
}

/// A publisher whose subscribers have not everything yet.
#[derive(Debug)]
pub(super) struct Leaving {
    peer: PeerKey,
    until: Instant,
    /// In order.
    said: Vec<Said>,
}

impl Shard {
    /// Tells the room, now or once the publisher's last frames have arrived.
    pub(super) fn tell(&mut self, now: Instant, peer: PeerKey, said: Said) {
        if let Some(index) = self.leaving.iter().position(|leaving| leaving.peer == peer) {
            if self.leaving[index].said.len() < MAX_SAID {
                self.leaving[index].said.push(said);
                return;
            }
            self.release(now, index);
        } else if said.ends_tracks() && self.is_owed_by(peer) {
            let until = now + LONGEST_WAIT;
            self.leaving.push(Leaving { peer, until, said: vec![said] });
            self.timers.set(until, Timer::Farewell);
            return;
        }
        self.hear(now, peer, said);
    }

    /// Tells the rooms what has waited long enough.
    pub(super) fn handle_farewells(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(leaving) = self.leaving.get(index) {
            if leaving.until > now && self.is_owed_by(leaving.peer) {
                index += 1;
            } else {
                self.release(now, index);
            }
        }
    }

    fn release(&mut self, now: Instant, index: usize) {
        let Leaving { peer, said, .. } = self.leaving.swap_remove(index);
        for said in said {
            self.hear(now, peer, said);
        }
    }

    fn hear(&mut self, now: Instant, peer: PeerKey, said: Said) {
        let Some(room) = self.peers.at(peer).map(|entry| entry.room) else { return };
        self.rooms.with(room, |room| match said {
            Said::Signal(message) => room.handle_signal(now, peer, *message),
            Said::SignalClosed => room.handle_signal_closed(now, peer),
            Said::TransportClosed(end) => room.handle_transport_closed(now, peer, end),
        });
    }

    /// Whether somebody has not got all frames of this publisher yet.
    fn is_owed_by(&mut self, publisher: PeerKey) -> bool {
        let Some(room) = self.peers.at(publisher).map(|entry| entry.room) else { return false };
        let Some(room) = self.rooms.room(room) else { return false };
        let peers = &mut self.peers;
        room.forwarding().routes_of(publisher).any(|route| {
            let Some(entry) = peers.at(route.subscriber) else { return false };
            entry.has_queued(route.handle)
                || entry
                    .connections
                    .downstream()
                    .is_some_and(|connection| connection.buffered_amount(Channel::DataTrack) > 0)
        })
    }
}

impl Said {
    fn ends_tracks(&self) -> bool {
        match self {
            Self::Signal(request) => {
                matches!(request.message, Some(Request::Leave(_) | Request::UnpublishDataTrackRequest(_)))
            }
            Self::SignalClosed => false,
            Self::TransportClosed(end) => *end == TransportEnd::ClosedByPeer,
        }
    }
}

/// What has not left by then would be too old anyhow: the age at which queues give up frames.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// A client that says more than this in that time is heard at once.
const MAX_SAID: usize = 64;
