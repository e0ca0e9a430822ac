//! The server's side of one room: who is in it, what they publish, who gets what.

mod blobs;
mod join;
mod metadata;
mod output;
mod packets;
mod participant;
mod permission;
mod publish;
mod quality;
mod subscribe;
mod update;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::request_response::Reason;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tramline_wire::{RoomSid, TrackHandle, TrackSid};

use crate::forward::{ForwardingTable, PeerKey};
use crate::leave::{DisconnectReason, LeaveAction, leave_message};

pub use crate::layout::{Layout, Target};
pub use blobs::{MAX_BLOB_KEY_LEN, MAX_BLOBS_LEN};
pub use join::{Join, JoinError, SERVER_PROTOCOL, resume_refusal};
pub use metadata::{MAX_ATTRIBUTES_LEN, MAX_METADATA_LEN, MAX_NAME_LEN, MetadataTooLong};
pub use output::{Claims, Output, TransportCommand, TransportEnd};
pub use packets::{PacketRefused, RoutedPacket};
pub use participant::Grants;

use participant::{Participant, State};
use update::Updates;

/// How often a participant gets a fresh token.
const TOKEN_REFRESH: Duration = Duration::from_secs(300);

/// Makes the bits of new ids. The caller brings the randomness, so that a run can be replayed.
pub type RandomSource = Box<dyn FnMut() -> u128 + Send>;

/// One room of a server: LiveKit signalling, data only, with participants in either [`Layout`].
///
/// Owns no socket, clock or task. The calling order:
///
/// 1. [`join`](Self::join) a participant when its token has been checked. The first output is its join response.
/// 2. Give the room every request ([`handle_signal`](Self::handle_signal)) and what happens to a participant's
///    WebSocket and transport.
/// 3. After every call, call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) is
///    due (it can be due at once), and drain [`poll_output`](Self::poll_output), in order: handles are announced
///    before packets carry them.
/// 4. Forward packets by [`forwarding`](Self::forwarding); that needs none of the other calls.
///
/// What a client sends that breaks the protocol is answered where the protocol has an answer and counted otherwise
/// ([`counters`](Self::counters)).
pub struct Room {
    config: RoomConfig,
    sid: RoomSid,
    started: Instant,
    random: RandomSource,
    participants: BTreeMap<PeerKey, Participant>,
    by_identity: BTreeMap<Arc<str>, PeerKey>,
    /// Where a track is published.
    tracks: BTreeMap<TrackSid, (PeerKey, TrackHandle)>,
    /// Who has a subscription to a SID, live or not; the SID need not exist.
    subscribers: BTreeMap<TrackSid, BTreeSet<PeerKey>>,
    forwarding: ForwardingTable,
    updates: Updates,
    metadata: String,
    /// The marks of the last packets that had one, newest last.
    nonces: VecDeque<Box<[u8]>>,
    empty_since: Option<Instant>,
    is_finished: bool,
    /// `poll_timeout`'s answer, until something changes.
    timeout: Option<Option<Instant>>,
    counters: RoomCounters,
    output: VecDeque<Output>,
}

/// What a [`Room`] is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RoomConfig {
    /// The room's name.
    pub name: String,
    /// The wall clock at the moment the room is made, in milliseconds since 1970.
    pub unix_ms: i64,
    /// What clients are told about the server; `protocol` should be [`SERVER_PROTOCOL`].
    pub server: proto::ServerInfo,
    /// The longest time for which changes are collected into one update.
    pub update_interval: Duration,
    /// How long a participant may take to bring its transport up.
    pub join_timeout: Duration,
    /// How long a subscription waits for its track to appear.
    pub pending_timeout: Duration,
    /// How long a room without participants stays.
    pub departure_timeout: Duration,
    /// Most participants, 0 for no limit.
    pub max_participants: usize,
    /// Most tracks of one publisher.
    pub max_tracks: usize,
    /// Most subscriptions of one participant, live and pending.
    pub max_subscriptions: usize,
    /// Whether participants may store data blobs, which is where schemas live: yes here, no in LiveKit's server.
    pub data_blobs: bool,
    /// What clients must answer within, and how often they ping; whole seconds.
    pub ping_timeout: Duration,
    /// See `ping_timeout`; at least one second, since clients cannot live with none.
    pub ping_interval: Duration,
}

