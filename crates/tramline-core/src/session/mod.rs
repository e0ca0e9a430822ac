//! The client's side of signalling, from the join response to the end.

mod access;
mod event;
mod participants;
mod publish;
mod quality;
mod requests;
mod subscribe;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::request_response::Request as Answered;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tramline_wire::{TrackHandle, TrackSid};

use crate::leave::{DisconnectReason, LeaveAction, leave_message};
use crate::track::{TrackInfo, TrackOptions};

pub use crate::layout::{Layout, Target};
pub use access::TrackPermission;
pub use event::{Disconnected, Event, Joined, Output, RoomInfo, TransportCommand, UnpublishCause};
pub use participants::{Participant, ParticipantKind, Permissions};
pub use publish::{PublishError, PublishWait};
pub use quality::ConnectionQuality;
pub use requests::{DefineSchemaError, FetchSchemaError, RequestId, SelfUpdate, UpdateError};
pub use subscribe::SubscribeError;

use access::Access;
use participants::Participants;
use publish::Publications;
use requests::Requests;
use subscribe::Subscriptions;

/// The protocol number that a client announces in `ClientInfo.protocol`. From 18 on, clients and servers use the
/// data channels 100, 101 and 102 without opening them in band.
pub const PROTOCOL_VERSION: i32 = 18;

/// Servers from this protocol number on use the pre-negotiated channels.
const NEGOTIATED_CHANNELS_SINCE: i32 = 18;

/// Longest interval accepted from a server, so that a garbage value cannot switch the keep-alive off.
const LONGEST_PING: Duration = Duration::from_secs(3600);

/// One participant's stay in a room, as the client sees it: LiveKit signalling in either [`Layout`].
///
/// Owns no socket, clock or task. The calling order:
///
/// 1. Open the WebSocket, on `/rtc/v1` with the join request (and the first SDP offer in it) or, for [`Layout::Dual`], on
///    `/rtc`, then make a session.
/// 2. Give it every [`SignalResponse`](proto::SignalResponse), and what happens to the transport. The first
///    message must be `join` (or `leave`).
/// 3. After every call that is not a plain question, drain [`poll_output`](Self::poll_output), then sleep until
///    [`poll_timeout`](Self::poll_timeout) and call [`handle_timeout`](Self::handle_timeout).
///
/// Whatever the server sends, the session does not panic: what it cannot use it skips and counts
/// ([`counters`](Self::counters)).
///
/// ```text
/// Joining ──join──▶ Joined ──leave, silence, signal closed, transport closed──▶ Ended
///    └──────────────leave, no answer, unusable join────────────────────────────▶ Ended
/// ```
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    started: Instant,
    state: State,
    /// The publisher connection is offered when something is published.
    owes_offer: bool,
    publications: Publications,
    subscriptions: Subscriptions,
    requests: Requests,
    access: Access,
    participants: Participants,
    token: Option<Arc<str>>,
    counters: SessionCounters,
    output: VecDeque<Output>,
}

/// The time-outs and limits of a [`Session`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionConfig {
    /// How the server was asked to join.
    pub layout: Layout,
    /// How long the first message may take. LiveKit's clients wait 5 s.
    pub join_timeout: Duration,
    /// How long a publish request waits for the data-track channel to open: 15 s as in LiveKit's clients.
    pub channel_timeout: Duration,
    /// How long the answer to a publish request may take: 10 s as in LiveKit's clients.
    pub publish_timeout: Duration,
    /// How long the answer to an unpublish request may take before the track counts as gone anyway.
    pub unpublish_timeout: Duration,
    /// How long a subscription may take to become live. Servers report no failure, so this is the only end.
    pub subscribe_timeout: Duration,
    /// How long the answer to a request about schemas, or about the own metadata, may take: 5 s as in LiveKit's clients.
    pub request_timeout: Duration,
    /// Most remote participants that are remembered; more are skipped and counted.
    pub max_participants: usize,
    /// Most remote tracks that are remembered; more are skipped and counted.
    pub max_tracks: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            join_timeout: Duration::from_secs(5),
            channel_timeout: Duration::from_secs(15),
            publish_timeout: Duration::from_secs(10),
            unpublish_timeout: Duration::from_secs(10),
            subscribe_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            max_participants: 10_000,
            max_tracks: 65_535,
        }
    }
}

/// What a [`Session`] skipped, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SessionCounters {
    /// Messages, or entries in them, that broke the protocol: a bad SID or handle, a missing part.
    pub malformed: u64,
    /// Messages of a kind that this version does not use.
    pub ignored: u64,
    /// Answers that nobody waits for.
    pub unexpected: u64,
    /// Participants or tracks beyond the limits.
    pub over_limit: u64,
    /// Participant entries that were older than what is known.
    pub outdated: u64,
}

