//! The rooms, and what they want done.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use tramline_core::forward::PeerKey;
use tramline_core::leave::{DisconnectReason, LeaveAction};
use tramline_core::room::{Claims, Output, Room, RoomConfig, RoomCounters, Target};

use super::Shard;
use super::timers::{Timer, Timers};

/// The shortest life of a refreshed token, in seconds.
const MIN_TOKEN_LIFE: i64 = 600;

/// Names a room; never names a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RoomKey(u64);

/// All rooms.
#[derive(Default)]
pub(super) struct Rooms {
    rooms: HashMap<RoomKey, RoomEntry>,
    by_name: HashMap<String, RoomKey>,
    /// Rooms that were called and whose outputs have not been looked at, each once.
    called: Vec<RoomKey>,
    next_key: u64,
    retired: RoomCounters,
}

struct RoomEntry {
    room: Room,
    is_called: bool,
    armed: Option<Instant>,
}

impl Rooms {
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// The room of that name; made when there is none.
    pub(super) fn open(
        &mut self,
        now: Instant,
        name: &str,
        server: &proto::ServerInfo,
        max_participants: usize,
    ) -> io::Result<RoomKey> {
        if let Some(key) = self.by_name.get(name) {
            return Ok(*key);
        }
        // The bits of ids come from a generator of the room's own: a call to the system for each would be slow.
        let mut ids = IdSource::new()?;
        let key = RoomKey(self.next_key);
        self.next_key += 1;
        let mut config = RoomConfig::new(name, tramline_net::clock::unix_millis(), server.clone());
        config.max_participants = max_participants;
        let room = Room::new(config, now, Box::new(move || ids.next()));
        self.rooms.insert(key, RoomEntry { room, is_called: false, armed: None });
        self.by_name.insert(name.to_owned(), key);
        Ok(key)
    }

    /// Calls a room; its outputs are looked at in this turn.
    pub(super) fn with<R>(&mut self, key: RoomKey, f: impl FnOnce(&mut Room) -> R) -> Option<R> {
        let entry = self.rooms.get_mut(&key)?;
        if !entry.is_called {
            entry.is_called = true;
            self.called.push(key);
        }
        Some(f(&mut entry.room))
    }

    pub(super) fn find(&self, name: &str) -> Option<RoomKey> {
        self.by_name.get(name).copied()
    }

    pub(super) fn room(&self, key: RoomKey) -> Option<&Room> {
        self.rooms.get(&key).map(|entry| &entry.room)
    }

    pub(super) fn room_mut(&mut self, key: RoomKey) -> Option<&mut Room> {
        self.rooms.get_mut(&key).map(|entry| &mut entry.room)
    }

    /// The timer of a room went off; its time-outs are handled with its outputs.
    pub(super) fn fire(&mut self, key: RoomKey, at: Instant) {
        if self.rooms.get(&key).is_some_and(|entry| entry.armed == Some(at)) {
            self.with(key, |_| ());
            if let Some(entry) = self.rooms.get_mut(&key) {
                entry.armed = None;
            }
        }
    }

    pub(super) fn close_all(&mut self, now: Instant, reason: DisconnectReason, action: LeaveAction) {
        let keys: Vec<RoomKey> = self.rooms.keys().copied().collect();
        for key in keys {
            self.with(key, |room| room.close(now, reason, action));
        }
    }

    pub(super) fn counters(&self) -> RoomCounters {
        self.rooms.values().fold(self.retired, |sum, entry| sum + entry.room.counters())
    }

    fn next_output(&mut self, key: RoomKey) -> Option<Output> {
        self.rooms.get_mut(&key)?.room.poll_output()
    }

    /// Handles the time-outs of a room that are due.
    fn handle_due(&mut self, now: Instant, key: RoomKey) {
        if let Some(entry) = self.rooms.get_mut(&key)
            && entry.room.poll_timeout().is_some_and(|at| at <= now)
        {
            entry.room.handle_timeout(now);
        }
    }

    /// Nothing more is to be done for a room in this turn: its timer is set, or it goes.
    fn rest(&mut self, key: RoomKey, timers: &mut Timers) {
        let Some(entry) = self.rooms.get_mut(&key) else { return };
        entry.is_called = false;
        if entry.room.is_finished() {
            tracing::info!(room = entry.room.name(), "closed: nobody was in it any more");
            self.by_name.remove(entry.room.name());
            self.retired = self.retired + entry.room.counters();
            self.rooms.remove(&key);
        } else if let Some(at) = entry.room.poll_timeout()
            && entry.armed.is_none_or(|armed| at < armed)
        {
            entry.armed = Some(at);
            timers.set(at, Timer::Room(key));
        }
    }
}

