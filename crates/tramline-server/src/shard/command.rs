//! What other tasks ask of the shard.

use std::net::IpAddr;
use std::time::Instant;

use livekit_protocol as proto;
use tokio::sync::{mpsc, oneshot};
use tramline_core::forward::PeerKey;
use tramline_core::room::{Join, JoinError, Layout};

use super::Shard;
use super::descriptions::HeldAnswer;
use super::farewell::Said;
use super::signal::{self, SignalReceiver};
use crate::auth::Claims;
use crate::http::JoinRefused;
use crate::stats::ServerStats;

/// Clients from this protocol number on use the pre-negotiated channels, if they have a single connection.
const NEGOTIATED_CHANNELS_SINCE: i32 = 18;

/// The way to the shard. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    /// Bounded: a shard that cannot keep up slows its clients' WebSockets down.
    pub(crate) commands: mpsc::Sender<Command>,
    /// At most one message per WebSocket, and the questions of the server's owner.
    pub(crate) control: mpsc::UnboundedSender<Control>,
}

/// What the WebSocket tasks say.
#[derive(Debug)]
pub(crate) enum Command {
    /// Somebody wants to come in, and may.
    Join(JoinRequest),
    /// A participant sent this.
    Signal { peer: PeerKey, message: Box<proto::SignalRequest> },
    /// A participant's WebSocket ended, after everything it had sent.
    SignalClosed { peer: PeerKey },
}

/// What must get through also when the shard is busy, or from places that cannot wait.
#[derive(Debug)]
pub(crate) enum Control {
    /// The task of a participant's WebSocket was dropped.
    SignalDropped { peer: PeerKey },
    /// A snapshot of the counters is wanted.
    Stats { reply: std::sync::mpsc::SyncSender<ServerStats> },
    /// Something is to be done.
    Admin(crate::admin::Request),
}

/// A join whose token has been checked.
#[derive(Debug)]
pub(crate) struct JoinRequest {
    pub(crate) room: String,
    pub(crate) join: Box<Join>,
    pub(crate) claims: Box<Claims>,
    pub(crate) remote: IpAddr,
    pub(crate) reply: oneshot::Sender<Result<SignalReceiver, JoinRefused>>,
}

impl Shard {
    pub(super) fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Join(request) => self.handle_join(now, request),
            Command::Signal { peer, message } => {
                self.stats.signal_messages += 1;
                self.tell(now, peer, Said::Signal(message));
            }
            Command::SignalClosed { peer } => self.signal_closed(now, peer),
        }
    }

    pub(super) fn handle_control(&mut self, now: Instant, control: Control) {
        match control {
            Control::SignalDropped { peer } => self.signal_closed(now, peer),
            Control::Admin(request) => self.handle_admin(now, request),
            Control::Stats { reply } => {
                // Nobody waits any more if this fails.
                let _ = reply.try_send(self.snapshot());
            }
        }
    }

    /// A command that comes when everything ends.
    pub(super) fn refuse_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Join(request) => {
                let _ = request.reply.send(Err(JoinRefused::unavailable("the server is shutting down")));
            }
            command => self.handle_command(now, command),
        }
    }

    fn handle_join(&mut self, now: Instant, request: JoinRequest) {
        let JoinRequest { room, join, claims, remote, reply } = request;
        // Fails when the request went away meanwhile; dropping the receiver says so through `Control`.
        let _ = reply.send(self.admit(now, room, *join, claims, remote));
    }

    fn admit(
        &mut self,
        now: Instant,
        room_name: String,
        join: Join,
        claims: Box<Claims>,
        remote: IpAddr,
    ) -> Result<SignalReceiver, JoinRefused> {
        if self.peers.len() >= self.limits.participants {
            return Err(JoinRefused::unavailable("the server is full"));
        }
        let opened = self.rooms.open(now, &room_name, &self.server, self.limits.participants_per_room);
        let room = opened.map_err(|error| {
            tracing::error!(%error, "no room");
            JoinRefused::unavailable("the server has no randomness")
        })?;
        let (sender, receiver) = signal::channel(self.limits.signal_backlog);
        let identity = join.identity.clone();
        let negotiated_channels =
            join.layout == Layout::Single && join.client.protocol >= NEGOTIATED_CHANNELS_SINCE;
        let key = self.peers.insert(room, sender, claims, negotiated_channels, remote, room_name);
        if let Some(entry) = self.peers.at(key) {
            entry.held_answer = HeldAnswer::of(&join.client);
        }
        let joined = self.rooms.with(room, |room| room.join(now, key, join));
        let refused = match joined {
            Some(Ok(())) => {
                self.stats.joins += 1;
                self.open_signals += 1;
                tracing::info!(identity, peer = key.0, "joined");
                return Ok(receiver.attach(key, self.peers.control()));
            }
            Some(Err(JoinError::Full { .. })) => JoinRefused::full(),
            Some(Err(_)) | None => JoinRefused::unavailable("the room cannot be joined"),
        };
        self.peers.remove(key);
        Err(refused)
    }

    fn signal_closed(&mut self, now: Instant, peer: PeerKey) {
        self.open_signals = self.open_signals.saturating_sub(1);
        if let Some(entry) = self.peers.at(peer) {
            entry.signal = None;
            self.tell(now, peer, Said::SignalClosed);
        }
    }
}
