//! Any server at the other end of a client session: garbage, and messages that are nearly right. A mirror built of
//! events alone must agree with the session, and every request is answered once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use livekit_protocol as proto;
use prost::Message as _;
use proto::request_response::Request as Refused;
use proto::signal_response::Message as Response;
use tramline_core::schema::{SchemaEncoding, SchemaId};
use tramline_core::session::{Event, Layout, Output, RequestId, SelfUpdate, Session, SessionConfig, Target};
use tramline_core::track::TrackOptions;
use tramline_sim::{Choices, VirtualClock};
use tramline_wire::{TrackHandle, TrackSid};

const MAX_PARTICIPANTS: usize = 3;
const MAX_TRACKS: usize = 5;

/// Runs the operations that `data` stands for.
pub(crate) fn check(data: &[u8]) {
    let mut input = Choices::new(data);
    let mut clock = VirtualClock::new();
    let mut config = SessionConfig::default();
    (config.max_participants, config.max_tracks) = (MAX_PARTICIPANTS, MAX_TRACKS);
    // It knows all that the other one does, and more.
    config.layout = Layout::Dual;
    let mut session = Session::new(config, clock.now());
    let mut mirror = Mirror::default();
    if input.flag() {
        session.handle_signal(clock.now(), join(&mut input).into_message());
    }
    while !input.is_empty() {
        let now = clock.now();
        match input.below(8) {
            0 => {
                if let Ok(message) = proto::SignalResponse::decode(input.bytes()) {
                    session.handle_signal(now, message);
                }
            }
            1..=3 => session.handle_signal(now, response(&mut input).into_message()),
            4 => match input.below(12) {
                0..=2 => session.handle_channel_open(now),
                3 => session.handle_transport_connected(),
                4 => session.handle_transport_closed(),
                5 => session.handle_signal_closed(),
                6 => session.leave(),
                7 => session.send_offer(String::new(), 1),
                8 => mirror.request(session.define_schema(now, &schema(), "definition").ok()),
                9 => mirror.request(session.fetch_schema(now, "robot", &schema()).ok()),
                10 => mirror.request(session.update_self(now, SelfUpdate::default()).ok()),
                _ => session.send_candidate(Target::Subscriber, String::new()),
            },
            5 => {
                clock.advance(Duration::from_millis(40) * u32::from(input.byte()));
            }
            6 => match input.below(3) {
                0 | 1 => {
                    if let Ok(handle) = session.publish(now, TrackOptions::named(name(&mut input))) {
                        mirror.request_publish(handle);
                    }
                }
                _ => {
                    if let Ok(handle) = TrackHandle::try_from(handle(&mut input)) {
                        session.unpublish(now, handle);
                    }
                }
            },
            _ => {
                let Ok(track) = TrackSid::try_from(track_sid(&mut input)) else { continue };
                if input.below(3) == 0 {
                    session.unsubscribe(now, &track);
                    mirror.unsubscribe(&track);
                } else if session.subscribe(now, &track).is_ok() {
                    mirror.request_subscribe(&track);
                }
            }
        }
        mirror.drain(&mut session);
        mirror.compare(&session);
        if input.flag() {
            expire(&mut session, &clock);
            mirror.drain(&mut session);
            mirror.compare(&session);
        }
    }
    // A server that says nothing more: the session ends by itself, and nobody waits for anything.
    clock.advance(Duration::from_secs(7_300));
    expire(&mut session, &clock);
    mirror.drain(&mut session);
    assert!(session.is_ended() && mirror.ended);
    assert!(!mirror.publications.values().any(|state| *state != Publication::Ended));
    assert!(!mirror.subscriptions.values().any(|state| *state == Subscription::Requested));
    assert_eq!(mirror.requests, BTreeSet::new());
}

fn expire(session: &mut Session, clock: &VirtualClock) {
    let now = clock.now();
    session.handle_timeout(now);
    assert!(session.poll_timeout().is_none_or(|at| at > now), "time-outs are dealt with at once");
}

