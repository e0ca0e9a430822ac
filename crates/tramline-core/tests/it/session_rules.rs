//! The client session alone: what it asks, what it makes of answers, what it survives.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proptest::prelude::*;
use prost::Message as _;
use proto::request_response::{Reason, Request as Refused};
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tramline_core::leave::{DisconnectReason, LeaveAction};
use tramline_core::session::{
    Event, Layout, Output, PublishError, PublishWait, Session, SessionConfig, SubscribeError, Target,
    TransportCommand, UnpublishCause,
};
use tramline_core::track::TrackOptions;
use tramline_sim::VirtualClock;
use tramline_wire::{TrackHandle, TrackSid};

struct Harness {
    clock: VirtualClock,
    session: Session,
    requests: Vec<Request>,
    commands: Vec<TransportCommand>,
    events: Vec<Event>,
}

impl Harness {
    fn new() -> Self {
        let clock = VirtualClock::new();
        let session = Session::new(SessionConfig::default(), clock.now());
        Self { clock, session, requests: Vec::new(), commands: Vec::new(), events: Vec::new() }
    }

    fn joined() -> Self {
        let mut harness = Self::new();
        harness.receive(Response::Join(join(vec![participant("robot", &["DTR_pose", "DTR_scan"])])));
        harness.clear();
        harness
    }

    fn open() -> Self {
        let mut harness = Self::joined();
        harness.session.handle_channel_open(harness.now());
        harness
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn receive(&mut self, message: Response) {
        let now = self.now();
        self.session.handle_signal(now, proto::SignalResponse { message: Some(message) });
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Signal(message) => self.requests.push(message.message.expect("a message")),
                Output::Transport(command) => self.commands.push(command),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn clear(&mut self) {
        self.drain();
        self.requests.clear();
        self.commands.clear();
        self.events.clear();
    }

    /// Lets the time go by; pings are answered, so that nothing but the waiting matters.
    fn wait(&mut self, time: Duration) {
        let end = self.now() + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            let now = self.clock.advance_to(at);
            self.session.handle_timeout(now);
            self.drain();
            let pings: Vec<i64> = self
                .requests
                .iter()
                .filter_map(
                    |request| if let Request::PingReq(ping) = request { Some(ping.timestamp) } else { None },
                )
                .collect();
            self.requests.retain(|request| !matches!(request, Request::PingReq(_)));
            for last_ping_timestamp in pings {
                self.receive(Response::PongResp(proto::Pong { last_ping_timestamp, timestamp: 0 }));
            }
        }
        self.clock.advance_to(end);
    }

    fn publish(&mut self) -> TrackHandle {
        let now = self.now();
        let handle = self.session.publish(now, TrackOptions::named("mine")).expect("a good name");
        self.drain();
        handle
    }

    fn subscribe(&mut self, track: &str) -> TrackSid {
        let track = TrackSid::try_from(track).expect("a SID");
        let now = self.now();
        self.session.subscribe(now, &track).expect("published");
        self.drain();
        track
    }

    fn unsubscribe(&mut self, track: &TrackSid) {
        let now = self.now();
        self.session.unsubscribe(now, track);
        self.drain();
    }

    fn handles(&mut self, entries: &[(u32, &str)]) {
        let entry = |(handle, track): &(u32, &str)| {
            let published = proto::data_track_subscriber_handles::PublishedDataTrack {
                publisher_identity: "robot".to_owned(),
                publisher_sid: "PA_robot".to_owned(),
                track_sid: (*track).to_owned(),
            };
            (*handle, published)
        };
        let sub_handles = entries.iter().map(entry).collect();
        self.receive(Response::DataTrackSubscriberHandles(proto::DataTrackSubscriberHandles { sub_handles }));
    }
}

fn join(other_participants: Vec<proto::ParticipantInfo>) -> proto::JoinResponse {
    proto::JoinResponse {
        room: Some(proto::Room { sid: "RM_yard".to_owned(), name: "yard".to_owned(), ..Default::default() }),
        participant: Some(participant("me", &[])),
        other_participants,
        ping_interval: 5,
        ping_timeout: 15,
        server_info: Some(proto::ServerInfo { protocol: 18, ..Default::default() }),
        ..Default::default()
    }
}

fn participant(identity: &str, tracks: &[&str]) -> proto::ParticipantInfo {
    let track = |(index, sid): (usize, &&str)| info(sid, index as u32 + 1);
    proto::ParticipantInfo {
        sid: format!("PA_{identity}"),
        identity: identity.to_owned(),
        version: 1,
        data_tracks: tracks.iter().enumerate().map(track).collect(),
        ..Default::default()
    }
}

fn info(sid: &str, pub_handle: u32) -> proto::DataTrackInfo {
    proto::DataTrackInfo { pub_handle, sid: sid.to_owned(), name: sid.to_lowercase(), ..Default::default() }
}

fn update(participants: Vec<proto::ParticipantInfo>) -> Response {
    Response::Update(proto::ParticipantUpdate { participants })
}

fn handle(value: u32) -> TrackHandle {
    TrackHandle::try_from(value).expect("a handle")
}

fn published(sid: &str, pub_handle: u32) -> Response {
    Response::PublishDataTrackResponse(proto::PublishDataTrackResponse { info: Some(info(sid, pub_handle)) })
}

fn unpublished(pub_handle: u32) -> Response {
    let info = Some(proto::DataTrackInfo { pub_handle, ..Default::default() });
    Response::UnpublishDataTrackResponse(proto::UnpublishDataTrackResponse { info })
}

fn refused(pub_handle: u32, reason: Reason) -> Response {
    let request =
        proto::PublishDataTrackRequest { pub_handle, name: "mine".to_owned(), ..Default::default() };
    Response::RequestResponse(proto::RequestResponse {
        reason: reason as i32,
        message: "because".to_owned(),
        request: Some(Refused::PublishDataTrack(request)),
        ..Default::default()
    })
}

fn names(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| format!("{event:?}").split([' ', '(']).next().unwrap_or_default().to_owned())
        .collect()
}

