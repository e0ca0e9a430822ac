//! Schemas, data blobs and the own metadata: client session and server room together, and each with a bad partner.

use std::time::Duration;

use livekit_protocol as proto;
use proto::data_blob_key::Key;
use proto::request_response::Reason;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tramline_core::forward::PeerKey;
use tramline_core::room::{Grants, MAX_BLOBS_LEN};
use tramline_core::schema::{FrameEncoding, SchemaEncoding, SchemaError, SchemaId};
use tramline_core::session::{
    DefineSchemaError, Event, FetchSchemaError, Output, PublishError, SelfUpdate, Session, SessionConfig,
    UpdateError,
};
use tramline_core::track::{Encryption, TrackOptions};
use tramline_sim::VirtualClock;

use crate::world::{World, config};

#[test]
fn a_schema_that_one_defines_the_other_fetches_until_its_author_is_gone() {
    let mut world = World::new(1);
    let (robot, watcher) = (world.active("robot"), world.active("watcher"));
    let custom = SchemaId::new("pose", SchemaEncoding::Custom("mine".into()));
    assert_eq!(define(&mut world, robot, &pose(), "syntax = \"proto3\";"), Ok(()));
    assert_eq!(define(&mut world, robot, &custom, "x: f32, y: f32"), Ok(()));
    assert_eq!(fetch(&mut world, watcher, "robot", &pose()).as_deref(), Ok("syntax = \"proto3\";"));
    assert_eq!(fetch(&mut world, watcher, "robot", &custom).as_deref(), Ok("x: f32, y: f32"));
    assert_eq!(fetch(&mut world, robot, "robot", &pose()).as_deref(), Ok("syntax = \"proto3\";"));

    assert_eq!(define(&mut world, robot, &pose(), "newer"), Ok(()));
    assert_eq!(fetch(&mut world, watcher, "robot", &pose()).as_deref(), Ok("newer"));

    let not_found = |text: &str| Err(FetchSchemaError::NotFound(text.to_owned()));
    assert_eq!(fetch(&mut world, robot, "watcher", &pose()), not_found("data blob not found"));
    assert_eq!(fetch(&mut world, robot, "nobody", &pose()), not_found("participant not found"));
    world.leave(robot);
    assert_eq!(fetch(&mut world, watcher, "robot", &pose()), not_found("participant not found"));
    world.active("robot");
    assert_eq!(fetch(&mut world, watcher, "robot", &pose()), not_found("data blob not found"));
}

#[test]
fn all_schemas_of_a_participant_share_one_limit_and_one_that_is_defined_again_counts_twice() {
    let mut world = World::new(1);
    let (robot, other) = (world.active("robot"), world.active("other"));
    assert_eq!(define(&mut world, robot, &pose(), &"x".repeat(60_000)), Ok(()));
    assert_eq!(
        define(&mut world, robot, &pose(), &"y".repeat(60_000)),
        Err(DefineSchemaError::LimitExceeded),
        "as with LiveKit's server, the old one counts until it is replaced"
    );
    let kept = fetch(&mut world, other, "robot", &pose()).expect("still there");
    assert!(kept.bytes().all(|byte| byte == b'x'));
    assert_eq!(define(&mut world, robot, &pose(), "short"), Ok(()));
    assert_eq!(define(&mut world, robot, &pose(), &"z".repeat(60_000)), Ok(()), "the long one is gone");
    assert_eq!(define(&mut world, other, &pose(), &"x".repeat(60_000)), Ok(()), "everybody has its own");

    // Nothing is sent for what no server takes.
    let now = world.now();
    let session = &mut world.client(robot).session;
    let too_long = "x".repeat(MAX_BLOBS_LEN + 1);
    assert_eq!(session.define_schema(now, &pose(), &too_long), Err(DefineSchemaError::LimitExceeded));
    assert_eq!(session.define_schema(now, &pose(), ""), Err(DefineSchemaError::Empty));
    let nameless = SchemaId::new("", SchemaEncoding::Protobuf);
    let error = Err(DefineSchemaError::Id(SchemaError::NameLength { len: 0 }));
    assert_eq!(session.define_schema(now, &nameless, "x"), error);
    assert_eq!(session.poll_output(), None);
}

