//! Any clients in a room: garbage, and requests that are nearly right. Each participant is mirrored by a real client
//! session, and what the room says about routes must be what the forwarding table does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tramline_core::forward::PeerKey;
use tramline_core::leave::{DisconnectReason, LeaveAction};
use tramline_core::room::{Grants, Join, Output, Room, RoomConfig, TransportEnd};
use tramline_core::session::{Session, SessionConfig};
use tramline_sim::{Choices, VirtualClock};
use tramline_wire::{TrackHandle, TrackSid};

const MAX_PARTICIPANTS: usize = 3;
const MAX_TRACKS: usize = 3;
const MAX_SUBSCRIPTIONS: usize = 4;
const HANDLES: [u32; 6] = [1, 2, 3, 4, 0, 70_000];

/// Runs the operations that `data` stands for.
pub(crate) fn check(data: &[u8]) {
    let mut input = Choices::new(data);
    let mut run = Run::new();
    run.join(&mut input);
    run.settle();
    while !input.is_empty() && !run.room.is_finished() {
        match input.below(8) {
            0 => run.join(&mut input),
            1 => {
                run.clock.advance(Duration::from_millis(4) * u32::from(input.byte()));
            }
            2 => run.happen(&mut input),
            3 => {
                if let Ok(message) = proto::SignalRequest::decode(input.bytes()) {
                    run.request(&mut input, message);
                }
            }
            _ => {
                let message = Some(run.make_request(&mut input));
                run.request(&mut input, proto::SignalRequest { message });
            }
        }
        run.settle();
    }
    run.finish();
}

struct Run {
    room: Room,
    clock: VirtualClock,
    next_peer: u64,
    peers: BTreeMap<PeerKey, Peer>,
    routes: BTreeMap<(PeerKey, TrackHandle), TrackSid>,
    /// SIDs of tracks, also of former ones.
    tracks: Vec<String>,
}

struct Peer {
    identity: String,
    grants: Grants,
    has_signal: bool,
    session: Session,
}

impl Run {
    fn new() -> Self {
        let clock = VirtualClock::new();
        let mut config = RoomConfig::new("room", 0, proto::ServerInfo::default());
        config.max_participants = MAX_PARTICIPANTS;
        config.max_tracks = MAX_TRACKS;
        config.max_subscriptions = MAX_SUBSCRIPTIONS;
        let mut random = 0_u128;
        let random = move || {
            random += 1;
            random
        };
        let room = Room::new(config, clock.now(), Box::new(random));
        let tracks = vec!["DTR_none".to_owned(), "TR_media".to_owned()];
        Self { room, clock, next_peer: 0, peers: BTreeMap::new(), routes: BTreeMap::new(), tracks }
    }

    fn join(&mut self, input: &mut Choices<'_>) {
        let peer = PeerKey(self.next_peer);
        self.next_peer += 1;
        let identity = input.one_of(&["a", "b", "c", "d"]).to_owned();
        let mut grants = Grants::default();
        let bits = input.byte();
        grants.can_subscribe = bits & 3 != 3;
        grants.can_publish_data = bits & 12 != 12;
        grants.can_update_own_metadata = bits & 16 != 0;
        grants.hidden = bits & 96 == 96;
        let join = Join { identity: identity.clone(), grants, ..Join::default() };
        let is_back = self.peers.values().any(|known| known.identity == identity);
        let is_full = self.peers.len() == MAX_PARTICIPANTS && !is_back;
        let outcome = self.room.join(self.clock.now(), peer, join);
        assert_eq!(outcome.is_err(), is_full);
        if outcome.is_ok() {
            let session = Session::new(SessionConfig::default(), self.clock.now());
            self.peers.insert(peer, Peer { identity, grants, has_signal: true, session });
        }
    }

    /// One of those who are there, or somebody who is not.
    fn pick(&self, input: &mut Choices<'_>) -> PeerKey {
        let at = input.below(MAX_PARTICIPANTS as u8 + 1);
        self.peers.keys().nth(at).copied().unwrap_or(PeerKey(u64::MAX))
    }