/// In the layout with two connections.
fn joined_dual(join: proto::JoinResponse) -> Harness {
    let mut harness = Harness::new();
    let mut config = SessionConfig::default();
    config.layout = Layout::Dual;
    harness.session = Session::new(config, harness.now());
    harness.receive(Response::Join(join));
    harness
}

fn primary(harness: &Harness) -> Target {
    let [Event::Joined(joined)] = &harness.events[..] else { panic!("{:?}", harness.events) };
    joined.primary
}

#[test]
fn of_two_connections_the_publishers_is_offered_at_once_when_the_server_wants_it_so() {
    let negotiated = TransportCommand::NegotiatedChannels(false);
    for (subscriber_primary, fast_publish) in [(true, true), (false, true), (false, false)] {
        let harness =
            joined_dual(proto::JoinResponse { subscriber_primary, fast_publish, ..join(Vec::new()) });
        assert_eq!(harness.commands, [negotiated.clone(), TransportCommand::MakeOffer]);
        let expected = if subscriber_primary { Target::Subscriber } else { Target::Publisher };
        assert_eq!(primary(&harness), expected);
    }
    let mut single = Harness::new();
    single.receive(Response::Join(proto::JoinResponse { subscriber_primary: true, ..join(Vec::new()) }));
    assert_eq!((primary(&single), single.commands.len()), (Target::Publisher, 1), "there is only one");
}

