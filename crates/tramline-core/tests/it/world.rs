//! One room and its clients on a virtual clock, wired to each other by message queues with seeded delays.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use tramline_core::forward::PeerKey;
use tramline_core::room::{Grants, Join, Output as RoomOutput, Room, RoomConfig, TransportEnd};
use tramline_core::session::{Event, Output, Session, SessionConfig};
use tramline_core::track::TrackOptions;
use tramline_sim::{Rng, VirtualClock};
use tramline_wire::{TrackHandle, TrackSid};

pub(crate) struct World {
    pub(crate) clock: VirtualClock,
    pub(crate) room: Room,
    pub(crate) rng: Rng,
    pub(crate) clients: BTreeMap<PeerKey, Client>,
    /// Who the room has let go, and why.
    pub(crate) gone: BTreeMap<PeerKey, tramline_core::leave::DisconnectReason>,
    /// Handles that are routed, by subscriber.
    pub(crate) routed: BTreeMap<(PeerKey, TrackHandle), TrackSid>,
    pub(crate) refreshed: Vec<PeerKey>,
    /// Longest delay of a message.
    max_delay: Duration,
    next_key: u64,
}

pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) events: VecDeque<Event>,
    /// Everything the room sent, in order.
    pub(crate) received: Vec<proto::SignalResponse>,
    to_client: VecDeque<(Instant, proto::SignalResponse)>,
    to_room: VecDeque<(Instant, proto::SignalRequest)>,
}

pub(crate) fn config() -> RoomConfig {
    let version = "1.13.11".to_owned();
    RoomConfig::new(
        "yard",
        1_800_000_000_000,
        proto::ServerInfo { version, protocol: 18, ..Default::default() },
    )
}

pub(crate) fn random(seed: u64) -> Box<dyn FnMut() -> u128 + Send> {
    let mut rng = Rng::with_seed(seed);
    Box::new(move || rng.u128(..))
}

