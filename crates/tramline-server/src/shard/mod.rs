//! The one thread that owns everything: rooms, transports, sockets.
//!
//! Each turn of its loop reads what is there (datagrams, messages, timers), handles it, then lets every peer that was
//! touched write once and sends all of that in one batch. Nothing on the way of a packet takes a lock, and in steady
//! state nothing of it allocates.

mod admin;
mod command;
mod connections;
mod data;
mod descriptions;
mod farewell;
mod packets;
mod peers;
mod rooms;
mod signal;
mod snapshot;
mod timers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use tokio::sync::{mpsc, oneshot};
use tramline_core::forward::PeerKey;
use tramline_core::leave::{DisconnectReason, LeaveAction};
use tramline_core::room::Target;
use tramline_net::demux::Demux;
use tramline_net::udp::{RecvBatch, UdpSockets};
use tramline_transport::{Certificate, Transmits};

use crate::auth::Keys;
use crate::config::{Limits, ServerConfig};
use crate::stats::ServerStats;

pub(crate) use command::{Command, Control, Handle, JoinRequest};
pub(crate) use signal::SignalReceiver;

use data::Rewriter;
use farewell::Leaving;
use peers::Peers;
use rooms::Rooms;
use signal::Encoder;
use timers::{Timer, Timers};

/// Batches of datagrams that are read before what they cause is sent.
const BATCHES_PER_TURN: usize = 8;

/// Commands that are handled in one turn.
const COMMANDS_PER_TURN: usize = 256;

/// Turns without a pause after which the HTTP tasks of this thread get theirs.
const TURNS_IN_A_ROW: u32 = 16;

/// How long the last messages may take to reach their clients.
const FAREWELL: Duration = Duration::from_secs(1);

/// The state of the thread.
pub(crate) struct Shard {
    keys: Arc<Keys>,
    limits: Limits,
    queue: tramline_core::queue::QueueConfig,
    node_ips: Vec<IpAddr>,
    node_udp_port: Option<u16>,
    server: proto::ServerInfo,
    certificate: Certificate,

    sockets: UdpSockets,
    batch: RecvBatch,
    transmits: Transmits,
    demux: Demux<(PeerKey, Target)>,

    rooms: Rooms,
    peers: Peers,
    timers: Timers,
    encoder: Encoder,
    rewriter: Rewriter,
    leaving: Vec<Leaving>,
    /// WebSockets that have not said their last word.
    open_signals: usize,
    stats: ServerStats,
}

/// What the thread listens to besides its sockets.
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) control: mpsc::UnboundedReceiver<Control>,
    pub(crate) shutdown: oneshot::Receiver<()>,
}

impl Shard {
    pub(crate) fn new(
        config: &ServerConfig,
        keys: Arc<Keys>,
        server: proto::ServerInfo,
        certificate: Certificate,
        sockets: UdpSockets,
        control: mpsc::UnboundedSender<Control>,
    ) -> Self {
        Self {
            keys,
            limits: config.limits,
            queue: config.queue,
            node_ips: config.node_ips.clone(),
            node_udp_port: config.node_udp_port,
            server,
            certificate,
            sockets,
            batch: RecvBatch::new(),
            transmits: Transmits::new(),
            // Some have two connections.
            demux: Demux::new(config.limits.participants.saturating_mul(2)),
            rooms: Rooms::default(),
            peers: Peers::new(control),
            timers: Timers::default(),
            encoder: Encoder::default(),
            rewriter: Rewriter::default(),
            leaving: Vec::new(),
            open_signals: 0,
            stats: ServerStats::default(),
        }
    }