#[test]
fn a_server_without_data_blobs_means_no_schemas_and_tracks_that_name_one_all_the_same() {
    let mut config = config();
    config.data_blobs = false;
    let mut world = World::with(1, config, Duration::ZERO);
    let (robot, watcher) = (world.active("robot"), world.active("watcher"));
    assert_eq!(define(&mut world, robot, &pose(), "x"), Err(DefineSchemaError::NotAvailable));
    let not_found = FetchSchemaError::NotFound("data blob not found".to_owned());
    assert_eq!(fetch(&mut world, watcher, "robot", &pose()), Err(not_found));

    let now = world.now();
    let options = TrackOptions {
        encryption: Encryption::Gcm,
        frame_encoding: Some(FrameEncoding::Protobuf),
        schema: Some(pose()),
        ..TrackOptions::named("pose")
    };
    world.client(robot).session.publish(now, options).expect("they go together");
    world.run(Duration::from_millis(20));
    let seen = world.events(watcher).into_iter().find_map(|event| match event {
        Event::TrackPublished { track, .. } => Some(track),
        _ => None,
    });
    let own = world.events(robot).into_iter().find_map(|event| match event {
        Event::Published { track, .. } => Some(track),
        _ => None,
    });
    for track in [seen, own] {
        let track = track.expect("published");
        assert_eq!(
            (track.encryption, &track.frame_encoding),
            (Encryption::Gcm, &Some(FrameEncoding::Protobuf))
        );
        assert_eq!(track.schema, Some(pose()));
    }
}

#[test]
fn encodings_that_do_not_go_together_are_refused_before_the_server_is_asked() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let now = world.now();
    let session = &mut world.client(robot).session;
    let options = TrackOptions {
        frame_encoding: Some(FrameEncoding::Json),
        schema: Some(pose()),
        ..TrackOptions::named("pose")
    };
    let error = session.publish(now, options).expect_err("JSON is not described by protocol buffers");
    let expected =
        SchemaError::Incompatible { frames: FrameEncoding::Json, schema: SchemaEncoding::Protobuf };
    assert_eq!((error.code(), error.is_retryable()), (10, false));
    assert_eq!(error, PublishError::IncompatibleSchema(expected));
    assert_eq!(session.poll_output(), None);
    let handle = session.publish(now, TrackOptions::named("pose")).expect("a good name");
    assert_eq!(handle.get(), 1, "no handle was used up");
}

#[test]
fn every_refusal_of_a_blob_has_its_reason_and_the_id_of_its_request() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let custom =
        |name: &str| Key::SchemaId(SchemaId::new("s", SchemaEncoding::Custom(name.to_owned())).into());
    let store = |key: Option<Key>, contents: &[u8]| {
        let key = key.map(|key| proto::DataBlobKey { key: Some(key) });
        let blob = Some(proto::DataBlob { key, contents: contents.to_vec() });
        Request::StoreDataBlobRequest(proto::StoreDataBlobRequest { request_id: 7, blob })
    };
    // `generic:""` has 10 bytes.
    let generic = |len: usize| Some(Key::Generic("k".repeat(len - 10)));
    let get = |key: Option<proto::DataBlobKey>, identity: &str| {
        let participant_identity = identity.to_owned();
        Request::GetDataBlobRequest(proto::GetDataBlobRequest { request_id: 7, participant_identity, key })
    };
    let known = Some(proto::DataBlobKey { key: generic(256) });
    let empty = proto::DataBlobKey { key: None };
    let cases = [
        (store(None, b"x"), Some(Reason::InvalidRequest)),
        (
            Request::StoreDataBlobRequest(proto::StoreDataBlobRequest { request_id: 7, blob: None }),
            Some(Reason::InvalidRequest),
        ),
        (store(generic(257), b"x"), Some(Reason::InvalidRequest)),
        (store(Some(custom("")), b"x"), Some(Reason::InvalidRequest)),
        (store(Some(custom(&"c".repeat(33))), b"x"), Some(Reason::InvalidRequest)),
        (store(generic(11), b""), Some(Reason::InvalidRequest)),
        (store(generic(11), &[0; 63_990]), Some(Reason::LimitExceeded)),
        (store(generic(11), &[0; 63_000]), None),
        (store(generic(12), &[0; 978]), Some(Reason::LimitExceeded)),
        (store(generic(12), &[0; 721]), None),
        (store(Some(custom(&"c".repeat(32))), b"x"), None),
        (get(None, "robot"), Some(Reason::InvalidRequest)),
        (get(known.clone(), "nobody"), Some(Reason::NotFound)),
        (get(known, "robot"), Some(Reason::NotFound)),
        (get(Some(empty), "robot"), Some(Reason::NotFound)),
        (get(Some(proto::DataBlobKey { key: generic(12) }), "robot"), None),
    ];
    for (index, (request, refusal)) in cases.into_iter().enumerate() {
        world.received(robot);
        world.send(robot, request);
        let messages = world.received(robot);
        let [message] = &messages[..] else { panic!("case {index}: {messages:?}") };
        let (id, reason) = match message {
            Response::RequestResponse(response) => {
                assert_eq!(response.request, None, "case {index}");
                (response.request_id, Reason::try_from(response.reason).ok())
            }
            Response::StoreDataBlobResponse(response) => (response.request_id, None),
            Response::GetDataBlobResponse(response) => {
                let blob = response.blob.as_ref().expect("found");
                assert_eq!(
                    (blob.contents.len(), blob.key.clone().and_then(|key| key.key)),
                    (721, generic(12))
                );
                (response.request_id, None)
            }
            other => panic!("case {index}: {other:?}"),
        };
        assert_eq!((id, reason), (7, refusal), "case {index}");
    }
    assert_eq!(world.room.counters().refused, 12);
}