impl World {
    /// Messages arrive at once.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, config(), Duration::ZERO)
    }

    pub(crate) fn with(seed: u64, config: RoomConfig, max_delay: Duration) -> Self {
        let clock = VirtualClock::new();
        let room = Room::new(config, clock.now(), random(seed));
        Self {
            clock,
            room,
            rng: Rng::with_seed(seed),
            clients: BTreeMap::new(),
            gone: BTreeMap::new(),
            routed: BTreeMap::new(),
            refreshed: Vec::new(),
            max_delay,
            next_key: 1,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn join(&mut self, identity: &str) -> PeerKey {
        self.join_as(identity, Grants::default())
    }

    pub(crate) fn join_as(&mut self, identity: &str, grants: Grants) -> PeerKey {
        let key = PeerKey(self.next_key);
        self.next_key += 1;
        let client = proto::ClientInfo { protocol: 18, client_protocol: 2, ..Default::default() };
        let join = Join { identity: identity.to_owned(), grants, client, ..Default::default() };
        let now = self.now();
        self.room.join(now, key, join).expect("let in");
        let session = Session::new(SessionConfig::default(), now);
        let client = Client {
            session,
            events: VecDeque::new(),
            received: Vec::new(),
            to_client: VecDeque::new(),
            to_room: VecDeque::new(),
        };
        self.clients.insert(key, client);
        self.settle();
        key
    }

    /// Joins, brings the transport up and lets everybody hear of it.
    pub(crate) fn active(&mut self, identity: &str) -> PeerKey {
        self.active_as(identity, Grants::default())
    }

    pub(crate) fn active_as(&mut self, identity: &str, grants: Grants) -> PeerKey {
        let key = self.join_as(identity, grants);
        self.connect(key);
        self.run(Duration::from_millis(50));
        key
    }

    pub(crate) fn connect(&mut self, key: PeerKey) {
        let now = self.now();
        self.room.handle_transport_connected(now, key);
        let session = &mut self.client(key).session;
        session.handle_transport_connected();
        session.handle_channel_open(now);
        self.settle();
    }

    pub(crate) fn client(&mut self, key: PeerKey) -> &mut Client {
        self.clients.get_mut(&key).expect("it joined")
    }

    pub(crate) fn publish(&mut self, key: PeerKey, name: &str) -> TrackHandle {
        let now = self.now();
        let handle = self.client(key).session.publish(now, TrackOptions::named(name)).expect("a good name");
        self.settle();
        handle
    }

    pub(crate) fn unpublish(&mut self, key: PeerKey, handle: TrackHandle) {
        let now = self.now();
        self.client(key).session.unpublish(now, handle);
        self.settle();
    }

    pub(crate) fn subscribe(&mut self, key: PeerKey, track: &TrackSid) {
        let now = self.now();
        self.client(key).session.subscribe(now, track).expect("it is published");
        self.settle();
    }

    pub(crate) fn unsubscribe(&mut self, key: PeerKey, track: &TrackSid) {
        let now = self.now();
        self.client(key).session.unsubscribe(now, track);
        self.settle();
    }

    pub(crate) fn leave(&mut self, key: PeerKey) {
        self.client(key).session.leave();
        self.settle();
    }

    pub(crate) fn lose_signal(&mut self, key: PeerKey) {
        let now = self.now();
        self.client(key).session.handle_signal_closed();
        self.client(key).to_room.clear();
        self.room.handle_signal_closed(now, key);
        self.settle();
    }

    pub(crate) fn lose_transport(&mut self, key: PeerKey, end: TransportEnd) {
        let now = self.now();
        self.room.handle_transport_closed(now, key, end);
        self.settle();
    }

    /// Sends a message past the session.
    pub(crate) fn send(&mut self, key: PeerKey, message: proto::signal_request::Message) {
        let now = self.now();
        self.room.handle_signal(now, key, proto::SignalRequest { message: Some(message) });
        self.settle();
    }

    /// The SID of a track of that name, as `key` knows it.
    pub(crate) fn track(&mut self, key: PeerKey, name: &str) -> Option<TrackSid> {
        let mut participants = self.client(key).session.participants();
        participants
            .find_map(|(_, mut tracks)| tracks.find(|track| &*track.name == name).map(|t| t.sid.clone()))
    }

    pub(crate) fn events(&mut self, key: PeerKey) -> Vec<Event> {
        self.client(key).events.drain(..).collect()
    }

    pub(crate) fn received(&mut self, key: PeerKey) -> Vec<proto::signal_response::Message> {
        std::mem::take(&mut self.client(key).received)
            .into_iter()
            .filter_map(|message| message.message)
            .collect()
    }

    /// Lets the time go by, with everything that happens in it.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now() + time;
        self.settle();
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            let now = self.clock.advance_to(next);
            if self.room.poll_timeout().is_some_and(|at| at <= now) {
                self.room.handle_timeout(now);
            }
            for client in self.clients.values_mut() {
                if client.session.poll_timeout().is_some_and(|at| at <= now) {
                    client.session.handle_timeout(now);
                }
            }
            self.settle();
        }
        self.clock.advance_to(end);
    }

    fn next_moment(&mut self) -> Option<Instant> {
        let clients = self.clients.values();
        let messages = clients.clone().flat_map(|client| {
            [client.to_client.front().map(|(at, _)| *at), client.to_room.front().map(|(at, _)| *at)]
        });
        let sessions = clients.map(|client| client.session.poll_timeout());
        let moments: Vec<Instant> = messages.chain(sessions).flatten().collect();
        moments.into_iter().chain(self.room.poll_timeout()).min()
    }

    /// Delivers what has arrived and takes what is said, until nobody says anything more at this moment.
    pub(crate) fn settle(&mut self) {
        let now = self.now();
        loop {
            // What is due at once belongs to what caused it.
            if self.room.poll_timeout().is_some_and(|at| at <= now) {
                self.room.handle_timeout(now);
            }
            let mut is_quiet = true;
            while let Some(output) = self.room.poll_output() {
                is_quiet = false;
                self.take_room_output(now, output);
            }
            for (key, client) in &mut self.clients {
                while client.to_client.front().is_some_and(|(at, _)| *at <= now) {
                    let Some((_, message)) = client.to_client.pop_front() else { break };
                    is_quiet = false;
                    client.received.push(message.clone());
                    client.session.handle_signal(now, message);
                }
                while client.to_room.front().is_some_and(|(at, _)| *at <= now) {
                    let Some((_, message)) = client.to_room.pop_front() else { break };
                    is_quiet = false;
                    self.room.handle_signal(now, *key, message);
                }
                while let Some(output) = client.session.poll_output() {
                    is_quiet = false;
                    match output {
                        Output::Signal(message) => {
                            let delay = delay(&mut self.rng, self.max_delay);
                            let last = client.to_room.back().map_or(now, |(at, _)| *at);
                            client.to_room.push_back(((now + delay).max(last), message));
                        }
                        Output::Event(event) => client.events.push_back(event),
                        Output::Transport(_) => {}
                    }
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    fn take_room_output(&mut self, now: Instant, output: RoomOutput) {
        match output {
            RoomOutput::Signal { peer, message } => {
                assert!(!self.gone.contains_key(&peer), "a message to somebody who is gone: {message:?}");
                let delay = delay(&mut self.rng, self.max_delay);
                if let Some(client) = self.clients.get_mut(&peer) {
                    let last = client.to_client.back().map_or(now, |(at, _)| *at);
                    client.to_client.push_back(((now + delay).max(last), (*message).clone()));
                } else {
                    // `join` speaks before the client is entered here.
                    panic!("a message to nobody: {message:?}");
                }
            }
            RoomOutput::RouteAdded { subscriber, handle, track } => {
                let before = self.routed.insert((subscriber, handle), track);
                assert_eq!(before, None, "a handle that is in use");
            }
            RoomOutput::RouteRemoved { subscriber, handle } => {
                self.routed.remove(&(subscriber, handle));
            }
            RoomOutput::Gone { peer, reason, .. } => {
                assert_eq!(self.gone.insert(peer, reason), None, "gone twice");
            }
            RoomOutput::RefreshToken { peer, .. } => self.refreshed.push(peer),
            RoomOutput::Transport { .. } => {}
        }
    }
}

fn delay(rng: &mut Rng, max: Duration) -> Duration {
    Duration::from_micros(rng.u64(0..=max.as_micros() as u64))
}