impl Shard {
    /// Does what the rooms want that were called in this turn.
    pub(super) fn drain_rooms(&mut self, now: Instant) {
        while let Some(key) = self.rooms.called.pop() {
            self.rooms.handle_due(now, key);
            while let Some(output) = self.rooms.next_output(key) {
                self.apply(now, output);
            }
            // What that caused (a bad offer, a stalled WebSocket) may have called the room once more: `rest` lets it be
            // called again, and its next time-out comes at once.
            self.rooms.rest(key, &mut self.timers);
        }
    }

    fn apply(&mut self, now: Instant, output: Output) {
        match output {
            Output::Signal { peer, message } => self.send_signal(now, peer, message),
            Output::Transport { peer, command } => self.negotiate(now, peer, command),
            Output::RefreshToken { peer, claims } => self.send_token(now, peer, claims),
            Output::RouteAdded { subscriber, handle, .. } => {
                self.peers.add_track(subscriber, handle, self.queue);
            }
            Output::RouteRemoved { subscriber, handle } => self.peers.remove_track(subscriber, handle),
            Output::Gone { peer, identity, reason } => {
                tracing::info!(%identity, %reason, peer = peer.0, "left");
                self.remove_peer(now, peer);
            }
        }
    }

    fn send_signal(&mut self, now: Instant, peer: PeerKey, message: Arc<proto::SignalResponse>) {
        let Some(entry) = self.peers.at(peer) else { return };
        let Some(signal) = &entry.signal else { return };
        if signal.send(self.encoder.encode(message)).is_err() {
            tracing::warn!(peer = peer.0, "signalling stalled: too much waits for this client");
            self.stats.signal_stalled += 1;
            entry.signal = None;
            let room = entry.room;
            self.rooms.with(room, |room| room.handle_signal_closed(now, peer));
        }
    }

    pub(super) fn send(&mut self, now: Instant, peer: PeerKey, message: Response) {
        self.send_signal(now, peer, Arc::new(proto::SignalResponse { message: Some(message) }));
    }

    /// A fresh token, so that a client can come back after its first one has expired.
    fn send_token(&mut self, now: Instant, peer: PeerKey, claims: Claims) {
        let Some((key, secret)) = self.keys.signer() else { return };
        let Some(entry) = self.peers.at(peer) else { return };
        let unix = tramline_net::clock::unix_millis() / 1000;
        let left = entry.claims.exp.map_or(0, |exp| exp.saturating_sub(unix));
        let token = entry.claims.refreshed(key, &entry.room_name, &claims, unix, left.max(MIN_TOKEN_LIFE));
        match token.signed(secret) {
            Ok(jwt) => self.send(now, peer, Response::RefreshToken(jwt)),
            Err(error) => tracing::error!(%error, "no refreshed token"),
        }
    }

    fn remove_peer(&mut self, now: Instant, peer: PeerKey) {
        for target in [Target::Publisher, Target::Subscriber] {
            self.demux.remove((peer, target));
        }
        if let Some(mut entry) = self.peers.remove(peer) {
            for connection in entry.connections.iter() {
                self.stats.transport_rejected += super::snapshot::rejected(connection);
                self.stats.transport += connection.stats().ended();
            }
            entry.connections.close(now);
            entry.connections.poll_transmit(now, &mut self.transmits);
        }
    }
}

/// Random bits for ids, in blocks from the operating system.
struct IdSource {
    block: [u8; 256],
    used: usize,
}

impl IdSource {
    fn new() -> io::Result<Self> {
        Ok(Self { block: tramline_net::random::bytes()?, used: 0 })
    }

    fn next(&mut self) -> u128 {
        if self.used == self.block.len() {
            // It had randomness a moment ago; if it has none now, ids that repeat would be worse than no server.
            self.block = tramline_net::random::bytes().expect("the operating system has randomness");
            self.used = 0;
        }
        let mut bits = [0; 16];
        bits.copy_from_slice(&self.block[self.used..self.used + 16]);
        self.used += 16;
        u128::from_le_bytes(bits)
    }
}