impl RoomConfig {
    /// A room with LiveKit's values, but updates after at most 10 ms.
    pub fn new(name: impl Into<String>, unix_ms: i64, server: proto::ServerInfo) -> Self {
        Self {
            name: name.into(),
            unix_ms,
            server,
            update_interval: Duration::from_millis(10),
            join_timeout: Duration::from_secs(60),
            pending_timeout: Duration::from_secs(60),
            departure_timeout: Duration::from_secs(20),
            max_participants: 0,
            max_tracks: 4096,
            max_subscriptions: 16_384,
            data_blobs: true,
            ping_timeout: Duration::from_secs(15),
            ping_interval: Duration::from_secs(5),
        }
    }
}

/// What a [`Room`] refused or skipped, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RoomCounters {
    /// Requests that broke the protocol.
    pub malformed: u64,
    /// Requests of a kind that this server does not need, such as those about media.
    pub ignored: u64,
    /// Requests that were refused with an answer.
    pub refused: u64,
    /// Subscriptions beyond the limit of a participant.
    pub over_limit: u64,
    /// Subscriptions that were forgotten because their track never came.
    pub forgotten: u64,
}

impl std::ops::Add for RoomCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            malformed: self.malformed + other.malformed,
            ignored: self.ignored + other.ignored,
            refused: self.refused + other.refused,
            over_limit: self.over_limit + other.over_limit,
            forgotten: self.forgotten + other.forgotten,
        }
    }
}

impl Room {
    /// An empty room. `random` makes the ids: its bits must not be predictable for clients.
    pub fn new(config: RoomConfig, now: Instant, mut random: RandomSource) -> Self {
        Self {
            sid: RoomSid::from_random(random()),
            started: now,
            random,
            participants: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            tracks: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            forwarding: ForwardingTable::default(),
            updates: Updates::default(),
            metadata: String::new(),
            nonces: VecDeque::new(),
            empty_since: Some(now),
            is_finished: false,
            timeout: None,
            counters: RoomCounters::default(),
            output: VecDeque::new(),
            config,
        }
    }

    // ---- What happens to a participant.

    /// `peer` sent `message`.
    pub fn handle_signal(&mut self, now: Instant, peer: PeerKey, message: proto::SignalRequest) {
        self.timeout = None;
        if !self.participants.contains_key(&peer) {
            return;
        }
        let Some(message) = message.message else {
            self.counters.ignored += 1;
            return;
        };
        match message {
            Request::Offer(offer) => {
                let command = TransportCommand::Offer { sdp: offer.sdp, id: offer.id };
                self.output.push_back(Output::Transport { peer, command });
            }
            Request::Answer(answer) => {
                let command = TransportCommand::Answer { sdp: answer.sdp, id: answer.id };
                self.output.push_back(Output::Transport { peer, command });
            }
            Request::Trickle(trickle) => match Target::from_wire(trickle.target) {
                Some(target) => {
                    let command =
                        TransportCommand::Candidate { target, candidate_init: trickle.candidate_init };
                    self.output.push_back(Output::Transport { peer, command });
                }
                None => self.counters.malformed += 1,
            },
            Request::Leave(leave) => {
                let reason = match DisconnectReason::from_wire(leave.reason) {
                    DisconnectReason::Unknown => DisconnectReason::ClientInitiated,
                    given => given,
                };
                // LiveKit answers every leave in the same words, whatever the client's reason was.
                self.say_goodbye(peer, DisconnectReason::ClientInitiated, LeaveAction::Disconnect);
                self.remove(now, peer, reason);
            }
            Request::Ping(_) => {
                let pong = Response::Pong(self.unix_ms(now));
                self.send(peer, pong);
            }
            Request::PingReq(ping) => {
                let timestamp = self.unix_ms(now);
                self.send(
                    peer,
                    Response::PongResp(proto::Pong { last_ping_timestamp: ping.timestamp, timestamp }),
                );
            }
            Request::PublishDataTrackRequest(request) => self.handle_publish(now, peer, request),
            Request::UnpublishDataTrackRequest(request) => self.handle_unpublish(now, peer, request),
            Request::UpdateDataSubscription(request) => self.handle_subscription(now, peer, request),
            Request::SubscriptionPermission(request) => {
                self.handle_subscription_permission(now, peer, request)
            }
            Request::UpdateMetadata(request) => self.handle_metadata(now, peer, request),
            Request::StoreDataBlobRequest(request) => self.handle_store_blob(peer, request),
            Request::GetDataBlobRequest(request) => self.handle_get_blob(peer, &request),
            Request::AddTrack(request) => {
                let request = proto::request_response::Request::AddTrack(request);
                let message = "this server carries data only, no audio or video";
                self.refuse(peer, 0, Reason::UnsupportedType, message, Some(request));
            }
            // Sent after a resume, and by test tools; neither changes anything here.
            Request::SyncState(_) | Request::Simulate(_) => {}
            _ => self.counters.ignored += 1,
        }
    }