#[test]
fn of_two_connections_the_publishers_is_otherwise_offered_with_the_first_publication() {
    let mut harness = joined_dual(proto::JoinResponse { subscriber_primary: true, ..join(Vec::new()) });
    assert_eq!(harness.commands, [TransportCommand::NegotiatedChannels(false)]);
    harness.clear();
    let now = harness.now();
    assert!(harness.session.publish(now, TrackOptions::named("")).is_err());
    harness.drain();
    assert!(harness.commands.is_empty(), "nothing was published");
    for name in ["a", "b"] {
        harness.session.publish(now, TrackOptions::named(name)).expect("a handle");
    }
    harness.drain();
    assert_eq!(harness.commands, [TransportCommand::MakeOffer], "once");
    assert!(harness.requests.is_empty(), "the channel is not open yet");
    harness.session.send_offer("v=0".to_owned(), 1);
    harness.drain();
    assert!(
        matches!(&harness.requests[..], [Request::Offer(offer)] if (offer.sdp.as_str(), offer.id) == ("v=0", 1))
    );
    harness.session.handle_channel_open(now);
    harness.drain();
    assert_eq!(harness.requests.len(), 3);
}

#[test]
fn the_servers_offers_are_answered_and_candidates_say_for_which_connection_they_are() {
    let offer = || {
        Response::Offer(proto::SessionDescription { sdp: "theirs".to_owned(), id: 7, ..Default::default() })
    };
    let trickle = |target| {
        Response::Trickle(proto::TrickleRequest {
            candidate_init: "{}".to_owned(),
            target,
            ..Default::default()
        })
    };
    let mut harness = joined_dual(proto::JoinResponse { subscriber_primary: true, ..join(Vec::new()) });
    harness.clear();
    harness.receive(offer());
    for target in [0, 1, 9] {
        harness.receive(trickle(target));
    }
    let candidate = |target| TransportCommand::Candidate { target, candidate_init: "{}".to_owned() };
    assert_eq!(
        harness.commands,
        [
            TransportCommand::Offer { sdp: "theirs".to_owned(), id: 7 },
            candidate(Target::Publisher),
            candidate(Target::Subscriber)
        ]
    );
    assert_eq!(harness.session.counters().malformed, 1);
    harness.session.send_answer("ours".to_owned(), 7);
    harness.session.send_candidate(Target::Subscriber, "{}".to_owned());
    harness.drain();
    assert!(
        matches!(
            &harness.requests[..],
            [Request::Answer(answer), Request::Trickle(trickle)]
                if (answer.r#type.as_str(), answer.sdp.as_str(), answer.id, trickle.target) == ("answer", "ours", 7, 1)
        ),
        "{:?}",
        harness.requests
    );

    let mut single = Harness::joined();
    single.receive(offer());
    single.receive(trickle(1));
    assert!(single.commands.is_empty(), "there is no such connection");
}

#[test]
fn the_join_response_is_the_first_state() {
    let mut harness = Harness::new();
    harness.receive(Response::Pong(1));
    assert_eq!(harness.session.counters().ignored, 1, "what comes before `join` is dropped");
    harness.receive(Response::Join(join(vec![participant("robot", &["DTR_pose"])])));
    assert_eq!(harness.commands, [TransportCommand::NegotiatedChannels(true)]);
    let [Event::Joined(joined)] = &harness.events[..] else { panic!("{:?}", harness.events) };
    assert_eq!((&*joined.local.identity, joined.room.name.as_str()), ("me", "yard"));
    assert_eq!((&*joined.others[0].0.identity, &*joined.others[0].1[0].name), ("robot", "dtr_pose"));
    assert_eq!(harness.session.token(), None);
    harness.receive(Response::RefreshToken("newer".to_owned()));
    assert_eq!(harness.session.token(), Some("newer"));
}

#[test]
fn a_join_response_without_its_parts_ends_the_session_with_a_reason() {
    let without_room = proto::JoinResponse { room: None, ..join(Vec::new()) };
    let without_me = proto::JoinResponse { participant: None, ..join(Vec::new()) };
    let nobody = proto::JoinResponse { participant: Some(participant("", &[])), ..join(Vec::new()) };
    for broken in [without_room, without_me, nobody] {
        let mut harness = Harness::new();
        harness.receive(Response::Join(broken));
        let Some(Event::Disconnected(why)) = harness.events.last() else { panic!("{:?}", harness.events) };
        assert_eq!(why.reason, DisconnectReason::JoinFailure);
    }
}

#[test]
fn a_server_that_never_answers_the_join_is_given_up_after_five_seconds() {
    let mut harness = Harness::new();
    harness.wait(Duration::from_millis(4_999));
    assert_eq!(harness.events, []);
    harness.wait(Duration::from_millis(1));
    assert_eq!(names(&harness.events), ["Disconnected"]);
    assert_eq!(harness.session.poll_timeout(), None);
}

#[test]
fn pings_go_out_at_the_interval_and_measure_the_round_trip() {
    let mut harness = Harness::joined();
    let at = harness.session.poll_timeout().expect("the first ping");
    assert_eq!(at, harness.clock.at(Duration::from_secs(5)));
    harness.clock.advance_to(at);
    harness.session.handle_timeout(at);
    harness.drain();
    let [Request::PingReq(ping)] = &harness.requests[..] else { panic!("{:?}", harness.requests) };
    let timestamp = ping.timestamp;
    harness.clock.advance(Duration::from_millis(7));
    harness.receive(Response::PongResp(proto::Pong { last_ping_timestamp: timestamp + 1, timestamp: 0 }));
    assert_eq!(harness.session.rtt(), None, "an answer to something else");
    harness.receive(Response::PongResp(proto::Pong { last_ping_timestamp: timestamp, timestamp: 0 }));
    assert_eq!(harness.session.rtt(), Some(Duration::from_millis(7)));
}

#[test]
fn silence_ends_the_session_and_any_message_puts_that_off() {
    let mut harness = Harness::joined();
    let step = |harness: &mut Harness, seconds: u64| {
        let now = harness.clock.advance(Duration::from_secs(seconds));
        harness.session.handle_timeout(now);
        harness.drain();
    };
    step(&mut harness, 14);
    harness.receive(Response::Pong(1));
    step(&mut harness, 14);
    assert!(!harness.session.is_ended());
    step(&mut harness, 1);
    let Some(Event::Disconnected(why)) = harness.events.last() else { panic!("{:?}", harness.events) };
    assert_eq!((why.reason, why.action), (DisconnectReason::ConnectionTimeout, LeaveAction::Resume));
}

#[test]
fn garbage_intervals_are_replaced() {
    for (interval, timeout) in [(0, 0), (-5, -1), (i32::MIN, i32::MAX), (i32::MAX, 1), (1, 1)] {
        let mut harness = Harness::new();
        let ping_interval = interval;
        harness.receive(Response::Join(proto::JoinResponse {
            ping_interval,
            ping_timeout: timeout,
            ..join(Vec::new())
        }));
        harness.wait(Duration::from_secs(4 * 3600));
        assert!(!harness.session.is_ended(), "{interval} {timeout}");
    }
}

#[test]
fn leaving_says_so_and_is_the_last_event() {
    let mut harness = Harness::open();
    harness.publish();
    harness.subscribe("DTR_pose");
    harness.clear();
    harness.session.leave();
    harness.drain();
    let [Request::Leave(leave)] = &harness.requests[..] else { panic!("{:?}", harness.requests) };
    assert_eq!(leave.reason, proto::DisconnectReason::ClientInitiated as i32);
    assert_eq!(names(&harness.events), ["PublishFailed", "SubscribeFailed", "Disconnected"]);
    assert_eq!(harness.commands, [TransportCommand::Close]);
    harness.clear();
    harness.session.leave();
    harness.receive(update(vec![participant("late", &[])]));
    assert_eq!((harness.events.len(), harness.requests.len()), (0, 0));
    let now = harness.now();
    assert_eq!(harness.session.publish(now, TrackOptions::named("x")), Err(PublishError::Disconnected));
    let track = TrackSid::try_from("DTR_pose").expect("a SID");
    assert_eq!(harness.session.subscribe(now, &track), Err(SubscribeError::Disconnected));
}

#[test]
fn every_action_of_a_leave_is_passed_on() {
    use proto::leave_request::Action;
    let cases = [
        (Action::Disconnect, LeaveAction::Disconnect),
        (Action::Resume, LeaveAction::Resume),
        (Action::Reconnect, LeaveAction::Reconnect),
    ];
    for (action, expected) in cases {
        let mut harness = Harness::joined();
        let reason = proto::DisconnectReason::RoomDeleted as i32;
        harness.receive(Response::Leave(proto::LeaveRequest {
            reason,
            action: action as i32,
            ..Default::default()
        }));
        let [Event::Disconnected(why)] = &harness.events[..] else { panic!("{:?}", harness.events) };
        assert_eq!((why.reason, why.action), (DisconnectReason::RoomDeleted, expected));
    }
}

#[test]
fn publishing_waits_for_the_channel_and_then_for_the_answer() {
    let mut harness = Harness::joined();
    let first = harness.publish();
    assert_eq!((first.get(), harness.requests.len()), (1, 0));
    harness.wait(Duration::from_secs(14));
    harness.session.handle_channel_open(harness.now());
    harness.drain();
    assert!(matches!(&harness.requests[..], [Request::PublishDataTrackRequest(r)] if r.pub_handle == 1));
    harness.wait(Duration::from_secs(9));
    harness.receive(published("DTR_mine", 1));
    assert!(matches!(&harness.events[..], [Event::Published { handle, track }]
        if *handle == first && track.sid.as_str() == "DTR_mine"));
}

#[test]
fn a_channel_that_never_opens_and_a_server_that_never_answers_are_told_apart() {
    let mut harness = Harness::joined();
    harness.publish();
    harness.wait(Duration::from_secs(15));
    let error = PublishError::Timeout(PublishWait::Channel);
    assert_eq!(harness.events, [Event::PublishFailed { handle: handle(1), error }]);
    harness.session.handle_channel_open(harness.now());
    harness.clear();
    harness.publish();
    harness.wait(Duration::from_secs(10));
    let error = PublishError::Timeout(PublishWait::Response);
    assert_eq!(harness.events, [Event::PublishFailed { handle: handle(2), error }]);
    harness.clear();
    harness.receive(published("DTR_late", 2));
    assert!(matches!(&harness.requests[..], [Request::UnpublishDataTrackRequest(r)] if r.pub_handle == 2));
    assert_eq!(harness.events, [], "an answer that came too late is taken back");
}

#[test]
fn each_refusal_has_its_error_and_livekits_code() {
    let cases = [
        (Reason::NotAllowed, 5),
        (Reason::InvalidHandle, 1),
        (Reason::DuplicateHandle, 1),
        (Reason::InvalidName, 6),
        (Reason::DuplicateName, 2),
        (Reason::LimitExceeded, 7),
        (Reason::InvalidRequest, 10),
        (Reason::UnclassifiedError, 9),
        (Reason::Ok, 8),
    ];
    for (reason, code) in cases {
        let mut harness = Harness::open();
        let handle = harness.publish();
        harness.receive(refused(handle.into(), reason));
        let [Event::PublishFailed { error, .. }] = &harness.events[..] else {
            panic!("{:?}", harness.events)
        };
        assert_eq!(error.code(), code, "{reason:?}: {error}");
        harness.receive(refused(handle.into(), reason));
        assert_eq!(harness.session.counters().unexpected, 1, "only once");
    }
}

#[test]
fn names_are_checked_before_anything_is_sent_and_handles_are_never_used_again() {
    let mut harness = Harness::open();
    let now = harness.now();
    for len in [0, 257] {
        let refused = harness.session.publish(now, TrackOptions::named("x".repeat(len)));
        assert_eq!(refused, Err(PublishError::InvalidName { len }));
    }
    for number in 1..=u16::MAX {
        let handle = harness.publish();
        assert_eq!(handle.get(), number);
        harness.receive(refused(handle.into(), Reason::DuplicateName));
        harness.clear();
    }
    assert_eq!(harness.session.publish(now, TrackOptions::named("x")), Err(PublishError::LimitReached));
}

#[test]
fn unpublishing_ends_with_the_answer_not_found_or_the_time_out() {
    for answer in [Some(unpublished(1)), Some(not_found(1)), None] {
        let mut harness = Harness::open();
        let handle = harness.publish();
        harness.receive(published("DTR_mine", 1));
        harness.clear();
        let now = harness.now();
        harness.session.unpublish(now, handle);
        harness.session.unpublish(now, handle);
        harness.drain();
        assert_eq!(harness.requests.len(), 1, "asked once");
        match answer {
            Some(answer) => harness.receive(answer),
            None => harness.wait(Duration::from_secs(10)),
        }
        assert_eq!(harness.events, [Event::Unpublished { handle, cause: UnpublishCause::Local }]);
    }
}

fn not_found(pub_handle: u32) -> Response {
    let request = Refused::UnpublishDataTrack(proto::UnpublishDataTrackRequest { pub_handle });
    let reason = Reason::NotFound as i32;
    Response::RequestResponse(proto::RequestResponse { reason, request: Some(request), ..Default::default() })
}

#[test]
fn the_server_may_take_a_track_away() {
    let mut harness = Harness::open();
    let handle = harness.publish();
    harness.receive(published("DTR_mine", 1));
    harness.clear();
    harness.receive(unpublished(1));
    assert_eq!(harness.events, [Event::Unpublished { handle, cause: UnpublishCause::Server }]);
    harness.receive(unpublished(1));
    assert_eq!(harness.session.counters().unexpected, 1);
}

#[test]
fn a_track_given_up_while_it_was_being_published_is_unpublished_when_the_answer_comes() {
    let mut harness = Harness::open();
    let handle = harness.publish();
    harness.clear();
    harness.session.unpublish(harness.clock.now(), handle);
    harness.drain();
    assert_eq!((harness.requests.len(), names(&harness.events)), (0, vec!["Unpublished".to_owned()]));
    harness.receive(published("DTR_mine", 1));
    assert!(matches!(&harness.requests[..], [Request::UnpublishDataTrackRequest(_)]));
}

#[test]
fn an_answer_with_a_bad_sid_is_a_protocol_error_and_taken_back() {
    let mut harness = Harness::open();
    harness.publish();
    harness.clear();
    harness.receive(published("TR_wrong", 1));
    let [Event::PublishFailed { error, .. }] = &harness.events[..] else { panic!("{:?}", harness.events) };
    assert_eq!(error.code(), 8);
    assert!(matches!(&harness.requests[..], [Request::UnpublishDataTrackRequest(_)]));
}

#[test]
fn a_subscription_is_live_with_its_handle_and_absence_from_the_map_means_nothing() {
    let mut harness = Harness::joined();
    let track = harness.subscribe("DTR_pose");
    assert!(matches!(&harness.requests[..], [Request::UpdateDataSubscription(u)] if u.updates[0].subscribe));
    harness.handles(&[(300, "DTR_pose"), (301, "DTR_scan")]);
    assert_eq!(harness.events, [Event::Subscribed { track: track.clone(), handle: handle(300) }]);
    assert_eq!(harness.session.subscribed_track(handle(300)), Some(&track));
    assert_eq!(harness.session.subscribed_track(handle(301)), None, "nobody asked for it");
    harness.handles(&[]);
    assert_eq!(harness.session.subscribed_track(handle(300)), Some(&track));
    harness.clear();
    harness.handles(&[(7, "DTR_pose")]);
    assert_eq!(harness.events, [Event::Subscribed { track: track.clone(), handle: handle(7) }]);
    assert_eq!(harness.session.subscribed_track(handle(300)), None, "the new handle replaces the old one");
}

#[test]
fn bad_entries_of_a_handle_map_are_skipped_and_counted() {
    let mut harness = Harness::joined();
    let track = harness.subscribe("DTR_pose");
    harness.handles(&[(0, "DTR_pose"), (70_000, "DTR_pose"), (5, "PA_robot"), (6, ""), (9, "DTR_pose")]);
    assert_eq!(harness.events, [Event::Subscribed { track, handle: handle(9) }]);
    assert_eq!(harness.session.counters().malformed, 4);
}

#[test]
fn unsubscribing_is_said_only_for_a_track_with_a_handle() {
    let mut harness = Harness::joined();
    let track = harness.subscribe("DTR_pose");
    harness.clear();
    harness.unsubscribe(&track);
    assert_eq!(harness.requests, [], "the server could lock itself up");
    harness.handles(&[(5, "DTR_pose")]);
    assert!(matches!(&harness.requests[..], [Request::UpdateDataSubscription(u)] if !u.updates[0].subscribe));
    assert_eq!(harness.events, []);
    harness.clear();
    harness.unsubscribe(&track);
    assert_eq!(harness.requests, []);
}

#[test]
fn a_subscription_that_timed_out_is_ended_when_its_handle_comes_late() {
    let mut harness = Harness::joined();
    let track = harness.subscribe("DTR_pose");
    harness.clear();
    harness.wait(Duration::from_secs(10));
    let error = SubscribeError::Timeout;
    assert_eq!(harness.events, [Event::SubscribeFailed { track: track.clone(), error }]);
    assert_eq!(harness.requests, []);
    harness.handles(&[(5, "DTR_pose")]);
    assert!(matches!(&harness.requests[..], [Request::UpdateDataSubscription(u)] if !u.updates[0].subscribe));
    harness.clear();
    let again = harness.subscribe("DTR_pose");
    harness.handles(&[(6, "DTR_pose")]);
    assert_eq!(harness.events, [Event::Subscribed { track: again, handle: handle(6) }]);
}

#[test]
fn only_published_tracks_can_be_subscribed_to_and_a_track_that_goes_takes_its_subscription() {
    let mut harness = Harness::joined();
    let unknown = TrackSid::try_from("DTR_unknown").expect("a SID");
    let now = harness.now();
    assert_eq!(harness.session.subscribe(now, &unknown), Err(SubscribeError::Unpublished));
    let pose = harness.subscribe("DTR_pose");
    let scan = harness.subscribe("DTR_scan");
    harness.handles(&[(5, "DTR_pose")]);
    harness.clear();
    harness.receive(update(vec![participant("robot", &[])]));
    assert_eq!(names(&harness.events), ["TrackUnpublished", "TrackUnpublished", "SubscribeFailed"]);
    assert_eq!(harness.session.subscribed_track(handle(5)), None);
    assert_eq!(harness.session.subscribe(now, &pose), Err(SubscribeError::Unpublished));
    assert!(harness.session.track(&scan).is_none());
}

#[test]
fn updates_are_compared_with_what_is_known() {
    let mut harness = Harness::joined();
    let mut robot = participant("robot", &["DTR_pose", "DTR_scan", "DTR_new"]);
    harness.receive(update(vec![robot.clone()]));
    assert_eq!(names(&harness.events), ["TrackPublished"], "an equal version brings a new track");
    harness.clear();
    robot.version = 0;
    robot.data_tracks.clear();
    harness.receive(update(vec![robot.clone()]));
    assert_eq!(harness.events, [], "a lower version is old");
    assert_eq!(harness.session.counters().outdated, 1);
    robot.version = 3;
    robot.metadata = "moved".to_owned();
    harness.receive(update(vec![robot.clone(), participant("arm", &["DTR_joint"])]));
    let expected = [
        "ParticipantChanged",
        "TrackUnpublished",
        "TrackUnpublished",
        "TrackUnpublished",
        "ParticipantJoined",
        "TrackPublished",
    ];
    assert_eq!(names(&harness.events), expected);
    harness.clear();
    robot.state = proto::participant_info::State::Disconnected as i32;
    robot.disconnect_reason = proto::DisconnectReason::ParticipantRemoved as i32;
    harness.receive(update(vec![robot.clone(), robot]));
    assert!(
        matches!(&harness.events[..], [Event::ParticipantLeft { reason, .. }]
        if *reason == DisconnectReason::ParticipantRemoved),
        "once"
    );
}

#[test]
fn the_same_identity_with_a_new_sid_is_a_new_stay_and_the_end_of_the_old_one_is_no_news() {
    let mut harness = Harness::joined();
    let mut second = participant("robot", &["DTR_again"]);
    second.sid = "PA_second".to_owned();
    harness.receive(update(vec![second]));
    let expected =
        ["TrackUnpublished", "TrackUnpublished", "ParticipantLeft", "ParticipantJoined", "TrackPublished"];
    assert_eq!(names(&harness.events), expected);
    harness.clear();
    let mut first = participant("robot", &[]);
    first.state = proto::participant_info::State::Disconnected as i32;
    harness.receive(update(vec![first]));
    assert_eq!(harness.events, []);
}

#[test]
fn bad_participants_and_tracks_are_skipped_and_counted() {
    let mut harness = Harness::joined();
    let bad_sid = proto::ParticipantInfo { sid: "XX".to_owned(), ..participant("a", &[]) };
    let stolen = participant("b", &["DTR_pose", "nonsense", "DTR_own", "DTR_own"]);
    let mut zero = participant("c", &["DTR_zero"]);
    zero.data_tracks[0].pub_handle = 0;
    harness.receive(update(vec![bad_sid, participant("", &[]), stolen, zero]));
    assert_eq!(names(&harness.events), ["ParticipantJoined", "TrackPublished", "ParticipantJoined"]);
    assert_eq!(harness.session.counters().malformed, 6);
}

#[test]
fn participants_and_tracks_are_bounded() {
    let mut config = SessionConfig::default();
    config.max_participants = 3;
    config.max_tracks = 2;
    let clock = VirtualClock::new();
    let mut session = Session::new(config, clock.now());
    let crowd = (0..10).map(|index| participant(&format!("p{index}"), &[&format!("DTR_{index}")])).collect();
    session.handle_signal(clock.now(), proto::SignalResponse { message: Some(Response::Join(join(crowd))) });
    assert_eq!(session.participants().count(), 3);
    assert_eq!(session.participants().map(|(_, tracks)| tracks.count()).sum::<usize>(), 2);
    assert_eq!(session.counters().over_limit, 7 + 1);
}

#[test]
fn a_room_update_without_a_room_is_counted() {
    let mut harness = Harness::joined();
    harness.receive(Response::RoomUpdate(proto::RoomUpdate { room: None }));
    assert_eq!((harness.session.counters().malformed, harness.events.len()), (1, 0));
    let room = proto::Room { sid: "RM_late".to_owned(), metadata: "news".to_owned(), ..Default::default() };
    harness.receive(Response::RoomUpdate(proto::RoomUpdate { room: Some(room) }));
    assert!(matches!(&harness.events[..], [Event::RoomChanged(room)] if room.metadata == "news"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever parses as a message does no harm, before and after the join.
    #[test]
    fn any_bytes_that_parse_are_survived(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..20)) {
        let mut harness = Harness::open();
        harness.publish();
        harness.subscribe("DTR_pose");
        for bytes in messages {
            if let Ok(message) = proto::SignalResponse::decode(&*bytes) {
                let now = harness.clock.advance(Duration::from_millis(300));
                harness.session.handle_signal(now, message);
                harness.session.handle_timeout(now);
                harness.drain();
            }
        }
        let participants = harness.session.participants().count();
        prop_assert!(participants <= 2 + 20);
    }
}
