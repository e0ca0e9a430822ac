//! Offers, answers and candidates: how a participant's connections come to be.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use serde::Deserialize;
use tramline_core::forward::PeerKey;
use tramline_core::leave::{DisconnectReason, LeaveAction};
use tramline_core::room::{Target, TransportCommand, TransportEnd};
use tramline_transport::{LocalCandidate, Peer, PeerConfig, SdpError};

use super::Shard;
use super::timers::Timer;

/// The number of our only offer to a participant.
const OFFER_ID: u32 = 1;

/// Longer than any client takes to set the offer that it has sent.
const LONGEST_HOLD: Duration = Duration::from_millis(100);

/// LiveKit's Go client sends its offer with the join request and sets it when the join response has come. An answer right behind
/// that finds it without one, and the join fails. So its first answer waits for its first candidate.
#[derive(Debug)]
pub(super) enum HeldAnswer {
    /// Answers go out at once.
    Nothing,
    /// The next one waits.
    Next,
    /// This one waits, with the candidates that follow it.
    Waiting(Box<(proto::SessionDescription, Vec<LocalCandidate>)>),
}

impl HeldAnswer {
    pub(super) fn of(client: &proto::ClientInfo) -> Self {
        if client.sdk() == proto::client_info::Sdk::Go { Self::Next } else { Self::Nothing }
    }
}

impl Shard {
    pub(super) fn negotiate(&mut self, now: Instant, peer: PeerKey, command: TransportCommand) {
        match command {
            TransportCommand::Offer { sdp, id } => self.handle_offer(now, peer, &sdp, id),
            TransportCommand::MakeOffer => self.make_offer(now, peer),
            TransportCommand::Answer { sdp, id } => self.handle_answer(now, peer, &sdp, id),
            TransportCommand::Candidate { target, candidate_init } => {
                // It has begun to gather, so it has set its offer.
                self.release_answer(now, peer);
                self.handle_candidate(peer, target, &candidate_init);
            }
        }
    }