    /// The WebSocket of `peer` ended without a `leave`. With a transport it stays: its data goes on.
    pub fn handle_signal_closed(&mut self, now: Instant, peer: PeerKey) {
        self.timeout = None;
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        participant.has_signal = false;
        if participant.state != State::Active {
            self.remove(now, peer, DisconnectReason::SignalClose);
        }
    }

    /// The connection on which `peer` receives is up: others see it as active.
    pub fn handle_transport_connected(&mut self, now: Instant, peer: PeerKey) {
        self.timeout = None;
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if participant.state != State::Active {
            participant.state = State::Active;
            participant.version += 1;
            self.changed(now, peer, false);
            self.tell_qualities(peer);
        }
    }

    /// A connection of `peer` ended, and with it its session.
    pub fn handle_transport_closed(&mut self, now: Instant, peer: PeerKey, end: TransportEnd) {
        self.timeout = None;
        if !self.participants.contains_key(&peer) {
            return;
        }
        let (reason, action) = match end {
            TransportEnd::ClosedByPeer => (DisconnectReason::ClientInitiated, LeaveAction::Disconnect),
            // A new join helps; there is nothing left here that could be resumed.
            TransportEnd::Lost => (DisconnectReason::ConnectionTimeout, LeaveAction::Reconnect),
            TransportEnd::Refused => (DisconnectReason::JoinFailure, LeaveAction::Disconnect),
        };
        self.say_goodbye(peer, reason, action);
        self.remove(now, peer, reason);
    }

    /// Removes a participant, which is told why and what to do.
    pub fn disconnect(&mut self, now: Instant, peer: PeerKey, reason: DisconnectReason, action: LeaveAction) {
        self.timeout = None;
        self.say_goodbye(peer, reason, action);
        self.remove(now, peer, reason);
    }

    /// Removes everybody, because the server goes down or the room is deleted.
    pub fn close(&mut self, now: Instant, reason: DisconnectReason, action: LeaveAction) {
        let peers: Vec<PeerKey> = self.participants.keys().copied().collect();
        for peer in peers {
            self.disconnect(now, peer, reason, action);
        }
    }

