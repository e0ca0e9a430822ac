//! The loop of one room: expire, drain, send, wait. It runs on a thread of its own and holds no handle of the application's.
//!
//! Every turn it takes what has come from all sides (handles, datagrams, signalling, time), lets the machines digest the whole batch, and then writes
//! one batch. Nothing in here blocks: what cannot be sent now waits in a live queue that knows when it becomes stale.

mod calls;
mod connect;
mod connections;
mod dispatch;
mod members;
mod packets;
mod publications;
pub(crate) mod requests;
mod streams;
mod subscriptions;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use prost::Message as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::Sleep,
};
use tramline_core::{
    leave::{DisconnectReason, LeaveAction},
    packet::DataPacketKind,
    session::{Disconnected, Event, Output, Session, Target, TransportCommand},
};
use tramline_net::ws::{Closed, WebSocket};
use tramline_transport::{Channel, CloseReason, PeerEvent};
use url::Url;

use crate::{
    error::{ConnectError, ConnectStage},
    event::{EventQueue, RoomEvent, RoomEvents},
    link::{Link, ToDriver},
    options::RoomOptions,
    room::{Joined, Roster, Stay},
    sender::PacketSender,
    stats::RoomStats,
    stream::StreamEnd,
};
use calls::Calls;
use connections::Connections;
use members::Members;
use packets::Packets;
use publications::Publications;
use requests::Requests;
use streams::Streams;
use subscriptions::Subscriptions;

/// What a driver is started with.
pub(crate) struct Start {
    pub(crate) url: Url,
    pub(crate) token: String,
    pub(crate) options: RoomOptions,
    pub(crate) link: Link,
    pub(crate) inbox: mpsc::UnboundedReceiver<ToDriver>,
    pub(crate) reply: oneshot::Sender<Result<Joined, ConnectError>>,
}

/// Joins, runs the room, leaves.
pub(crate) async fn run(mut start: Start) {
    let deadline = tokio::time::Instant::now() + start.options.connect_timeout;
    let timed_out = |stage| ConnectError::Timeout { stage, after: start.options.connect_timeout };
    let opened = tokio::select! {
        opened = connect::open(&start.url, &start.token, &start.options) => opened,
        () = start.reply.closed() => return,
        () = tokio::time::sleep_until(deadline) => Err(timed_out(ConnectStage::Signalling)),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let _ = start.reply.send(Err(error));
            return;
        }
    };

    let mut driver = Driver::new(opened, start.link.clone(), start.inbox, &start.options);
    let result = tokio::select! {
        result = driver.run_until_connected() => result.map(Some),
        () = start.reply.closed() => Ok(None),
        () = tokio::time::sleep_until(deadline) => Err(timed_out(driver.stage)),
    };
    match result {
        Ok(Some(roster)) => {
            let events = RoomEvents::new(Arc::clone(&driver.events));
            // When the application has gone meanwhile, its part of this is dropped, which asks for the end.
            let workers = driver.calls.workers();
            let _ = start.reply.send(Ok(Joined { roster, workers, events, stay: Stay(start.link) }));
            driver.run().await;
        }
        Ok(None) => driver.give_up(),
        Err(error) => {
            driver.give_up();
            let _ = start.reply.send(Err(error));
        }
    }
    driver.finish().await;
}

struct Driver {
    session: Session,
    connections: Connections,
    signalling: WebSocket,
    inbox: mpsc::UnboundedReceiver<ToDriver>,
    events: Arc<EventQueue>,
    members: Members,
    publications: Publications,
    subscriptions: Subscriptions,
    requests: Requests,
    packets: Packets,
    calls: Calls,
    streams: Streams,
    /// What the driver itself sends goes the same way as what handles send.
    sender: Arc<PacketSender>,

    /// How far joining has come.
    stage: ConnectStage,
    /// The connection on which the server sends.
    primary: Target,
    is_connected: bool,
    closing: Option<Closing>,
    /// The server has closed the transport; until then it may say why.
    reason_due: Option<Instant>,
    close_timeout: Duration,
    ended: Option<Ended>,
    ignored_messages: u64,