#[derive(Debug)]
enum State {
    Joining { deadline: Instant },
    Joined(KeepAlive),
    Ended,
}

#[derive(Debug)]
struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    deadline: Instant,
    /// The ping that is on its way: its number and when it left.
    sent: Option<(i64, Instant)>,
    rtt: Option<Duration>,
}

impl Session {
    /// A session whose WebSocket has just been opened.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        Self {
            started: now,
            state: State::Joining { deadline: now + config.join_timeout },
            owes_offer: false,
            publications: Publications::default(),
            subscriptions: Subscriptions::default(),
            requests: Requests::default(),
            access: Access::default(),
            participants: Participants::default(),
            token: None,
            counters: SessionCounters::default(),
            output: VecDeque::new(),
            config,
        }
    }

    // ---- What happens outside.

    /// The server sent `message`.
    pub fn handle_signal(&mut self, now: Instant, message: proto::SignalResponse) {
        if let State::Joined(alive) = &mut self.state {
            alive.deadline = now + alive.timeout;
        }
        let Some(message) = message.message else {
            self.counters.ignored += 1;
            return;
        };
        match (&self.state, message) {
            (State::Ended, _) => {}
            (State::Joining { .. }, Response::Join(join)) => self.handle_join(now, join),
            (_, Response::Leave(leave)) => self.end(Disconnected {
                reason: DisconnectReason::from_wire(leave.reason),
                action: LeaveAction::of(&leave),
                detail: "the server ended the session",
            }),
            (State::Joining { .. }, _) => self.counters.ignored += 1,
            (State::Joined(_), message) => self.handle_joined(now, message),
        }
    }

    /// The data-track channel is open: what was published meanwhile is requested now.
    pub fn handle_channel_open(&mut self, now: Instant) {
        if !matches!(self.state, State::Ended) {
            self.publications.handle_channel_open(now, &self.config, &mut self.output);
        }
    }

    /// ICE, DTLS and SCTP are up, on the connection that [`Joined::primary`] names.
    pub fn handle_transport_connected(&mut self) {
        if matches!(self.state, State::Joined(_)) {
            self.event(Event::Connected);
        }
    }

    /// The transport ended.
    pub fn handle_transport_closed(&mut self) {
        self.end(Disconnected {
            reason: DisconnectReason::ConnectionTimeout,
            action: LeaveAction::Reconnect,
            detail: "the transport to the server ended",
        });
    }

    /// The WebSocket ended without a `leave`.
    pub fn handle_signal_closed(&mut self) {
        self.end(Disconnected {
            reason: DisconnectReason::SignalClose,
            action: LeaveAction::Resume,
            detail: "the signalling connection ended",
        });
    }

    /// Time has come to what [`poll_timeout`](Self::poll_timeout) said.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Joining { deadline } if now >= *deadline => {
                return self.end(Disconnected {
                    reason: DisconnectReason::JoinFailure,
                    action: LeaveAction::Reconnect,
                    detail: "the server sent no join response in time",
                });
            }
            State::Joined(alive) if now >= alive.deadline => {
                return self.end(Disconnected {
                    reason: DisconnectReason::ConnectionTimeout,
                    action: LeaveAction::Resume,
                    detail: "the server stopped answering pings",
                });
            }
            State::Joined(alive) if now >= alive.next_ping => {
                alive.next_ping = now + alive.interval;
                let timestamp = now.saturating_duration_since(self.started).as_millis() as i64;
                alive.sent = Some((timestamp, now));
                let rtt = alive.rtt.map_or(0, |rtt| rtt.as_millis() as i64);
                self.request(Request::PingReq(proto::Ping { timestamp, rtt }));
            }
            State::Ended => return,
            State::Joining { .. } | State::Joined(_) => {}
        }
        self.publications.handle_timeout(now, &mut self.output);
        self.subscriptions.handle_timeout(now, &mut self.output);
        self.requests.handle_timeout(now, &mut self.output);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called, `None` after the end.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Joining { deadline } => *deadline,
            State::Joined(alive) => alive.deadline.min(alive.next_ping),
            State::Ended => return None,
        };
        let others = [
            self.publications.poll_timeout(),
            self.subscriptions.poll_timeout(),
            self.requests.poll_timeout(),
        ];
        others.into_iter().flatten().chain([own]).min()
    }

    /// What to do next: a message to send, a command to the transport, an event for the application.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    // ---- What the application wants.

    /// Publishes a track. The answer comes as [`Event::Published`] or [`Event::PublishFailed`] with the handle
    /// returned here, at the latest after the two time-outs of [`SessionConfig`].
    ///
    /// # Errors
    /// When it cannot even be asked for: a bad name, no handles left, no session.
    pub fn publish(&mut self, now: Instant, options: TrackOptions) -> Result<TrackHandle, PublishError> {
        if matches!(self.state, State::Ended) {
            return Err(PublishError::Disconnected);
        }
        let handle = self.publications.publish(now, options, &self.config, &mut self.output)?;
        if std::mem::take(&mut self.owes_offer) {
            self.output.push_back(Output::Transport(TransportCommand::MakeOffer));
        }
        Ok(handle)
    }

    /// Takes a track back; [`Event::Unpublished`] follows, answered or not. Unknown handles are ignored.
    pub fn unpublish(&mut self, now: Instant, handle: TrackHandle) {
        if !matches!(self.state, State::Ended) {
            self.publications.unpublish(now, handle, &self.config, &mut self.output);
        }
    }

    /// Asks for the frames of a remote track. The answer comes as [`Event::Subscribed`] or
    /// [`Event::SubscribeFailed`]; for a subscription that is live or on its way nothing new is sent.
    ///
    /// # Errors
    /// When it cannot even be asked for: the track is not published, or there is no session.
    pub fn subscribe(&mut self, now: Instant, track: &TrackSid) -> Result<(), SubscribeError> {
        if !matches!(self.state, State::Joined(_)) {
            return Err(SubscribeError::Disconnected);
        }
        if self.participants.track(track).is_none() {
            return Err(SubscribeError::Unpublished);
        }
        self.subscriptions.subscribe(now, track, &self.config, &mut self.output);
        Ok(())
    }

    /// Ends a subscription. When it is not live yet, the request is kept until the server has given it a handle.
    pub fn unsubscribe(&mut self, now: Instant, track: &TrackSid) {
        if matches!(self.state, State::Joined(_)) {
            self.subscriptions.unsubscribe(now, track, &mut self.output);
        }
    }

    /// Something else than a track is to be sent: the publisher connection is offered if it has not been yet.
    pub fn prepare_sending(&mut self) {
        if matches!(self.state, State::Joined(_)) && std::mem::take(&mut self.owes_offer) {
            self.output.push_back(Output::Transport(TransportCommand::MakeOffer));
        }
    }

    /// Sends a local SDP offer for the publisher connection: one that was asked for with
    /// [`TransportCommand::MakeOffer`], or a later one than that of the join request.
    pub fn send_offer(&mut self, sdp: String, id: u32) {
        let offer = proto::SessionDescription { r#type: "offer".to_owned(), sdp, id, ..Default::default() };
        self.request_if_joined(Request::Offer(offer));
    }

    /// Sends the answer to [`TransportCommand::Offer`], with its id.
    pub fn send_answer(&mut self, sdp: String, id: u32) {
        let answer = proto::SessionDescription { r#type: "answer".to_owned(), sdp, id, ..Default::default() };
        self.request_if_joined(Request::Answer(answer));
    }

    /// Sends a local ICE candidate: a JSON `RTCIceCandidateInit`.
    pub fn send_candidate(&mut self, target: Target, candidate_init: String) {
        self.request_if_joined(Request::Trickle(proto::TrickleRequest {
            candidate_init,
            target: target.to_wire(),
            r#final: false,
        }));
    }

    /// Leaves: says so to the server and ends. Call it when what was queued has been sent.
    pub fn leave(&mut self) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.request(Request::Leave(leave_message(
            DisconnectReason::ClientInitiated,
            LeaveAction::Disconnect,
        )));
        self.end(Disconnected {
            reason: DisconnectReason::ClientInitiated,
            action: LeaveAction::Disconnect,
            detail: "the application left",
        });
    }

    // ---- Questions.

    /// Whether the session has ended; its last event was [`Event::Disconnected`].
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// The newest token: a refreshed one replaces the one of the join for whatever connects next.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The signalling round trip, once a ping was answered.
    pub fn rtt(&self) -> Option<Duration> {
        match &self.state {
            State::Joined(alive) => alive.rtt,
            State::Joining { .. } | State::Ended => None,
        }
    }

    /// What was skipped so far.
    pub fn counters(&self) -> SessionCounters {
        self.counters
    }

    /// The track whose packets carry `handle`, while it is subscribed.
    pub fn subscribed_track(&self, handle: TrackHandle) -> Option<&TrackSid> {
        self.subscriptions.track(handle)
    }

    /// A remote track and its publisher.
    pub fn track(&self, track: &TrackSid) -> Option<(&Arc<Participant>, &Arc<TrackInfo>)> {
        self.participants.track(track)
    }

    /// The local participant, after the join.
    pub fn local(&self) -> Option<&Arc<Participant>> {
        self.participants.local()
    }

    /// The remote participant of that identity.
    pub fn participant(&self, identity: &str) -> Option<&Arc<Participant>> {
        self.participants.participant(identity)
    }

    /// The remote participants, by identity, each with its tracks.
    pub fn participants(
        &self,
    ) -> impl Iterator<Item = (&Arc<Participant>, impl Iterator<Item = &Arc<TrackInfo>>)> {
        self.participants.iter()
    }

    // ---- The messages.

    fn handle_join(&mut self, now: Instant, join: proto::JoinResponse) {
        let unusable = |detail| Disconnected {
            reason: DisconnectReason::JoinFailure,
            action: LeaveAction::Disconnect,
            detail,
        };
        let Some(room) = join.room else {
            return self.end(unusable("the join response has no room"));
        };
        let Some(local) = join.participant.and_then(|info| Participant::from_wire(info).ok()) else {
            return self.end(unusable("the join response has no usable participant"));
        };
        let interval = seconds(join.ping_interval).unwrap_or(Duration::from_secs(5));
        let timeout = seconds(join.ping_timeout).unwrap_or(Duration::from_secs(15)).max(interval * 2);
        self.state = State::Joined(KeepAlive {
            interval,
            timeout,
            next_ping: now + interval,
            deadline: now + timeout,
            sent: None,
            rtt: None,
        });
        let protocol = join.server_info.as_ref().map_or(0, |info| info.protocol);
        let is_dual = self.config.layout == Layout::Dual;
        // In two connections the channels are always opened in band.
        self.output.push_back(Output::Transport(TransportCommand::NegotiatedChannels(
            protocol >= NEGOTIATED_CHANNELS_SINCE && !is_dual,
        )));
        let primary = if is_dual && join.subscriber_primary { Target::Subscriber } else { Target::Publisher };
        let local = self.participants.set_local(local);
        let others = self.participants.fill(join.other_participants, &self.config, &mut self.counters);
        let room = RoomInfo::from_wire(room, &mut self.counters);
        self.event(Event::Joined(Joined {
            room,
            local,
            others,
            server_version: join.server_info.map_or(join.server_version, |info| info.version),
            server_protocol: protocol,
            primary,
        }));
        if is_dual {
            // Without the publisher connection as the primary one there would be none.
            if join.fast_publish || primary == Target::Publisher || !self.publications.is_empty() {
                self.output.push_back(Output::Transport(TransportCommand::MakeOffer));
            } else {
                self.owes_offer = true;
            }
        }
    }

    fn handle_joined(&mut self, now: Instant, message: Response) {
        match message {
            Response::Offer(offer) if self.config.layout == Layout::Dual => {
                let command = TransportCommand::Offer { sdp: offer.sdp, id: offer.id };
                self.output.push_back(Output::Transport(command));
            }
            Response::Answer(answer) => {
                let command = TransportCommand::Answer { sdp: answer.sdp, id: answer.id };
                self.output.push_back(Output::Transport(command));
            }
            Response::Trickle(trickle) => match Target::from_wire(trickle.target) {
                Some(target) if target == Target::Publisher || self.config.layout == Layout::Dual => {
                    let command =
                        TransportCommand::Candidate { target, candidate_init: trickle.candidate_init };
                    self.output.push_back(Output::Transport(command));
                }
                _ => self.counters.malformed += 1,
            },
            Response::Update(update) => self.handle_update(update),
            Response::RoomUpdate(update) => match update.room {
                Some(room) => {
                    let room = RoomInfo::from_wire(room, &mut self.counters);
                    self.event(Event::RoomChanged(room));
                }
                None => self.counters.malformed += 1,
            },
            Response::RefreshToken(token) => self.handle_token(token),
            Response::ConnectionQuality(update) => self.handle_quality(update),
            Response::RoomMoved(moved) => self.handle_moved(moved),
            Response::Pong(_) => {}
            Response::PongResp(pong) => self.handle_pong(now, pong),
            Response::PublishDataTrackResponse(response) => {
                let first = self.output.len();
                self.publications.handle_published(response.info, &mut self.counters, &mut self.output);
                self.note_published(first);
            }
            Response::UnpublishDataTrackResponse(response) => {
                let first = self.output.len();
                self.publications.handle_unpublished(response.info, &mut self.counters, &mut self.output);
                self.note_published(first);
            }
            Response::StoreDataBlobResponse(response) => {
                self.requests.handle_stored(&response, &mut self.counters, &mut self.output);
            }
            Response::GetDataBlobResponse(response) => {
                self.requests.handle_fetched(response, &mut self.counters, &mut self.output);
            }
            Response::RequestResponse(response) => match response.request {
                // Those about tracks are known by the handle in the echo, all others by their id.
                None | Some(Answered::UpdateMetadata(_)) if response.request_id != 0 => {
                    self.requests.handle_response(response, &mut self.counters, &mut self.output);
                }
                _ => self.publications.handle_refused(response, &mut self.counters, &mut self.output),
            },
            Response::DataTrackSubscriberHandles(handles) => {
                self.subscriptions.handle_handles(handles, &mut self.counters, &mut self.output);
            }
            _ => self.counters.ignored += 1,
        }
    }

    fn handle_update(&mut self, update: proto::ParticipantUpdate) {
        for info in update.participants {
            let first = self.output.len();
            self.participants.handle_info(info, &self.config, &mut self.counters, &mut self.output);
            // A track that is gone takes its subscription with it.
            let gone: Vec<TrackSid> = self.output.range(first..).filter_map(unpublished_track).collect();
            for track in gone {
                self.subscriptions.handle_unpublished(&track, &mut self.output);
            }
        }
    }

    fn handle_token(&mut self, token: String) {
        let token: Arc<str> = token.into();
        self.token = Some(Arc::clone(&token));
        self.event(Event::TokenRefreshed(token));
    }

    fn handle_quality(&mut self, update: proto::ConnectionQualityUpdate) {
        for info in update.updates {
            let participant = self.participants.by_sid(&info.participant_sid).cloned();
            match (participant, ConnectionQuality::from_wire(info.quality)) {
                (Some(participant), Some(quality)) => {
                    self.event(Event::QualityChanged { participant, quality });
                }
                (None, Some(_)) => self.counters.outdated += 1,
                (_, None) => self.counters.malformed += 1,
            }
        }
    }

    /// The server has put this participant into another room: everybody else is somebody else now.
    fn handle_moved(&mut self, moved: proto::RoomMovedResponse) {
        let Some(room) = moved.room else {
            self.counters.malformed += 1;
            return;
        };
        if !moved.token.is_empty() {
            self.handle_token(moved.token);
        }
        let first = self.output.len();
        self.participants.clear_remote(&mut self.output);
        let gone: Vec<TrackSid> = self.output.range(first..).filter_map(unpublished_track).collect();
        for track in gone {
            self.subscriptions.handle_unpublished(&track, &mut self.output);
        }
        if let Some(local) = moved.participant.and_then(|info| Participant::from_wire(info).ok()) {
            let before = self.participants.local().cloned();
            let after = self.participants.set_local(local);
            if let Some(before) = before {
                self.event(Event::ParticipantChanged { before, after });
            }
        }
        let room = RoomInfo::from_wire(room, &mut self.counters);
        self.event(Event::Moved(room));
        self.handle_update(proto::ParticipantUpdate { participants: moved.other_participants });
    }

    fn handle_pong(&mut self, now: Instant, pong: proto::Pong) {
        if let State::Joined(alive) = &mut self.state {
            match alive.sent.take() {
                Some((timestamp, sent)) if timestamp == pong.last_ping_timestamp => {
                    alive.rtt = Some(now.saturating_duration_since(sent));
                }
                other => {
                    alive.sent = other;
                    self.counters.unexpected += 1;
                }
            }
        }
    }

    fn end(&mut self, why: Disconnected) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.state = State::Ended;
        self.publications.handle_end(&mut self.output);
        self.subscriptions.handle_end(&mut self.output);
        self.requests.handle_end(&mut self.output);
        self.output.push_back(Output::Transport(TransportCommand::Close));
        self.event(Event::Disconnected(why));
    }

    fn event(&mut self, event: Event) {
        self.output.push_back(Output::Event(event));
    }

    fn request_if_joined(&mut self, request: Request) {
        if matches!(self.state, State::Joined(_)) {
            self.request(request);
        }
    }

    fn request(&mut self, request: Request) {
        self.output.push_back(Output::request(request));
    }
}

fn seconds(value: i32) -> Option<Duration> {
    let value = u64::try_from(value).ok().filter(|value| *value > 0)?;
    Some(Duration::from_secs(value).min(LONGEST_PING))
}

fn unpublished_track(output: &Output) -> Option<TrackSid> {
    match output {
        Output::Event(Event::TrackUnpublished { track, .. }) => Some(track.sid.clone()),
        _ => None,
    }
}