#[test]
fn contents_that_are_no_text_are_an_error_of_that_request_alone() {
    let mut world = World::new(1);
    let (robot, watcher) = (world.active("robot"), world.active("watcher"));
    let key = Some(proto::DataBlobKey { key: Some(Key::SchemaId(pose().into())) });
    let blob = Some(proto::DataBlob { key, contents: vec![0xff, 0xfe] });
    let request = proto::StoreDataBlobRequest { request_id: 9, blob };
    world.send(robot, Request::StoreDataBlobRequest(request));
    assert_eq!(world.client(robot).session.counters().unexpected, 1, "its session had not asked");
    assert_eq!(fetch(&mut world, watcher, "robot", &pose()), Err(FetchSchemaError::Malformed));
    assert_eq!(world.client(watcher).session.counters().malformed, 1);
    assert_eq!(define(&mut world, robot, &pose(), "text"), Ok(()));
    assert_eq!(fetch(&mut world, watcher, "robot", &pose()).as_deref(), Ok("text"));
}

#[test]
fn a_participant_changes_what_the_others_see_of_it() {
    let mut world = World::new(1);
    let mut grants = Grants::default();
    grants.can_update_own_metadata = true;
    let (robot, watcher) = (world.active_as("robot", grants), world.active("watcher"));
    let attributes = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let update = SelfUpdate {
        name: Some("Robbie".into()),
        metadata: Some("{}".into()),
        attributes: attributes(&[("battery", "80"), ("mode", "auto")]),
    };
    assert_eq!(update_self(&mut world, robot, update), Ok(()));
    let only =
        SelfUpdate { attributes: attributes(&[("mode", ""), ("battery", "79")]), ..Default::default() };
    assert_eq!(update_self(&mut world, robot, only), Ok(()));
    world.run(Duration::from_millis(20));
    let local = world.client(robot).session.local().expect("joined").clone();
    let mut others = world.client(watcher).session.participants();
    let seen = others.find_map(|(who, _)| (&*who.identity == "robot").then(|| who.clone()));
    drop(others);
    for info in [local, seen.expect("there")] {
        assert_eq!((info.name.as_str(), info.metadata.as_str()), ("Robbie", "{}"));
        assert_eq!(info.attributes, attributes(&[("battery", "79")]));
    }

    let metadata = |len: usize| SelfUpdate { metadata: Some("m".repeat(len)), ..Default::default() };
    let full = SelfUpdate { attributes: attributes(&[("k", &"v".repeat(65_500))]), ..Default::default() };
    assert_eq!(update_self(&mut world, watcher, metadata(1)), Err(UpdateError::NotAllowed));
    assert_eq!(
        update_self(&mut world, robot, metadata(0)),
        Err(UpdateError::CannotClear { what: "metadata" })
    );
    assert_eq!(
        update_self(&mut world, robot, metadata(524_289)),
        Err(UpdateError::TooLong { what: "metadata", len: 524_289, limit: 524_288 })
    );
    assert_eq!(update_self(&mut world, robot, metadata(524_288)), Ok(()));
    assert_eq!(update_self(&mut world, robot, full.clone()), Ok(()));
    let more = SelfUpdate { attributes: attributes(&[("l", &"v".repeat(100))]), ..Default::default() };
    assert!(matches!(update_self(&mut world, robot, more), Err(UpdateError::LimitExceeded(_))));
}