    turn: Turn,
    timer: Timer,
}

/// Leaving in order: waiting for what was accepted to be delivered.
struct Closing {
    deadline: Instant,
    replies: Vec<oneshot::Sender<()>>,
}

/// How it ended.
struct Ended {
    reason: DisconnectReason,
    detail: String,
}

/// What a turn has found.
#[derive(Default)]
struct Turn {
    messages: Vec<ToDriver>,
    has_datagrams: bool,
    signals: Vec<Bytes>,
    signalling_end: Option<Closed>,
    socket_error: Option<std::io::Error>,
}

impl Driver {
    fn new(
        opened: connect::Opened,
        link: Link,
        inbox: mpsc::UnboundedReceiver<ToDriver>,
        options: &RoomOptions,
    ) -> Self {
        let connect::Opened { session, connections, signalling, started } = opened;
        let events = Arc::new(EventQueue::new(options.event_capacity, options.packet_capacity));
        let sender = Arc::new(PacketSender::new(link.clone(), options.encryption.clone()));
        Self {
            session,
            connections,
            signalling,
            inbox,
            members: Members::new(Arc::clone(&events), link.clone(), Arc::clone(&sender)),
            packets: Packets::new(Arc::clone(&events), options.encryption.clone()),
            calls: Calls::new(link.clone()),
            streams: Streams::new(Arc::clone(&events), options),
            sender,
            publications: Publications::new(link.clone(), started, options.encryption.clone()),
            subscriptions: Subscriptions::new(link, Arc::clone(&events), options.encryption.clone()),
            requests: Requests::default(),
            events,
            stage: ConnectStage::Join,
            primary: Target::Publisher,
            is_connected: false,
            closing: None,
            reason_due: None,
            close_timeout: options.close_timeout,
            ended: None,
            ignored_messages: 0,
            turn: Turn::default(),
            timer: Timer::new(),
        }
    }

    /// Runs until data can be sent and received.
    async fn run_until_connected(&mut self) -> Result<Arc<Roster>, ConnectError> {
        self.drain(Instant::now());
        loop {
            if let Some(ended) = &self.ended {
                return Err(match self.stage {
                    ConnectStage::Transport if ended.reason == DisconnectReason::ConnectionTimeout => {
                        ConnectError::Transport { reason: ended.detail.clone() }
                    }
                    _ => ConnectError::Ended { reason: ended.reason, detail: ended.detail.clone() },
                });
            }
            if self.is_connected
                && let Some(roster) = self.members.roster()
            {
                return Ok(Arc::clone(roster));
            }
            self.take_turn().await;
        }
    }

    /// Runs until the room is over.
    async fn run(&mut self) {
        while self.ended.is_none() {
            self.take_turn().await;
        }
    }

    async fn take_turn(&mut self) {
        self.set_timer();
        poll_fn(|cx| self.poll_turn(cx)).await;
        let now = Instant::now();
        self.handle_turn(now);
        self.handle_timeouts(now);
        self.drain(now);
    }