/// What an application knows that only looks at events.
#[derive(Default)]
struct Mirror {
    joined: bool,
    ended: bool,
    participants: BTreeMap<String, BTreeSet<TrackSid>>,
    publications: BTreeMap<TrackHandle, Publication>,
    subscriptions: BTreeMap<TrackSid, Subscription>,
    by_handle: BTreeMap<TrackHandle, TrackSid>,
    /// Those that were not answered yet.
    requests: BTreeSet<RequestId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publication {
    Requested,
    Published,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscription {
    Requested,
    Live(TrackHandle),
}

impl Mirror {
    fn request_publish(&mut self, handle: TrackHandle) {
        let before = self.publications.insert(handle, Publication::Requested);
        assert_eq!(before, None, "handles are not used again");
    }

    fn request_subscribe(&mut self, track: &TrackSid) {
        self.subscriptions.entry(track.clone()).or_insert(Subscription::Requested);
    }

    fn request(&mut self, id: Option<RequestId>) {
        assert!(id.is_none_or(|id| self.requests.insert(id)), "ids are not used again");
    }

    fn answered(&mut self, id: RequestId) {
        assert!(self.requests.remove(&id), "one answer to one request");
    }

    fn unsubscribe(&mut self, track: &TrackSid) {
        if !self.ended
            && let Some(Subscription::Live(handle)) = self.subscriptions.remove(track)
        {
            self.free(handle, track);
        }
    }

    fn free(&mut self, handle: TrackHandle, track: &TrackSid) {
        if self.by_handle.get(&handle) == Some(track) {
            self.by_handle.remove(&handle);
        }
    }

    fn drain(&mut self, session: &mut Session) {
        while let Some(output) = session.poll_output() {
            assert!(!self.ended, "{output:?} after the end");
            if let Output::Event(event) = output {
                self.handle(event);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Joined(joined) => {
                assert!(!self.joined);
                self.joined = true;
                for (participant, tracks) in joined.others {
                    let tracks = tracks.iter().map(|track| track.sid.clone()).collect();
                    self.participants.insert(participant.identity.to_string(), tracks);
                }
            }
            Event::ParticipantJoined(participant) => {
                let before = self.participants.insert(participant.identity.to_string(), BTreeSet::new());
                assert_eq!(before, None, "nobody joins twice");
            }
            Event::ParticipantLeft { participant, .. } => {
                let tracks = self.participants.remove(&*participant.identity);
                assert_eq!(tracks, Some(BTreeSet::new()), "tracks go before their publisher");
            }
            Event::ParticipantChanged { before, after } => {
                assert_eq!(before.identity, after.identity);
                assert_ne!(before, after);
            }
            Event::TrackPublished { publisher, track } => {
                let tracks = self.participants.get_mut(&*publisher.identity).expect("publishers come first");
                assert!(tracks.insert(track.sid.clone()), "a track is published once");
            }
            Event::TrackUnpublished { publisher, track } => {
                let tracks = self.participants.get_mut(&*publisher.identity).expect("publishers go last");
                assert!(tracks.remove(&track.sid), "only what was published is unpublished");
                if let Some(Subscription::Live(handle)) = self.subscriptions.get(&track.sid).copied() {
                    self.subscriptions.remove(&track.sid);
                    self.free(handle, &track.sid);
                }
            }
            Event::Published { handle, .. } => {
                let before = self.publications.insert(handle, Publication::Published);
                assert_eq!(before, Some(Publication::Requested));
            }
            Event::PublishFailed { handle, .. } => {
                let before = self.publications.insert(handle, Publication::Ended);
                assert_eq!(before, Some(Publication::Requested), "one answer to one request");
            }
            Event::Unpublished { handle, .. } => {
                let before = self.publications.insert(handle, Publication::Ended);
                assert!(before.is_some_and(|state| state != Publication::Ended), "a publication ends once");
            }
            Event::Subscribed { track, handle } => {
                let state = self.subscriptions.get_mut(&track).expect("nobody else asked for it");
                let before = std::mem::replace(state, Subscription::Live(handle));
                if before != Subscription::Live(handle) {
                    if let Subscription::Live(before) = before {
                        self.free(before, &track);
                    }
                    self.by_handle.insert(handle, track);
                }
            }
            Event::SubscribeFailed { track, .. } => {
                assert_eq!(self.subscriptions.remove(&track), Some(Subscription::Requested));
            }
            Event::Disconnected(_) => {
                self.ended = true;
                self.by_handle.clear();
            }
            Event::SchemaDefined { request, .. }
            | Event::SchemaFetched { request, .. }
            | Event::SelfUpdated { request, .. } => self.answered(request),
            Event::Connected | Event::RoomChanged(_) | Event::TokenRefreshed(_) => {}
            other => panic!("{other:?} is new to this test"),
        }
    }

    fn compare(&self, session: &Session) {
        assert_eq!(self.ended, session.is_ended());
        assert!(self.participants.len() <= MAX_PARTICIPANTS);
        assert!(self.participants.values().map(BTreeSet::len).sum::<usize>() <= MAX_TRACKS);
        let seen: BTreeMap<String, BTreeSet<TrackSid>> = session
            .participants()
            .map(|(who, tracks)| (who.identity.to_string(), tracks.map(|track| track.sid.clone()).collect()))
            .collect();
        assert_eq!(self.participants, seen);
        for (publisher, track) in
            self.participants.iter().flat_map(|(p, tracks)| tracks.iter().map(move |t| (p, t)))
        {
            let (found, _) = session.track(track).expect("it is published");
            assert_eq!(&*found.identity, publisher.as_str());
        }
        for handle in HANDLES.iter().filter_map(|handle| TrackHandle::try_from(*handle).ok()) {
            assert_eq!(session.subscribed_track(handle), self.by_handle.get(&handle), "handle {handle}");
        }
    }
}

const HANDLES: [u32; 8] = [1, 2, 3, 4, 5, 6, 0, 70_000];

fn handle(input: &mut Choices<'_>) -> u32 {
    input.one_of(&HANDLES)
}

fn track_sid(input: &mut Choices<'_>) -> &'static str {
    input.one_of(&["DTR_a", "DTR_b", "DTR_c", "DTR_d", "DTR_e", "DTR_f", "DTR_g", "TR_a"])
}

fn schema() -> SchemaId {
    SchemaId::new("pose", SchemaEncoding::Protobuf)
}

/// As the first requests of a session have, and those that have none.
fn request_id(input: &mut Choices<'_>) -> u32 {
    input.below(6) as u32
}

fn name(input: &mut Choices<'_>) -> &'static str {
    input.one_of(&["one", "two", "", "three"])
}

trait IntoMessage {
    fn into_message(self) -> proto::SignalResponse;
}

impl IntoMessage for Response {
    fn into_message(self) -> proto::SignalResponse {
        proto::SignalResponse { message: Some(self) }
    }
}

fn response(input: &mut Choices<'_>) -> Response {
    match input.below(12) {
        0 => join(input),
        1..=4 => Response::Update(proto::ParticipantUpdate { participants: participants(input) }),
        5 | 6 => Response::DataTrackSubscriberHandles(proto::DataTrackSubscriberHandles {
            sub_handles: (0..input.below(5)).map(|_| (handle(input), subscribed(input))).collect(),
        }),
        7 | 8 => {
            let info = (input.below(8) != 0).then(|| track_info(input));
            Response::PublishDataTrackResponse(proto::PublishDataTrackResponse { info })
        }
        9 => {
            let info = (input.below(8) != 0).then(|| track_info(input));
            Response::UnpublishDataTrackResponse(proto::UnpublishDataTrackResponse { info })
        }
        10 => Response::RequestResponse(refusal(input)),
        _ => match input.below(10) {
            0 => Response::Leave(proto::LeaveRequest {
                reason: i32::from(input.byte()),
                action: i32::from(input.byte() % 4),
                ..Default::default()
            }),
            1 => Response::RefreshToken("token".to_owned()),
            2 => Response::RoomUpdate(proto::RoomUpdate { room: input.flag().then(proto::Room::default) }),
            3 => Response::Trickle(proto::TrickleRequest::default()),
            4 => Response::Answer(proto::SessionDescription::default()),
            8 => Response::Offer(proto::SessionDescription::default()),
            5 => Response::Pong(i64::MIN),
            6 => {
                let request_id = request_id(input);
                Response::StoreDataBlobResponse(proto::StoreDataBlobResponse { request_id, key: None })
            }
            7 => {
                let request_id = request_id(input);
                let contents = input.bytes().to_vec();
                let blob = Some(proto::DataBlob { key: None, contents });
                Response::GetDataBlobResponse(proto::GetDataBlobResponse { request_id, blob })
            }
            _ => Response::PongResp(proto::Pong {
                last_ping_timestamp: 40 * i64::from(input.byte()),
                timestamp: i64::MAX,
            }),
        },
    }
}

fn join(input: &mut Choices<'_>) -> Response {
    let usable = input.below(8) != 0;
    let local = proto::ParticipantInfo { sid: "PA_me".into(), identity: "me".into(), ..Default::default() };
    Response::Join(proto::JoinResponse {
        room: Some(proto::Room::default()),
        participant: usable.then_some(local),
        other_participants: participants(input),
        ping_interval: input.one_of(&[5, 0, -1, i32::MIN, i32::MAX]),
        ping_timeout: input.one_of(&[15, 0, -1, i32::MIN, i32::MAX]),
        ..Default::default()
    })
}

fn participants(input: &mut Choices<'_>) -> Vec<proto::ParticipantInfo> {
    (0..input.below(5)).map(|_| participant(input)).collect()
}

fn participant(input: &mut Choices<'_>) -> proto::ParticipantInfo {
    let identity = input.one_of(&["a", "b", "c", "d", "me", ""]);
    let stay = input.one_of(&["1", "1", "2", ""]);
    proto::ParticipantInfo {
        sid: if stay.is_empty() { String::new() } else { format!("PA_{identity}{stay}") },
        identity: identity.to_owned(),
        state: input.one_of(&[2, 2, 2, 0, 3, 9]),
        version: u32::from(input.byte() % 4),
        joined_at: i64::MAX,
        data_tracks: (0..input.below(4)).map(|_| track_info(input)).collect(),
        ..Default::default()
    }
}

fn track_info(input: &mut Choices<'_>) -> proto::DataTrackInfo {
    proto::DataTrackInfo {
        pub_handle: handle(input),
        sid: track_sid(input).to_owned(),
        name: name(input).to_owned(),
        encryption: i32::from(input.byte()),
        ..Default::default()
    }
}

fn subscribed(input: &mut Choices<'_>) -> proto::data_track_subscriber_handles::PublishedDataTrack {
    proto::data_track_subscriber_handles::PublishedDataTrack {
        track_sid: track_sid(input).to_owned(),
        ..Default::default()
    }
}

fn refusal(input: &mut Choices<'_>) -> proto::RequestResponse {
    let pub_handle = handle(input);
    proto::RequestResponse {
        request_id: request_id(input),
        reason: i32::from(input.byte() % 16),
        request: match input.below(5) {
            0 => None,
            4 => Some(Refused::UpdateMetadata(proto::UpdateParticipantMetadata::default())),
            1 => Some(Refused::UnpublishDataTrack(proto::UnpublishDataTrackRequest { pub_handle })),
            _ => Some(Refused::PublishDataTrack(proto::PublishDataTrackRequest {
                pub_handle,
                ..Default::default()
            })),
        },
        ..Default::default()
    }
}