#[test]
fn requests_that_nobody_answers_fail_after_five_seconds_and_late_answers_are_counted() {
    let (mut clock, mut session) = joined();
    let now = clock.now();
    let define = session.define_schema(now, &pose(), "x").expect("joined");
    let fetch = session.fetch_schema(now, "robot", &pose()).expect("joined");
    let update = session.update_self(now, SelfUpdate::default()).expect("joined");
    let sent = drain(&mut session).0;
    let [
        Request::StoreDataBlobRequest(stored),
        Request::GetDataBlobRequest(got),
        Request::UpdateMetadata(updated),
    ] = &sent[..]
    else {
        panic!("{sent:?}")
    };
    assert_eq!([stored.request_id, got.request_id, updated.request_id], [1, 2, 3]);

    let before = clock.advance(Duration::from_millis(4_999));
    session.handle_timeout(before);
    assert_eq!(drain(&mut session).1, []);
    let now = clock.advance(Duration::from_millis(1));
    assert!(session.poll_timeout().is_some_and(|at| at <= now));
    session.handle_timeout(now);
    assert_eq!(
        drain(&mut session).1,
        [
            Event::SchemaDefined { request: define, result: Err(DefineSchemaError::Timeout) },
            Event::SchemaFetched { request: fetch, result: Err(FetchSchemaError::Timeout) },
            Event::SelfUpdated { request: update, result: Err(UpdateError::Timeout) },
        ]
    );
    for late in [stored_response(1), fetched_response(2, "x"), response(3, Reason::Ok)] {
        receive(&mut session, now, late);
    }
    assert_eq!((drain(&mut session).1, session.counters().unexpected), (vec![], 3));
}

#[test]
fn an_answer_of_the_wrong_kind_answers_nothing_and_queued_is_no_answer() {
    let (clock, mut session) = joined();
    let now = clock.now();
    let define = session.define_schema(now, &pose(), "x").expect("joined");
    let fetch = session.fetch_schema(now, "robot", &pose()).expect("joined");
    let update = session.update_self(now, SelfUpdate::default()).expect("joined");
    drain(&mut session);
    for message in [
        fetched_response(1, "x"),
        stored_response(2),
        stored_response(3),
        stored_response(4),
        response(4, Reason::NotFound),
    ] {
        receive(&mut session, now, message);
    }
    assert_eq!(session.counters().unexpected, 5);
    for id in [1, 2, 3] {
        receive(&mut session, now, response(id, Reason::Queued));
    }
    receive(&mut session, now, response(1, Reason::Ok));
    assert_eq!(drain(&mut session).1, []);

    receive(&mut session, now, response(1, Reason::UnclassifiedError));
    receive(&mut session, now, response(2, Reason::NotAllowed));
    receive(&mut session, now, response(3, Reason::Ok));
    receive(&mut session, now, response(3, Reason::Ok));
    let refused = DefineSchemaError::Refused("unclassified_error".into());
    assert_eq!(
        drain(&mut session).1,
        [
            Event::SchemaDefined { request: define, result: Err(refused) },
            Event::SchemaFetched { request: fetch, result: Err(FetchSchemaError::NotAvailable) },
            Event::SelfUpdated { request: update, result: Ok(()) },
        ]
    );
    assert_eq!(session.counters().unexpected, 6, "one answer to one request");
}