    /// Time has come to what [`poll_timeout`](Self::poll_timeout) said.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.timeout = None;
        let mut failed = Vec::new();
        for (peer, participant) in &mut self.participants {
            if participant.join_deadline().is_some_and(|deadline| deadline <= now) {
                failed.push(*peer);
            } else if participant.next_token <= now {
                participant.next_token = now + TOKEN_REFRESH;
                self.output.push_back(Output::RefreshToken { peer: *peer, claims: participant.claims() });
            }
        }
        for peer in failed {
            self.disconnect(now, peer, DisconnectReason::JoinFailure, LeaveAction::Disconnect);
        }
        self.is_finished = self.closes_at().is_some_and(|at| at <= now);
        self.forget_pending(now);
        self.flush_updates(now);
        self.flush_handles(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if let Some(known) = self.timeout {
            return known;
        }
        let own = self.participants.values().filter_map(Participant::poll_timeout).min();
        let closes_at = self.closes_at().filter(|_| !self.is_finished);
        let next = [own, self.updates.poll_timeout(), closes_at].into_iter().flatten().min();
        self.timeout = Some(next);
        next
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    // ---- Questions.

    /// The routes of the packets.
    pub fn forwarding(&self) -> &ForwardingTable {
        &self.forwarding
    }

    /// The room's id.
    pub fn sid(&self) -> &RoomSid {
        &self.sid
    }

    /// The room's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The participant of that identity.
    pub fn participant(&self, identity: &str) -> Option<PeerKey> {
        self.by_identity.get(identity).copied()
    }

    /// What the application stored with the room.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// How many participants there are, hidden ones included.
    pub fn num_participants(&self) -> usize {
        self.participants.len()
    }

    /// Whether nobody has been here for so long that the room should go. Who joins all the same keeps it.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// What was refused or skipped so far.
    pub fn counters(&self) -> RoomCounters {
        self.counters
    }

    fn closes_at(&self) -> Option<Instant> {
        self.empty_since.map(|since| since + self.config.departure_timeout)
    }

    fn unix_ms(&self, now: Instant) -> i64 {
        self.config.unix_ms + now.saturating_duration_since(self.started).as_millis() as i64
    }

    // ---- What all requests need.

    fn send(&mut self, peer: PeerKey, message: Response) {
        if self.participants.get(&peer).is_some_and(|participant| participant.has_signal) {
            self.output.push_back(Output::signal(peer, message));
        }
    }

    fn refuse(
        &mut self,
        peer: PeerKey,
        request_id: u32,
        reason: Reason,
        message: &str,
        request: Option<proto::request_response::Request>,
    ) {
        self.counters.refused += 1;
        self.respond(peer, request_id, reason, message, request);
    }

    fn respond(
        &mut self,
        peer: PeerKey,
        request_id: u32,
        reason: Reason,
        message: &str,
        request: Option<proto::request_response::Request>,
    ) {
        let response = proto::RequestResponse {
            request_id,
            reason: reason as i32,
            message: message.to_owned(),
            request,
        };
        self.send(peer, Response::RequestResponse(response));
    }

    fn say_goodbye(&mut self, peer: PeerKey, reason: DisconnectReason, action: LeaveAction) {
        self.send(peer, Response::Leave(leave_message(reason, action)));
    }

    /// Takes a participant out and tells the others, unless the same identity is back already.
    fn remove(&mut self, now: Instant, peer: PeerKey, reason: DisconnectReason) {
        self.timeout = None;
        let Some(info) = self.participants.get(&peer).map(|participant| participant.departed_info(reason))
        else {
            return;
        };
        let handles: Vec<TrackHandle> = self.participants[&peer].tracks.keys().copied().collect();
        for handle in handles {
            self.take_track(now, peer, handle);
        }
        self.drop_subscriptions(peer);
        let Some(participant) = self.participants.remove(&peer) else { return };
        if self.by_identity.get(&participant.identity) == Some(&peer) {
            self.by_identity.remove(&participant.identity);
        }
        let replaced = self.updates.forget(peer);
        if reason != DisconnectReason::DuplicateIdentity {
            for info in replaced {
                self.departed(now, info);
            }
        }
        if !participant.grants.hidden && reason != DisconnectReason::DuplicateIdentity {
            self.departed(now, info);
        }
        self.counts_changed(now);
        if self.participants.is_empty() {
            self.empty_since = Some(now);
        }
        self.output.push_back(Output::Gone { peer, identity: participant.identity, reason });
    }
}