    /// Runs until it is told to stop, and says goodbye to everybody then.
    pub(crate) async fn run(mut self, mut inbox: Inbox) {
        let sleep = tokio::time::sleep_until(far_future());
        tokio::pin!(sleep);
        let mut turns = 0;
        loop {
            let deadline = self.timers.next().map_or_else(far_future, tokio::time::Instant::from_std);
            if sleep.deadline() != deadline {
                sleep.as_mut().reset(deadline);
            }
            tokio::select! {
                biased;
                _ = &mut inbox.shutdown => break,
                read = self.sockets.recv(&mut self.batch) => match read {
                    Ok(()) => self.read_datagrams(),
                    Err(error) => tracing::error!(%error, "a UDP socket failed"),
                },
                Some(command) = inbox.commands.recv() => {
                    let now = Instant::now();
                    self.handle_command(now, command);
                    for _ in 1..COMMANDS_PER_TURN {
                        let Ok(command) = inbox.commands.try_recv() else { break };
                        self.handle_command(now, command);
                    }
                }
                Some(control) = inbox.control.recv() => self.handle_control(Instant::now(), control),
                () = &mut sleep => {}
            }
            self.turn();
            turns += 1;
            if turns % TURNS_IN_A_ROW == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.say_goodbye(&mut inbox).await;
    }

    /// Everything that follows from what was read.
    fn turn(&mut self) {
        let now = Instant::now();
        self.fire_timers(now);
        self.handle_peer_events(now);
        self.handle_farewells(now);
        self.drain_rooms(now);
        self.serve_touched_peers(now);
        self.sockets.send(&mut self.transmits);
    }

    fn read_datagrams(&mut self) {
        let now = Instant::now();
        self.handle_batch(now);
        for _ in 1..BATCHES_PER_TURN {
            match self.sockets.try_recv(&mut self.batch) {
                Ok(true) => self.handle_batch(now),
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "a UDP socket failed");
                    break;
                }
            }
        }
    }

    fn handle_batch(&mut self, now: Instant) {
        for datagram in self.batch.iter() {
            // What belongs to nobody is counted by the demultiplexer.
            let Some((key, target)) = self.demux.route(datagram.remote, datagram.payload) else { continue };
            self.peers.touch(key);
            let connection = self.peers.at(key).and_then(|entry| entry.connections.get_mut(target));
            if let Some(connection) = connection {
                connection.handle_datagram(now, datagram.local, datagram.remote, datagram.payload);
            }
        }
    }

    fn fire_timers(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.pop_due(now) {
            match timer {
                Timer::Peer(key) => {
                    let Some(entry) = self.peers.at(key).filter(|entry| entry.armed == Some(at)) else {
                        continue;
                    };
                    entry.armed = None;
                    entry.connections.handle_timeout(now);
                    entry.outbox.handle_timeout(now);
                    entry.packets.handle_timeout(now);
                    self.peers.touch(key);
                }
                Timer::Room(key) => self.rooms.fire(key, at),
                Timer::Answer(key) => self.release_answer(now, key),
                // They are looked at in every turn.
                Timer::Farewell => {}
            }
        }
    }

    async fn say_goodbye(mut self, inbox: &mut Inbox) {
        let now = Instant::now();
        tracing::info!(participants = self.peers.len(), "shutting down");
        self.rooms.close_all(now, DisconnectReason::ServerShutdown, LeaveAction::Reconnect);
        self.drain_rooms(now);
        self.serve_touched_peers(now);
        self.sockets.send(&mut self.transmits);
        self.sockets.flush();
        // The WebSockets carry the leave messages; each says when it is done.
        let all_said = async {
            while self.open_signals > 0 {
                tokio::select! {
                    Some(control) = inbox.control.recv() => self.handle_control(now, control),
                    Some(command) = inbox.commands.recv() => match command {
                        Command::Signal { .. } => {}
                        command => self.refuse_command(now, command),
                    },
                    else => break,
                }
            }
        };
        if tokio::time::timeout(FAREWELL, all_said).await.is_err() {
            tracing::debug!("some clients did not take their leave messages in time");
        }
    }
}

fn far_future() -> tokio::time::Instant {
    // Far enough that nobody waits for it, near enough for every platform's clock.
    tokio::time::Instant::now() + Duration::from_secs(86_400)
}