    /// Looks at everything that can come, so that no busy side starves another.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut has_come = false;
        // Ready with nothing means that all handles are gone; the room's own handle has asked for the end before that.
        if let Poll::Ready(count) = self.inbox.poll_recv_many(cx, &mut self.turn.messages, MESSAGES_PER_TURN)
        {
            has_come |= count > 0;
        }
        match self.connections.poll_recv(cx) {
            Poll::Ready(Ok(())) => {
                self.turn.has_datagrams = true;
                has_come = true;
            }
            Poll::Ready(Err(error)) => {
                self.turn.socket_error = Some(error);
                has_come = true;
            }
            Poll::Pending => {}
        }
        while self.turn.signals.len() < SIGNALS_PER_TURN && self.turn.signalling_end.is_none() {
            match self.signalling.poll_recv(cx) {
                Poll::Ready(Ok(bytes)) => self.turn.signals.push(bytes),
                Poll::Ready(Err(end)) => self.turn.signalling_end = Some(end),
                Poll::Pending => break,
            }
        }
        has_come |= !self.turn.signals.is_empty() || self.turn.signalling_end.is_some();
        has_come |= self.timer.poll_expired(cx);
        if has_come { Poll::Ready(()) } else { Poll::Pending }
    }

    fn handle_turn(&mut self, now: Instant) {
        let mut messages = std::mem::take(&mut self.turn.messages);
        for message in messages.drain(..) {
            self.handle_message(now, message);
        }
        self.turn.messages = messages;

        let mut signals = std::mem::take(&mut self.turn.signals);
        for bytes in signals.drain(..) {
            match livekit_protocol::SignalResponse::decode(bytes) {
                Ok(message) => self.session.handle_signal(now, message),
                Err(error) => {
                    self.ignored_messages += 1;
                    tracing::debug!(%error, "a signalling message cannot be read");
                }
            }
        }
        self.turn.signals = signals;

        if std::mem::take(&mut self.turn.has_datagrams) {
            self.connections.handle_datagrams(now);
        }
        if let Some(end) = self.turn.signalling_end.take() {
            // A leave that came before has ended the session already.
            self.drain_session(now);
            self.end(DisconnectReason::SignalClose, format!("the signalling connection ended: {end}"));
            self.session.handle_signal_closed();
        }
        if let Some(error) = self.turn.socket_error.take() {
            self.end(DisconnectReason::ConnectionTimeout, format!("the UDP socket failed: {error}"));
            self.session.handle_transport_closed();
        }
    }

    fn handle_message(&mut self, now: Instant, message: ToDriver) {
        match message {
            ToDriver::Ready(handle) => self.publications.handle_ready(handle),
            ToDriver::Publish { options, reply } => {
                self.publications.publish(now, &mut self.session, *options, reply)
            }
            ToDriver::Unpublish(handle) => self.publications.unpublish(now, handle),
            ToDriver::Subscribe { track, options, reply } => {
                self.subscriptions.subscribe(now, &mut self.session, &self.members, track, options, reply);
            }
            ToDriver::Unsubscribe { track, stream } => {
                self.subscriptions.unsubscribe(now, &mut self.session, &track, stream);
            }
            ToDriver::SetPipelineOptions { track, options } => {
                self.subscriptions.set_options(now, &track, &options)
            }
            ToDriver::DefineSchema { schema, definition, reply } => {
                self.requests.define(self.session.define_schema(now, &schema, &definition), reply);
            }
            ToDriver::FetchSchema { schema, publisher, reply } => {
                self.requests.fetch(self.session.fetch_schema(now, &publisher, &schema), reply);
            }
            ToDriver::UpdateSelf { update, reply } => {
                self.requests.update(self.session.update_self(now, *update), reply);
            }
            ToDriver::Packet { packet, kind, lane, queued, wait } => {
                self.session.prepare_sending();
                self.packets.send(now, packet, kind, lane, queued, wait);
            }
            ToDriver::PerformRpc { data, reply } => self.calls.perform(now, &self.session, *data, reply),
            ToDriver::RegisterRpcMethod { method, handler } => self.calls.register(method, handler),
            ToDriver::UnregisterRpcMethod(method) => self.calls.unregister(&method),
            ToDriver::Answered { invocation, result } => self.calls.handle_answered(invocation, result),
            ToDriver::SetSubscriptionPermissions { all_participants, permissions } => {
                self.session.set_subscription_permissions(all_participants, permissions);
            }
            ToDriver::SetEncrypting(encrypting) => self.publications.set_encrypting(encrypting),
            ToDriver::Stats(reply) => {
                let _ = reply.send(self.stats());
            }
            ToDriver::Close(reply) => {
                self.publications.stop_accepting();
                self.packets.stop_accepting();
                let closing = self.closing.get_or_insert_with(|| Closing {
                    deadline: now + self.close_timeout,
                    replies: Vec::new(),
                });
                closing.replies.extend(reply);
            }
        }
    }

    fn handle_timeouts(&mut self, now: Instant) {
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
        }
        self.connections.handle_timeout(now);
        if self.reason_due.is_some_and(|due| due <= now) {
            self.reason_due = None;
            self.end(DisconnectReason::ConnectionTimeout, CloseReason::CloseNotify.to_string());
            self.session.handle_transport_closed();
        }
        self.publications.handle_timeout(now);
        self.subscriptions.handle_timeout(now);
        self.packets.handle_timeout(now);
        self.calls.rpc.handle_timeout(now);
    }

    /// Lets the machines say what they have to say, until they are silent, and sends it.
    fn drain(&mut self, now: Instant) {
        loop {
            let mut is_busy = self.drain_session(now);
            is_busy |= self.drain_connections(now);
            is_busy |= self.drain_calls(now);
            // What leaves makes room for more: until the pacer, or the window, holds something back, whose timer goes on from there.
            is_busy |= self.feed(now);
            self.packets.make_room();
            is_busy |= self.publications.end_flushed(now, &mut self.session, &self.connections);
            is_busy |= self.leave_if_flushed(now);
            self.connections.transmit(now);
            if !is_busy {
                break;
            }
        }
        self.subscriptions.wake_readers();
    }

    /// Moves packets into the transport, those of tracks and the others by turns, as many as it takes without making them wait
    /// there: what waits here can still be given up. Whether there was anything.
    fn feed(&mut self, now: Instant) -> bool {
        self.publications.handle_rate(self.connections.send_rate());
        let mut is_busy = false;
        loop {
            let is_fed = self.packets.feed_next(now, &mut self.connections);
            if !self.publications.feed_next(now, &mut self.connections) && !is_fed {
                return is_busy;
            }
            is_busy = true;
        }
    }

    fn drain_session(&mut self, now: Instant) -> bool {
        let mut is_busy = false;
        while let Some(output) = self.session.poll_output() {
            is_busy = true;
            match output {
                Output::Signal(request) => {
                    if let Err(error) = self.signalling.send(request.encode_to_vec().into()) {
                        tracing::debug!(%error, "a signalling message was not sent");
                    }
                }
                Output::Transport(command) => self.handle_command(now, command),
                Output::Event(event) => self.handle_event(now, event),
            }
        }
        is_busy
    }

    fn handle_command(&mut self, now: Instant, command: TransportCommand) {
        let done = match command {
            TransportCommand::NegotiatedChannels(negotiated) => {
                self.connections.set_negotiated_channels(negotiated);
                Ok(())
            }
            TransportCommand::MakeOffer => {
                self.connections.offer(now).map(|offer| self.session.send_offer(offer, FIRST_OFFER))
            }
            TransportCommand::Offer { sdp, id } => {
                self.connections.answer(now, &sdp).map(|answer| self.session.send_answer(answer, id))
            }
            TransportCommand::Answer { sdp, .. } => self.connections.handle_answer(now, &sdp),
            TransportCommand::Candidate { target, candidate_init } => {
                if let Err(error) = self.handle_candidate(target, &candidate_init) {
                    self.ignored_messages += 1;
                    tracing::debug!(error, "a candidate of the server cannot be used");
                }
                Ok(())
            }
            TransportCommand::Close => {
                self.connections.close(now);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.end(DisconnectReason::JoinFailure, error.to_string());
            self.session.leave();
        }
    }

    fn handle_candidate(&mut self, target: Target, candidate_init: &str) -> Result<(), String> {
        let init: serde_json::Value =
            serde_json::from_str(candidate_init).map_err(|error| error.to_string())?;
        match init.get("candidate").and_then(serde_json::Value::as_str) {
            // Some implementations mark the end of the candidates like this.
            Some("") => Ok(()),
            Some(candidate) => {
                self.connections.handle_candidate(target, candidate).map_err(|error| error.to_string())
            }
            None => Err("no `candidate` in it".to_owned()),
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Joined(joined) => {
                self.stage = ConnectStage::Transport;
                tracing::debug!(server = joined.server_version, protocol = joined.server_protocol, "joined");
                self.primary = joined.primary;
                self.calls.set_server_version(&joined.server_version);
                self.members.handle_joined(joined);
                // The offer in the join request was made before they were known; later descriptions have them inside.
                for candidate in self.connections.publisher_candidates() {
                    self.session.send_candidate(Target::Publisher, candidate);
                }
            }
            Event::Connected => {}
            Event::ParticipantJoined(participant) => {
                self.calls.rpc.handle_participant_joined(&participant.identity);
                self.members.handle_participant_joined(participant);
            }
            Event::ParticipantChanged { before, after } => {
                self.members.handle_participant_changed(&before, after)
            }
            Event::ParticipantLeft { participant, reason } => {
                // In this order: what came from it is told while it is known.
                self.streams.handle_participant_left(&participant.identity, &mut self.calls.rpc);
                self.calls.rpc.handle_participant_left(now, &participant.identity);
                self.packets.forget(participant.sid.as_str(), &participant.identity);
                self.members.handle_participant_left(&participant, reason);
            }
            Event::TrackPublished { publisher, track } => {
                self.members.handle_track_published(&publisher, track)
            }
            Event::TrackUnpublished { track, .. } => {
                // In this order: whoever sees the end of a stream finds its track unpublished.
                self.members.handle_track_unpublished(&track.sid);
                self.subscriptions.handle_unpublished(&track.sid);
            }
            Event::Published { handle, track } => self.publications.handle_published(handle, track),
            Event::PublishFailed { handle, error } => self.publications.handle_failed(handle, error),
            Event::Unpublished { handle, cause } => {
                if let Some(info) = self.publications.handle_unpublished(handle, cause) {
                    self.events.push(RoomEvent::LocalDataTrackUnpublished(info));
                }
            }
            Event::Subscribed { track, handle } => {
                self.subscriptions.handle_subscribed(now, &mut self.session, &track, handle);
            }
            Event::SubscribeFailed { track, error } => self.subscriptions.handle_failed(&track, &error),
            Event::SchemaDefined { request, result } => self.requests.handle_defined(request, result),
            Event::SchemaFetched { request, result } => self.requests.handle_fetched(request, result),
            Event::SelfUpdated { request, result } => self.requests.handle_updated(request, result),
            Event::TokenRefreshed(token) => self.events.push(RoomEvent::TokenRefreshed { token }),
            Event::RoomChanged(room) => self.members.handle_room_changed(room),
            Event::Moved(room) => self.members.handle_moved(room),
            Event::QualityChanged { participant, quality } => {
                self.members.handle_quality(&participant, quality);
            }
            Event::Disconnected(Disconnected { reason, action, detail }) => {
                let advice = match action {
                    LeaveAction::Disconnect => "",
                    _ => "; connecting again may help",
                };
                self.end(reason, format!("{detail}{advice}"));
            }
            _ => {}
        }
    }

    fn drain_connections(&mut self, now: Instant) -> bool {
        let mut is_busy = false;
        while let Some((target, event)) = self.connections.poll_event() {
            is_busy = true;
            match event {
                PeerEvent::Message(Channel::DataTrack, message) => {
                    self.subscriptions.handle_message(now, message)
                }
                PeerEvent::Acknowledged(receipt) => self.packets.handle_arrived(receipt),
                PeerEvent::Message(Channel::Reliable, message) => {
                    self.handle_packet(DataPacketKind::Reliable, message);
                }
                PeerEvent::Message(Channel::Lossy, message) => {
                    self.handle_packet(DataPacketKind::Lossy, message);
                }
                PeerEvent::ChannelOpen(Channel::Reliable) if target == Target::Publisher => {
                    self.sender.set_limit(self.connections.max_message_size());
                }
                PeerEvent::Connected if target == self.primary => self.session.handle_transport_connected(),
                PeerEvent::ChannelOpen(Channel::DataTrack) if target == Target::Publisher => {
                    self.session.handle_channel_open(now);
                }
                // On purpose, then: the reason travels over the WebSocket and may be a little slower.
                PeerEvent::Closed(CloseReason::CloseNotify) => self.reason_due = Some(now + REASON_TIMEOUT),
                PeerEvent::Closed(reason) => {
                    if reason != CloseReason::Local {
                        self.end(DisconnectReason::ConnectionTimeout, reason.to_string());
                    }
                    self.session.handle_transport_closed();
                }
                _ => {}
            }
        }
        if is_busy && !self.is_connected {
            self.is_connected = self.connections.is_usable(self.primary);
        }
        is_busy
    }

    /// Leaves once everything that was accepted has been delivered or given up, or time is up.
    fn leave_if_flushed(&mut self, now: Instant) -> bool {
        let Some(closing) = &self.closing else { return false };
        let is_flushed =
            self.publications.is_flushed(&self.connections) && self.packets.is_flushed(&self.connections);
        if self.ended.is_some() || !(is_flushed || now >= closing.deadline) {
            return false;
        }
        self.session.leave();
        true
    }

    /// The first reason is the one that is told.
    fn end(&mut self, reason: DisconnectReason, detail: String) {
        if self.ended.is_none() {
            tracing::debug!(%reason, detail, "the session ends");
            self.ended = Some(Ended { reason, detail });
        }
    }

    /// Leaves without waiting for anything.
    fn give_up(&mut self) {
        self.session.leave();
        self.drain(Instant::now());
    }

    /// Tells everybody that it is over, and says goodbye to the server.
    async fn finish(mut self) {
        self.drain(Instant::now());
        let Ended { reason, detail } = self
            .ended
            .take()
            .unwrap_or(Ended { reason: DisconnectReason::ClientInitiated, detail: String::new() });
        self.publications.end_all();
        self.subscriptions.end_all(StreamEnd::Disconnected(reason));
        self.packets.end();
        self.calls.end();
        self.streams.end_all();
        self.members.end();
        self.events.push(RoomEvent::Disconnected { reason, detail });

        self.signalling.close(GOODBYE).await;
        // The farewell of the transport, in case the socket was busy; its fate is of no interest beyond that.
        self.connections.flush();
        // What is asked of us from now on is answered by the closed channel.
        self.inbox.close();
        for reply in self.closing.into_iter().flat_map(|closing| closing.replies) {
            let _ = reply.send(());
        }
    }

    fn stats(&mut self) -> RoomStats {
        let signals = self.session.counters();
        RoomStats {
            transport: self.connections.stats(),
            udp: self.connections.udp_counters(),
            stray_packets: self.subscriptions.stray_packets(),
            ignored_messages: self.ignored_messages
                + self.packets.ignored()
                + self.streams.ignored()
                + self.calls.rpc.ignored(),
            ignored_signals: signals.malformed
                + signals.ignored
                + signals.unexpected
                + signals.over_limit
                + signals.outdated,
            signal_rtt: self.session.rtt(),
        }
    }

    fn set_timer(&mut self) {
        let due = [
            self.session.poll_timeout(),
            self.connections.poll_timeout(),
            self.publications.poll_timeout(),
            self.subscriptions.poll_timeout(),
            self.packets.poll_timeout(),
            self.calls.rpc.poll_timeout(),
            self.closing.as_ref().map(|closing| closing.deadline),
            self.reason_due,
        ];
        if let Some(due) = due.into_iter().flatten().min() {
            self.timer.set(due);
        }
    }
}

/// One timer that is set anew as rarely as possible: deadlines mostly move away from us, and waking once too early costs less than moving
/// a timer with every packet.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    due: Option<Instant>,
}

impl Timer {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), due: None }
    }

    fn set(&mut self, due: Instant) {
        if self.due.is_none_or(|armed| due < armed) {
            self.due = Some(due);
            self.sleep.as_mut().reset(due.into());
        }
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        if self.due.is_none() || self.sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.due = None;
        true
    }
}

/// The publisher's connection is offered once.
const FIRST_OFFER: u32 = 1;
/// Handles of a turn; more wait for the next one.
const MESSAGES_PER_TURN: usize = 256;
/// Signals of a turn; more wait for the next one.
const SIGNALS_PER_TURN: usize = 32;
/// How long a server that has closed the transport may take to say why.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the server may take to answer our goodbye on the WebSocket.
const GOODBYE: Duration = Duration::from_millis(500);