    fn request(&mut self, input: &mut Choices<'_>, message: proto::SignalRequest) {
        let peer = self.pick(input);
        if self.peers.get(&peer).is_none_or(|peer| peer.has_signal) {
            self.room.handle_signal(self.clock.now(), peer, message);
        }
    }

    fn happen(&mut self, input: &mut Choices<'_>) {
        let (now, peer) = (self.clock.now(), self.pick(input));
        match input.below(8) {
            0..=2 => self.room.handle_transport_connected(now, peer),
            3 => {
                let end =
                    input.one_of(&[TransportEnd::ClosedByPeer, TransportEnd::Lost, TransportEnd::Refused]);
                self.room.handle_transport_closed(now, peer, end);
            }
            4 => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.has_signal = false;
                }
                self.room.handle_signal_closed(now, peer);
            }
            5 => {
                self.room.disconnect(now, peer, DisconnectReason::ParticipantRemoved, LeaveAction::Disconnect)
            }
            _ => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.grants.can_subscribe = input.flag();
                    known.grants.can_publish_data = input.flag();
                    self.room.set_grants(now, peer, known.grants);
                }
            }
        }
    }

    fn make_request(&self, input: &mut Choices<'_>) -> Request {
        let track = |input: &mut Choices<'_>| {
            let back = usize::from(input.byte()) % self.tracks.len().min(8);
            self.tracks[self.tracks.len() - 1 - back].clone()
        };
        match input.below(10) {
            0..=2 => Request::PublishDataTrackRequest(proto::PublishDataTrackRequest {
                pub_handle: input.one_of(&HANDLES),
                name: input.one_of(&["one", "two", "three", "four", ""]).to_owned(),
                encryption: i32::from(input.byte()),
                ..Default::default()
            }),
            3 => Request::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest {
                pub_handle: input.one_of(&HANDLES),
            }),
            4..=6 => {
                let update = |input: &mut Choices<'_>| proto::update_data_subscription::Update {
                    track_sid: track(input),
                    subscribe: input.below(4) != 0,
                    options: None,
                };
                let updates = (0..1 + input.below(4)).map(|_| update(input)).collect();
                Request::UpdateDataSubscription(proto::UpdateDataSubscription { updates })
            }
            7 => {
                let permission = |input: &mut Choices<'_>| proto::TrackPermission {
                    participant_identity: input.one_of(&["a", "b", "c", ""]).to_owned(),
                    all_tracks: input.flag(),
                    track_sids: vec![track(input)],
                    ..Default::default()
                };
                Request::SubscriptionPermission(proto::SubscriptionPermission {
                    all_participants: input.flag(),
                    track_permissions: (0..input.below(3)).map(|_| permission(input)).collect(),
                })
            }
            8 => Request::UpdateMetadata(proto::UpdateParticipantMetadata {
                name: input.one_of(&["", "name"]).to_owned(),
                metadata: "m".repeat(usize::from(input.byte())),
                ..Default::default()
            }),
            _ => match input.below(6) {
                4 => {
                    let key = input.flag().then(|| blob_key(input));
                    let contents = vec![0; 300 * usize::from(input.byte())];
                    let blob = Some(proto::DataBlob { key, contents });
                    Request::StoreDataBlobRequest(proto::StoreDataBlobRequest { request_id: 1, blob })
                }
                5 => Request::GetDataBlobRequest(proto::GetDataBlobRequest {
                    request_id: 2,
                    participant_identity: input.one_of(&["a", "b", "c", ""]).to_owned(),
                    key: input.flag().then(|| blob_key(input)),
                }),
                0 => Request::Leave(proto::LeaveRequest::default()),
                1 => Request::Offer(proto::SessionDescription::default()),
                2 => Request::PingReq(proto::Ping { timestamp: i64::MIN, rtt: i64::MAX }),
                _ => Request::SyncState(proto::SyncState::default()),
            },
        }
    }

    /// Does what is due and takes what the room has to say.
    fn settle(&mut self) {
        self.drain();
        let now = self.clock.now();
        if self.room.poll_timeout().is_some_and(|at| at <= now) {
            self.room.handle_timeout(now);
            let next = self.room.poll_timeout();
            assert!(
                next.is_none_or(|at| at > now) || self.room.is_finished(),
                "time-outs are dealt with at once"
            );
            self.drain();
        }
        self.compare_routes();
        assert_eq!(self.room.num_participants(), self.peers.len());
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Signal { peer, message } => {
                    let peer = self.peers.get_mut(&peer).expect("nothing is said to those who are gone");
                    assert!(peer.has_signal, "nothing is said where nobody hears it");
                    if let Some(Response::PublishDataTrackResponse(response)) = &message.message {
                        let info = response.info.as_ref().expect("a published track is described");
                        self.tracks.push(info.sid.clone());
                    }
                    peer.session.handle_signal(self.clock.now(), message.as_ref().clone());
                    while peer.session.poll_output().is_some() {}
                }
                Output::Transport { peer, .. } | Output::RefreshToken { peer, .. } => {
                    assert!(self.peers.contains_key(&peer));
                }
                Output::RouteAdded { subscriber, handle, track } => {
                    assert!(self.peers.contains_key(&subscriber));
                    let before = self.routes.insert((subscriber, handle), track);
                    assert_eq!(before, None, "a handle stands for one track");
                }
                Output::RouteRemoved { subscriber, handle } => {
                    assert!(self.peers.contains_key(&subscriber));
                    self.routes.remove(&(subscriber, handle));
                }
                Output::Gone { peer, identity, .. } => {
                    let gone = self.peers.remove(&peer).expect("participants go once");
                    assert_eq!(*identity, *gone.identity);
                    assert!(
                        !self.routes.keys().any(|(subscriber, _)| *subscriber == peer),
                        "routes go first"
                    );
                }
            }
        }
    }

    fn compare_routes(&self) {
        let forwarding = self.room.forwarding();
        assert_eq!(forwarding.len(), self.routes.len());
        assert!(forwarding.len() <= MAX_PARTICIPANTS * MAX_SUBSCRIPTIONS);
        for publisher in self.peers.keys() {
            for handle in HANDLES.iter().filter_map(|handle| TrackHandle::try_from(*handle).ok()) {
                for route in forwarding.routes(*publisher, handle).into_iter().flatten() {
                    assert_ne!(route.subscriber, *publisher, "nobody gets its own packets");
                    assert!(self.peers[&route.subscriber].grants.can_subscribe);
                    assert!(self.routes.contains_key(&(route.subscriber, route.handle)));
                }
            }
        }
    }

    /// Lets the last updates go out; then everybody knows the same as the room.
    fn finish(&mut self) {
        for _ in 0..3 {
            self.clock.advance(Duration::from_millis(20));
            self.settle();
        }
        let visible: BTreeSet<&str> = self
            .peers
            .values()
            .filter(|peer| !peer.grants.hidden)
            .map(|peer| peer.identity.as_str())
            .collect();
        for peer in self.peers.values().filter(|peer| peer.has_signal) {
            let others: BTreeSet<&str> =
                visible.iter().copied().filter(|other| *other != peer.identity).collect();
            let known: Vec<String> =
                peer.session.participants().map(|(who, _)| who.identity.to_string()).collect();
            assert_eq!(known.iter().map(String::as_str).collect::<BTreeSet<_>>(), others);
            for (who, tracks) in peer.session.participants() {
                assert!(tracks.count() <= MAX_TRACKS, "too many tracks of {}", who.identity);
            }
        }
        for ((subscriber, handle), track) in &self.routes {
            let peer = &self.peers[subscriber];
            if peer.has_signal {
                let (publisher, _) =
                    peer.session.track(track).expect("what is routed is known to be published");
                assert_ne!(*publisher.identity, *peer.identity, "handle {handle}");
            }
        }
    }
}

fn blob_key(input: &mut Choices<'_>) -> proto::DataBlobKey {
    let name = input.one_of(&["one", "two", "three", "\u{0}"]).to_owned();
    proto::DataBlobKey { key: input.flag().then_some(proto::data_blob_key::Key::Generic(name)) }
}