    fn handle_offer(&mut self, now: Instant, peer: PeerKey, sdp: &str, id: u32) {
        match self.answer_offer(now, peer, sdp) {
            Ok(Description { sdp, candidates }) => {
                // Clients take the answer by the id of their offer.
                let r#type = "answer".to_owned();
                let answer = proto::SessionDescription { r#type, sdp, id, ..Default::default() };
                let entry = self.peers.at(peer);
                if let Some(entry) = entry.filter(|entry| matches!(entry.held_answer, HeldAnswer::Next)) {
                    entry.held_answer = HeldAnswer::Waiting(Box::new((answer, candidates)));
                    self.timers.set(now + LONGEST_HOLD, Timer::Answer(peer));
                } else {
                    self.send_answer(now, peer, answer, candidates);
                }
            }
            Err(error) => self.refuse_description(now, peer, Target::Publisher, &error),
        }
    }

    /// Sends the answer that waits, if one does.
    pub(super) fn release_answer(&mut self, now: Instant, peer: PeerKey) {
        let Some(entry) = self.peers.at(peer) else { return };
        if let HeldAnswer::Waiting(held) = std::mem::replace(&mut entry.held_answer, HeldAnswer::Nothing) {
            let (answer, candidates) = *held;
            self.send_answer(now, peer, answer, candidates);
        }
    }

    fn send_answer(
        &mut self,
        now: Instant,
        peer: PeerKey,
        answer: proto::SessionDescription,
        candidates: Vec<LocalCandidate>,
    ) {
        self.send(now, peer, Response::Answer(answer));
        self.trickle(now, peer, Target::Publisher, candidates);
        self.peers.touch(peer);
    }

    /// The first answer has no candidates in it; they are trickled behind it. Chromium with candidates in hand may connect
    /// while it still works on the answer, and then never notices that it did.
    fn answer_offer(
        &mut self,
        now: Instant,
        peer: PeerKey,
        sdp: &str,
    ) -> Result<Description, DescriptionError> {
        let entry = self.peers.at(peer).ok_or(DescriptionError::Gone)?;
        if let Some(connection) = entry.connections.get_mut(Target::Publisher) {
            connection.handle_offer(now, sdp)?;
            return Ok(Description { sdp: connection.answer(), candidates: Vec::new() });
        }
        let negotiated_channels = entry.negotiated_channels;
        let mut config = self.peer_config()?;
        config.negotiated_channels = negotiated_channels;
        let connection = Peer::server(config, now, sdp)?;
        let sdp = connection.answer();
        let candidates = self.add_connection(peer, Target::Publisher, connection)?;
        Ok(Description { sdp, candidates })
    }

    fn make_offer(&mut self, now: Instant, peer: PeerKey) {
        let made = self.peer_config().map_err(DescriptionError::from).and_then(|config| {
            let mut connection = Peer::server_offering(config, now);
            let sdp = connection.offer();
            let candidates = self.add_connection(peer, Target::Subscriber, connection)?;
            Ok(Description { sdp, candidates })
        });
        match made {
            Ok(Description { sdp, candidates }) => {
                let r#type = "offer".to_owned();
                let offer = proto::SessionDescription { r#type, sdp, id: OFFER_ID, ..Default::default() };
                self.send(now, peer, Response::Offer(offer));
                self.trickle(now, peer, Target::Subscriber, candidates);
                self.peers.touch(peer);
            }
            Err(error) => self.refuse_description(now, peer, Target::Subscriber, &error),
        }
    }

    fn handle_answer(&mut self, now: Instant, peer: PeerKey, sdp: &str, id: u32) {
        let Some(entry) = self.peers.at(peer) else { return };
        let Some(connection) = entry.connections.get_mut(Target::Subscriber) else {
            tracing::debug!(peer = peer.0, "an answer to no offer");
            self.stats.signal_transport_errors += 1;
            return;
        };
        // Older clients do not repeat the number.
        let answered = match id {
            0 | OFFER_ID => connection.handle_answer(now, sdp).map_err(DescriptionError::from),
            other => Err(DescriptionError::UnknownOffer(other)),
        };
        match answered {
            Ok(()) => self.peers.touch(peer),
            Err(error) => self.refuse_description(now, peer, Target::Subscriber, &error),
        }
    }

    /// A description that cannot be used ends the session: a first one for good, a later one so that the client joins anew.
    fn refuse_description(&mut self, now: Instant, peer: PeerKey, target: Target, error: &DescriptionError) {
        tracing::info!(peer = peer.0, ?target, %error, "description refused");
        self.stats.signal_transport_errors += 1;
        let Some(entry) = self.peers.at(peer) else { return };
        let room = entry.room;
        let is_first = entry.connections.get_mut(target).is_none_or(|connection| connection.path().is_none());
        self.rooms.with(room, |room| {
            if is_first {
                room.handle_transport_closed(now, peer, TransportEnd::Refused);
            } else {
                room.disconnect(now, peer, DisconnectReason::StateMismatch, LeaveAction::Reconnect);
            }
        });
    }

    fn peer_config(&self) -> io::Result<PeerConfig> {
        Ok(PeerConfig::new(self.certificate.clone(), tramline_net::random::bytes()?))
    }

    /// Puts a connection in its place and on the network; returns the candidates for it.
    fn add_connection(
        &mut self,
        peer: PeerKey,
        target: Target,
        mut connection: Peer,
    ) -> Result<Vec<LocalCandidate>, DescriptionError> {
        let towards = self.peers.at(peer).ok_or(DescriptionError::Gone)?.remote;
        self.demux
            .insert((peer, target), connection.local_ufrag())
            .map_err(|error| DescriptionError::Demux(error.to_string()))?;
        for mut addr in self.addresses(towards) {
            addr.set_port(self.node_udp_port.unwrap_or(addr.port()));
            connection.add_local_candidate(addr);
        }
        let candidates = connection.local_candidates();
        if let Some(entry) = self.peers.at(peer) {
            entry.connections.set(target, connection);
        }
        Ok(candidates)
    }

    /// Where a client can reach the UDP sockets.
    fn addresses(&self, towards: IpAddr) -> Vec<SocketAddr> {
        if !self.node_ips.is_empty() {
            // An address in front of a NAT is on no interface; the port is that of the socket of its family.
            let port = |ip: IpAddr| {
                let local = self.sockets.local_addrs().find(|local| local.is_ipv4() == ip.is_ipv4())?;
                Some(SocketAddr::new(ip, local.port()))
            };
            return self
                .node_ips
                .iter()
                .filter_map(|ip| self.sockets.addr_of(*ip).or_else(|| port(*ip)))
                .collect();
        }
        let bound: Vec<_> = self.sockets.local_addrs().collect();
        let mut addresses: Vec<_> =
            bound.iter().copied().filter(|addr| !addr.ip().is_unspecified()).collect();
        if bound.iter().any(|addr| addr.ip().is_unspecified()) {
            let hosts = tramline_net::interfaces::host_addresses(Some(towards)).unwrap_or_default();
            addresses.extend(hosts.into_iter().filter_map(|ip| self.sockets.addr_of(ip)));
        }
        addresses
    }

    fn trickle(&mut self, now: Instant, peer: PeerKey, target: Target, candidates: Vec<LocalCandidate>) {
        let count = candidates.len();
        for (index, candidate) in candidates.into_iter().enumerate() {
            let trickle = proto::TrickleRequest {
                candidate_init: candidate_init(&candidate),
                target: target.to_wire(),
                r#final: index + 1 == count,
            };
            self.send(now, peer, Response::Trickle(trickle));
        }
    }

    fn handle_candidate(&mut self, peer: PeerKey, target: Target, candidate_init: &str) {
        /// An `RTCIceCandidateInit`, as far as it matters with one media section.
        #[derive(Deserialize)]
        struct CandidateInit {
            candidate: String,
        }
        let connection = self.peers.at(peer).and_then(|entry| entry.connections.get_mut(target));
        let Some(connection) = connection else { return };
        let taken = serde_json::from_str::<CandidateInit>(candidate_init)
            .map_err(|error| error.to_string())
            .and_then(|init| connection.handle_candidate(&init.candidate).map_err(|error| error.to_string()));
        match taken {
            Ok(()) => self.peers.touch(peer),
            Err(error) => {
                tracing::debug!(peer = peer.0, ?target, error, "candidate refused");
                self.stats.signal_transport_errors += 1;
            }
        }
    }
}

/// What a participant is sent.
struct Description {
    sdp: String,
    /// To be trickled behind it.
    candidates: Vec<LocalCandidate>,
}

/// An `RTCIceCandidateInit`. LiveKit's Rust client insists on all three members.
fn candidate_init(candidate: &LocalCandidate) -> String {
    let LocalCandidate { candidate, mid, mline_index } = candidate;
    serde_json::json!({ "candidate": candidate, "sdpMid": mid, "sdpMLineIndex": mline_index }).to_string()
}

/// Why a description was of no use.
#[derive(Debug, thiserror::Error)]
enum DescriptionError {
    #[error("the participant is gone")]
    Gone,
    #[error("an answer to offer {0}, but the only one has the number {OFFER_ID}")]
    UnknownOffer(u32),
    #[error(transparent)]
    Sdp(#[from] SdpError),
    #[error(transparent)]
    Random(#[from] io::Error),
    #[error("{0}")]
    Demux(String),
}