#[test]
fn the_end_of_the_session_ends_its_requests_first() {
    let (clock, mut session) = joined();
    let now = clock.now();
    let define = session.define_schema(now, &pose(), "x").expect("joined");
    session.leave();
    let events = drain(&mut session).1;
    let [first, Event::Disconnected(_)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        *first,
        Event::SchemaDefined { request: define, result: Err(DefineSchemaError::Disconnected) }
    );
    assert_eq!(session.define_schema(now, &pose(), "x"), Err(DefineSchemaError::Disconnected));
    assert_eq!(session.fetch_schema(now, "robot", &pose()), Err(FetchSchemaError::Disconnected));
    assert_eq!(session.update_self(now, SelfUpdate::default()), Err(UpdateError::Disconnected));
    assert_eq!((drain(&mut session).1, session.poll_timeout()), (vec![], None));
}

fn pose() -> SchemaId {
    SchemaId::new("pose", SchemaEncoding::Protobuf)
}

fn define(world: &mut World, who: PeerKey, schema: &SchemaId, text: &str) -> Result<(), DefineSchemaError> {
    let now = world.now();
    let id = world.client(who).session.define_schema(now, schema, text)?;
    world.run(Duration::ZERO);
    let mut events = world.events(who).into_iter();
    let answer = events.find_map(|event| match event {
        Event::SchemaDefined { request, result } if request == id => Some(result),
        _ => None,
    });
    answer.expect("answered at once")
}

fn fetch(
    world: &mut World,
    who: PeerKey,
    publisher: &str,
    schema: &SchemaId,
) -> Result<String, FetchSchemaError> {
    let now = world.now();
    let id = world.client(who).session.fetch_schema(now, publisher, schema)?;
    world.run(Duration::ZERO);
    let mut events = world.events(who).into_iter();
    let answer = events.find_map(|event| match event {
        Event::SchemaFetched { request, result } if request == id => Some(result),
        _ => None,
    });
    answer.expect("answered at once").map(|text| text.to_string())
}

fn update_self(world: &mut World, who: PeerKey, update: SelfUpdate) -> Result<(), UpdateError> {
    let now = world.now();
    let id = world.client(who).session.update_self(now, update)?;
    world.run(Duration::ZERO);
    let mut events = world.events(who).into_iter();
    let answer = events.find_map(|event| match event {
        Event::SelfUpdated { request, result } if request == id => Some(result),
        _ => None,
    });
    answer.expect("answered at once")
}

/// A session that has joined and whose server says what the test says.
fn joined() -> (VirtualClock, Session) {
    let clock = VirtualClock::new();
    let mut session = Session::new(SessionConfig::default(), clock.now());
    let participant =
        proto::ParticipantInfo { sid: "PA_me".into(), identity: "me".into(), ..Default::default() };
    let join = proto::JoinResponse {
        room: Some(proto::Room::default()),
        participant: Some(participant),
        ping_interval: 60,
        ping_timeout: 180,
        ..Default::default()
    };
    receive(&mut session, clock.now(), Response::Join(join));
    drain(&mut session);
    (clock, session)
}

fn receive(session: &mut Session, now: std::time::Instant, message: Response) {
    session.handle_signal(now, proto::SignalResponse { message: Some(message) });
}

fn drain(session: &mut Session) -> (Vec<Request>, Vec<Event>) {
    let (mut requests, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = session.poll_output() {
        match output {
            Output::Signal(message) => requests.extend(message.message),
            Output::Event(event) => events.push(event),
            Output::Transport(_) => {}
        }
    }
    (requests, events)
}

fn response(request_id: u32, reason: Reason) -> Response {
    Response::RequestResponse(proto::RequestResponse {
        request_id,
        reason: reason as i32,
        ..Default::default()
    })
}

fn stored_response(request_id: u32) -> Response {
    Response::StoreDataBlobResponse(proto::StoreDataBlobResponse { request_id, key: None })
}

fn fetched_response(request_id: u32, text: &str) -> Response {
    let blob = Some(proto::DataBlob { key: None, contents: text.into() });
    Response::GetDataBlobResponse(proto::GetDataBlobResponse { request_id, blob })
}
