//! The server's room alone: refusals, updates, handles, ends.

use std::collections::BTreeMap;
use std::time::Duration;

use livekit_protocol as proto;
use proptest::prelude::*;
use prost::Message as _;
use proto::data_track_subscriber_handles::PublishedDataTrack;
use proto::request_response::{Reason, Request as Refused};
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tramline_core::forward::PeerKey;
use tramline_core::leave::{DisconnectReason, LeaveAction};
use tramline_core::room::{Grants, JoinError, TransportEnd};
use tramline_wire::TrackHandle;

use crate::world::{World, config};

fn publish(pub_handle: u32, name: &str) -> proto::PublishDataTrackRequest {
    proto::PublishDataTrackRequest { pub_handle, name: name.to_owned(), ..Default::default() }
}

fn subscribe(track_sid: &str, subscribe: bool) -> Request {
    let update =
        proto::update_data_subscription::Update { track_sid: track_sid.to_owned(), subscribe, options: None };
    Request::UpdateDataSubscription(proto::UpdateDataSubscription { updates: vec![update] })
}

fn refusal(messages: Vec<Response>) -> (Reason, String, Option<Refused>) {
    let refused = messages.into_iter().find_map(|message| match message {
        Response::RequestResponse(response) => Some(response),
        _ => None,
    });
    let refused = refused.expect("a refusal");
    (Reason::try_from(refused.reason).expect("a reason"), refused.message, refused.request)
}

fn updates(messages: &[Response]) -> Vec<&proto::ParticipantUpdate> {
    messages
        .iter()
        .filter_map(|message| if let Response::Update(update) = message { Some(update) } else { None })
        .collect()
}

fn maps(messages: &[Response]) -> Vec<Vec<(u32, String)>> {
    let map = |message: &Response| match message {
        Response::DataTrackSubscriberHandles(map) => {
            let entries: BTreeMap<u32, PublishedDataTrack> = map.sub_handles.clone().into_iter().collect();
            let entries =
                entries.into_iter().map(|(handle, published)| (handle, published.track_sid)).collect();
            Some(entries)
        }
        _ => None,
    };
    messages.iter().filter_map(map).collect()
}

fn with(change: impl FnOnce(&mut Grants)) -> Grants {
    let mut grants = Grants::default();
    change(&mut grants);
    grants
}

const TICK: Duration = Duration::from_millis(10);

#[test]
fn every_refusal_to_publish_has_livekits_reason_and_words() {
    let mut world = World::new(1);
    let peer = world.active("robot");
    let mute = world.active_as("mute", with(|grants| grants.can_publish_data = false));
    world.publish(peer, "taken");
    world.run(TICK);
    let custom = |name: &str| {
        let value = Some(proto::data_track_frame_encoding::Value::Custom(name.to_owned()));
        Some(proto::DataTrackFrameEncoding { value })
    };
    let schema = |name: &str| {
        let value = Some(proto::data_track_schema_encoding::Value::Custom(name.to_owned()));
        let encoding = Some(proto::DataTrackSchemaEncoding { value });
        Some(proto::DataTrackSchemaId { name: "s".to_owned(), encoding })
    };
    let handle = "handle should be > 0 AND < 65536";
    let name = "name should not be empty and should not exceed 256 characters";
    let cases = [
        (mute, publish(0, ""), Reason::NotAllowed, "does not have permission to publish data"),
        (peer, publish(0, ""), Reason::InvalidHandle, handle),
        (peer, publish(65_536, "x"), Reason::InvalidHandle, handle),
        (peer, publish(1, ""), Reason::InvalidName, name),
        (peer, publish(2, &"x".repeat(257)), Reason::InvalidName, name),
        (
            peer,
            proto::PublishDataTrackRequest { frame_encoding: custom(""), ..publish(1, "x") },
            Reason::InvalidRequest,
            "a custom frame encoding has 1 to 32 bytes",
        ),
        (
            peer,
            proto::PublishDataTrackRequest { schema: schema(&"x".repeat(33)), ..publish(1, "x") },
            Reason::InvalidRequest,
            "a custom schema encoding has 1 to 32 bytes",
        ),
        (peer, publish(1, "taken"), Reason::DuplicateHandle, "a data track with same handle already exists"),
        (peer, publish(2, "taken"), Reason::DuplicateName, "a data track with same name already exists"),
    ];
    for (peer, request, reason, message) in cases {
        world.received(peer);
        world.send(peer, Request::PublishDataTrackRequest(request.clone()));
        let (found, text, echo) = refusal(world.received(peer));
        assert_eq!((found, text.as_str()), (reason, message));
        assert_eq!(
            echo,
            Some(Refused::PublishDataTrack(request)),
            "the client finds its request by the echo"
        );
    }
    assert_eq!(world.room.counters().refused, 9);
    world.send(peer, Request::PublishDataTrackRequest(publish(65_535, &"x".repeat(256))));
    assert!(matches!(&world.received(peer)[..], [Response::PublishDataTrackResponse(_)]));
}

#[test]
fn tracks_are_bounded() {
    let mut config = config();
    config.max_tracks = 2;
    let mut world = World::with(1, config, Duration::ZERO);
    let peer = world.active("robot");
    for (handle, name) in [(1, "a"), (2, "b"), (3, "c")] {
        world.send(peer, Request::PublishDataTrackRequest(publish(handle, name)));
    }
    assert_eq!(refusal(world.received(peer)).0, Reason::LimitExceeded);
}

#[test]
fn unpublishing_what_is_not_there_is_answered_so_that_browsers_go_on() {
    let mut world = World::new(1);
    let peer = world.active("robot");
    world.received(peer);
    let request = proto::UnpublishDataTrackRequest { pub_handle: 5 };
    world.send(peer, Request::UnpublishDataTrackRequest(request));
    let messages = world.received(peer);
    let [Response::RequestResponse(refused), Response::UnpublishDataTrackResponse(response)] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert_eq!(refused.reason, Reason::NotFound as i32);
    assert_eq!(refused.request, Some(Refused::UnpublishDataTrack(request)));
    assert_eq!(response.info.as_ref().map(|info| info.pub_handle), Some(5));
}

#[test]
fn changes_within_ten_milliseconds_are_one_update_and_the_publisher_gets_none() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let watcher = world.active("watcher");
    world.run(Duration::from_secs(1));
    world.received(robot);
    world.received(watcher);
    for index in 0..20 {
        world.publish(robot, &format!("track-{index}"));
    }
    world.run(TICK);
    let messages = world.received(watcher);
    let updates = updates(&messages);
    // The first change goes out at once, the others wait for the tick.
    assert_eq!(updates.len(), 2);
    assert_eq!(updates[0].participants[0].data_tracks.len(), 1);
    assert_eq!(updates[1].participants[0].data_tracks.len(), 20);
    assert!(updates[1].participants[0].version > updates[0].participants[0].version);
    let own = world.received(robot);
    assert!(!own.iter().any(|message| matches!(message, Response::Update(_))), "{own:?}");
    assert_eq!(own.iter().filter(|m| matches!(m, Response::PublishDataTrackResponse(_))).count(), 20);
}

#[test]
fn a_newcomer_is_not_told_again_what_its_join_response_said() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    world.publish(robot, "pose");
    world.publish(robot, "scan");
    let late = world.join("late");
    world.run(TICK);
    let messages = world.received(late);
    assert!(
        matches!(&messages[0], Response::Join(join) if join.other_participants[0].data_tracks.len() == 2)
    );
    assert_eq!(updates(&messages).len(), 0, "{messages:?}");
}

#[test]
fn an_update_is_cut_before_it_grows_too_long() {
    let mut world = World::new(1);
    let watcher = world.active("watcher");
    world.run(Duration::from_secs(1));
    let peers: Vec<PeerKey> = (0..4)
        .map(|index| {
            world.active_as(&format!("p{index}"), with(|grants| grants.can_update_own_metadata = true))
        })
        .collect();
    world.run(Duration::from_secs(1));
    world.received(watcher);
    for peer in peers {
        let update = proto::UpdateParticipantMetadata { metadata: "x".repeat(100_000), ..Default::default() };
        world.send(peer, Request::UpdateMetadata(update));
    }
    world.run(TICK);
    let messages = world.received(watcher);
    assert!(messages.iter().all(|message| message.encoded_len() < 128 * 1024 + 100));
    assert_eq!(updates(&messages).iter().map(|update| update.participants.len()).sum::<usize>(), 4);
}

#[test]
fn hidden_participants_are_not_seen_but_see() {
    let mut world = World::new(1);
    let watcher = world.active("watcher");
    let hidden = world.active_as("hidden", with(|grants| grants.hidden = true));
    world.publish(hidden, "secret");
    world.publish(watcher, "open");
    world.run(Duration::from_millis(50));
    let late = world.active("late");
    for peer in [watcher, late] {
        assert!(world.client(peer).session.participants().all(|(other, _)| &*other.identity != "hidden"));
    }
    assert!(world.track(hidden, "open").is_some());
    let sid = world.received(hidden).into_iter().find_map(|message| match message {
        Response::PublishDataTrackResponse(response) => response.info.map(|info| info.sid),
        _ => None,
    });
    world.received(watcher);
    world.send(watcher, subscribe(&sid.expect("published"), true));
    world.run(TICK);
    assert_eq!(maps(&world.received(watcher)), Vec::<Vec<(u32, String)>>::new(), "not even by a guessed SID");
    world.leave(hidden);
    world.run(TICK);
    assert_eq!(updates(&world.received(watcher)).len(), 0);
    assert_eq!(world.gone[&hidden], DisconnectReason::ClientInitiated);
}

#[test]
fn handles_are_complete_distinct_and_announced_before_packets_flow() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let reader = world.active("reader");
    let first = world.publish(robot, "a");
    world.publish(robot, "b");
    world.run(TICK);
    let (a, b) = (world.track(reader, "a").expect("seen"), world.track(reader, "b").expect("seen"));
    world.received(reader);
    // Straight to the room, whose outputs are looked at before the world sees them.
    let now = world.now();
    let message = Some(subscribe(a.as_str(), true));
    world.room.handle_signal(now, reader, proto::SignalRequest { message });
    assert_eq!(world.room.forwarding().routes(robot, first), Some(&[][..]), "not before it is said");
    world.run(Duration::ZERO);
    assert_eq!(world.room.forwarding().routes(robot, first).map(<[_]>::len), Some(1));
    world.run(TICK);
    world.send(reader, subscribe(b.as_str(), true));
    world.run(TICK);
    let found = maps(&world.received(reader));
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].len(), found[1].len()), (1, 2), "the map is complete each time");
    assert!(found[1].contains(&found[0][0]));
    assert_ne!(found[1][0].0, found[1][1].0);
    world.send(reader, subscribe(a.as_str(), false));
    world.send(reader, subscribe(a.as_str(), false));
    world.run(TICK);
    let after = maps(&world.received(reader));
    assert_eq!(after.len(), 1, "an unsubscription that changes nothing is not announced");
    assert_eq!(after[0].len(), 1);
    assert_eq!(world.room.forwarding().routes(robot, first), Some(&[][..]));
    assert_eq!(world.room.forwarding().routes(robot, TrackHandle::new(9).expect("not zero")), None);
}

#[test]
fn subscriptions_in_a_burst_share_a_map() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let reader = world.active("reader");
    let tracks: Vec<_> = (0..100).map(|index| format!("t{index}")).collect();
    for name in &tracks {
        world.publish(robot, name);
    }
    world.run(TICK);
    world.received(reader);
    for name in &tracks {
        let sid = world.track(reader, name).expect("seen");
        world.subscribe(reader, &sid);
    }
    world.run(TICK);
    let maps = maps(&world.received(reader));
    assert_eq!((maps.len(), maps[1].len()), (2, 100));
    assert_eq!(world.room.forwarding().len(), 100);
}

#[test]
fn a_subscription_to_nothing_waits_a_minute_and_is_forgotten() {
    let mut world = World::new(1);
    let peer = world.active("reader");
    world.received(peer);
    world.send(peer, subscribe("DTR_never", true));
    world.run(Duration::from_secs(59));
    assert_eq!(world.room.counters().forgotten, 0);
    world.run(Duration::from_secs(1));
    assert_eq!(world.room.counters().forgotten, 1);
    assert_eq!(maps(&world.received(peer)), Vec::<Vec<(u32, String)>>::new(), "never an answer");
    world.send(peer, subscribe("DTR_never", false));
    world.run(TICK);
    assert_eq!(maps(&world.received(peer)).len(), 0);
}

#[test]
fn pending_subscriptions_are_bounded() {
    let mut config = config();
    config.max_subscriptions = 10;
    let mut world = World::with(1, config, Duration::ZERO);
    let peer = world.active("reader");
    for index in 0..100 {
        world.send(peer, subscribe(&format!("DTR_{index}"), true));
    }
    assert_eq!(world.room.counters().over_limit, 90);
}

#[test]
fn without_can_subscribe_there_is_no_handle_until_it_is_granted() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let denied = with(|grants| grants.can_subscribe = false);
    let reader = world.active_as("reader", denied);
    world.publish(robot, "pose");
    world.run(TICK);
    let sid = world.track(reader, "pose").expect("seen all the same");
    world.received(reader);
    world.send(reader, subscribe(sid.as_str(), true));
    world.run(TICK);
    assert_eq!(world.room.forwarding().len(), 0);
    let now = world.now();
    world.room.set_grants(now, reader, Grants::default());
    world.run(TICK);
    assert_eq!(world.room.forwarding().len(), 1);
    let now = world.now();
    world.room.set_grants(now, reader, denied);
    world.run(TICK);
    assert_eq!(world.room.forwarding().len(), 0, "revoking ends what flows");
    let maps = maps(&world.received(reader));
    assert_eq!(maps.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn a_publisher_that_may_no_longer_publish_is_told_so() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let reader = world.active("reader");
    world.publish(robot, "pose");
    world.run(TICK);
    let sid = world.track(reader, "pose").expect("seen");
    world.subscribe(reader, &sid);
    world.run(TICK);
    world.received(robot);
    world.refreshed.clear();
    let now = world.now();
    world.room.set_grants(now, robot, with(|grants| grants.can_publish_data = false));
    world.run(TICK);
    let told = world.received(robot);
    assert!(told.iter().any(|message| matches!(message, Response::UnpublishDataTrackResponse(_))));
    assert!(
        told.iter().any(|message| matches!(message, Response::Update(_))),
        "its permission is another one"
    );
    assert_eq!(world.refreshed, [robot]);
    assert!(world.track(reader, "pose").is_none());
    assert!(world.routed.is_empty());
}

#[test]
fn a_publisher_chooses_its_subscribers() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let friend = world.active("friend");
    let other = world.active("other");
    let recorder = world.active_as("recorder", with(|grants| grants.recorder = true));
    let handle = world.publish(robot, "pose");
    world.run(TICK);
    let sid = world.track(friend, "pose").expect("seen");
    for reader in [friend, other, recorder] {
        world.subscribe(reader, &sid);
    }
    world.run(TICK);
    let readers = |world: &World| -> Vec<PeerKey> {
        let routes = world.room.forwarding().routes(robot, handle).expect("published");
        let mut readers: Vec<PeerKey> = routes.iter().map(|route| route.subscriber).collect();
        readers.sort();
        readers
    };
    assert_eq!(readers(&world), [friend, other, recorder]);
    let allowed = |identity: &str, tracks: Vec<String>| proto::TrackPermission {
        participant_identity: identity.to_owned(),
        all_tracks: false,
        track_sids: tracks,
        ..Default::default()
    };
    world.received(other);
    let track_permissions = vec![allowed("friend", vec![sid.as_str().to_owned()])];
    let rule = proto::SubscriptionPermission { all_participants: false, track_permissions };
    world.send(robot, Request::SubscriptionPermission(rule));
    world.run(TICK);
    assert_eq!(readers(&world), [friend, recorder], "recorders are exempt");
    let told = world.received(other);
    assert!(
        told.iter().any(|m| matches!(m, Response::SubscriptionPermissionUpdate(p) if !p.allowed)),
        "{told:?}"
    );
    let everybody = proto::SubscriptionPermission { all_participants: true, track_permissions: Vec::new() };
    world.send(robot, Request::SubscriptionPermission(everybody));
    world.run(TICK);
    assert_eq!(readers(&world), [friend, other, recorder], "the server subscribes again by itself");
    let told = world.received(other);
    assert!(
        told.iter().any(|m| matches!(m, Response::SubscriptionPermissionUpdate(p) if p.allowed)),
        "{told:?}"
    );
}

#[test]
fn metadata_is_changed_within_its_limits_and_by_who_may() {
    let mut world = World::new(1);
    let robot = world.active_as("robot", with(|grants| grants.can_update_own_metadata = true));
    let watcher = world.active("watcher");
    let update = |name: &str, metadata: &str, attributes: &[(&str, &str)]| {
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            name: name.to_owned(),
            metadata: metadata.to_owned(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            request_id: 3,
        })
    };
    world.received(watcher);
    world.send(watcher, update("x", "", &[]));
    assert_eq!(refusal(world.received(watcher)).0, Reason::NotAllowed);
    world.refreshed.clear();
    world.received(robot);
    world.send(robot, update("Robbie", "m", &[("a", "1"), ("b", "2")]));
    world.run(TICK);
    let messages = world.received(robot);
    assert_eq!(refusal(messages.clone()).0, Reason::Ok, "newer clients are told of success");
    assert_eq!(updates(&messages).len(), 1, "and see their own new entry");
    assert_eq!(world.refreshed, [robot]);
    world.run(TICK);
    world.send(robot, update("", "", &[("a", "")]));
    world.run(TICK);
    let messages = world.received(watcher);
    let info = &updates(&messages).last().expect("an update").participants[0];
    assert_eq!((info.name.as_str(), info.metadata.as_str()), ("Robbie", "m"), "empty means unchanged");
    assert_eq!(info.attributes.len(), 1, "an attribute without a value is deleted");
    let long = "x".repeat(65_537);
    for request in
        [update(&long[..257], "", &[]), update("", &long.repeat(9), &[]), update("", "", &[("k", &long)])]
    {
        world.received(robot);
        world.send(robot, request);
        assert_eq!(refusal(world.received(robot)).0, Reason::LimitExceeded);
    }
}

#[test]
fn media_is_refused_in_words() {
    let mut world = World::new(1);
    let peer = world.active("robot");
    world.received(peer);
    world.send(peer, Request::AddTrack(proto::AddTrackRequest::default()));
    let (reason, message, _) = refusal(world.received(peer));
    assert_eq!(reason, Reason::UnsupportedType);
    assert!(message.contains("data only"), "{message}");
}

#[test]
fn pings_of_both_kinds_are_answered() {
    let mut world = World::new(1);
    let peer = world.active("robot");
    world.received(peer);
    world.send(peer, Request::Ping(5));
    world.send(peer, Request::PingReq(proto::Ping { timestamp: 77, rtt: 0 }));
    let messages = world.received(peer);
    let [Response::Pong(time), Response::PongResp(pong)] = &messages[..] else { panic!("{messages:?}") };
    assert!(*time >= 1_800_000_000_000);
    assert_eq!((pong.last_ping_timestamp, pong.timestamp), (77, *time));
}

#[test]
fn a_room_is_as_full_as_it_may_be_and_an_identity_replaces_itself() {
    let mut config = config();
    config.max_participants = 1;
    let mut world = World::with(1, config, Duration::ZERO);
    let first = world.active("robot");
    let join =
        |identity: &str| tramline_core::room::Join { identity: identity.to_owned(), ..Default::default() };
    let now = world.now();
    assert_eq!(world.room.join(now, PeerKey(99), join("other")), Err(JoinError::Full { limit: 1 }));
    let second = world.active("robot");
    assert_eq!(world.gone[&first], DisconnectReason::DuplicateIdentity);
    assert!(!world.gone.contains_key(&second));
}

#[test]
fn an_identity_that_is_taken_over_is_never_left_behind() {
    // (whether the second session is hidden, whether a third follows within the same update, whether that one stays)
    for (hidden, third, stays) in
        [(true, false, true), (false, false, false), (false, true, false), (false, true, true)]
    {
        let mut world = World::new(1);
        let watcher = world.active("watcher");
        world.active("robot");
        world.run(Duration::from_secs(1));
        // Makes what follows wait for the tick.
        world.publish(watcher, "x");
        world.join("nobody");
        let mut last = world.join_as("robot", with(|grants| grants.hidden = hidden));
        if third {
            last = world.join("robot");
        }
        if !stays {
            world.leave(last);
        }
        world.run(TICK);
        let seen =
            world.client(watcher).session.participants().filter(|(p, _)| &*p.identity == "robot").count();
        assert_eq!(seen, usize::from(stays && !hidden), "{hidden} {third} {stays}");
    }
}

#[test]
fn who_does_not_connect_within_a_minute_is_removed() {
    let mut world = World::new(1);
    let watcher = world.active("watcher");
    let peer = world.join("slow");
    world.run(Duration::from_secs(59));
    assert!(world.gone.is_empty());
    world.run(Duration::from_secs(1));
    assert_eq!(world.gone[&peer], DisconnectReason::JoinFailure);
    let left = world.events(watcher).into_iter().find_map(|event| match event {
        tramline_core::session::Event::ParticipantLeft { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(left, Some(DisconnectReason::JoinFailure));
    world.run(Duration::from_secs(600));
    assert!(!world.gone.contains_key(&watcher), "who is connected stays");
}

#[test]
fn ends_of_the_transport_have_their_reasons() {
    let cases = [
        (TransportEnd::ClosedByPeer, DisconnectReason::ClientInitiated, LeaveAction::Disconnect),
        (TransportEnd::Lost, DisconnectReason::ConnectionTimeout, LeaveAction::Reconnect),
        (TransportEnd::Refused, DisconnectReason::JoinFailure, LeaveAction::Disconnect),
    ];
    for (end, reason, action) in cases {
        let mut world = World::new(1);
        let peer = world.active("robot");
        world.lose_transport(peer, end);
        assert_eq!(world.gone[&peer], reason);
        let ended = world.events(peer).pop();
        let Some(tramline_core::session::Event::Disconnected(why)) = ended else { panic!("{ended:?}") };
        assert_eq!((why.reason, why.action), (reason, action));
    }
}

#[test]
fn without_signalling_a_connected_participant_stays_and_is_sent_nothing() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let reader = world.active("reader");
    let joining = world.join("joining");
    world.publish(robot, "pose");
    world.run(TICK);
    let sid = world.track(reader, "pose").expect("seen");
    world.subscribe(reader, &sid);
    world.run(TICK);
    world.lose_signal(robot);
    world.lose_signal(joining);
    world.run(Duration::from_secs(1));
    assert_eq!(world.gone.get(&joining), Some(&DisconnectReason::SignalClose));
    assert!(!world.gone.contains_key(&robot));
    assert_eq!(world.room.forwarding().len(), 1, "its data goes on");
    world.received(robot);
    world.active("newcomer");
    assert_eq!(world.received(robot), []);
    world.lose_transport(robot, TransportEnd::Lost);
    assert_eq!(world.gone[&robot], DisconnectReason::ConnectionTimeout);
    assert!(world.routed.is_empty());
}

#[test]
fn tokens_are_refreshed_at_once_and_every_five_minutes() {
    let mut world = World::new(1);
    let peer = world.active("robot");
    assert_eq!(world.refreshed, [peer]);
    world.run(Duration::from_secs(299));
    assert_eq!(world.refreshed.len(), 1);
    world.run(Duration::from_secs(302));
    assert_eq!(world.refreshed.len(), 3);
}

#[test]
fn the_room_counts_its_participants_within_five_seconds_and_ends_when_it_is_empty() {
    let mut world = World::new(1);
    let first = world.active("robot");
    let second = world.active_as("hidden", with(|grants| grants.hidden = true));
    world.run(Duration::from_secs(5));
    let counted = world.received(first).into_iter().rev().find_map(|message| match message {
        Response::RoomUpdate(update) => update.room.map(|room| room.num_participants),
        _ => None,
    });
    assert_eq!(counted, Some(2), "hidden ones count");
    world.leave(first);
    world.leave(second);
    assert!(!world.room.is_finished());
    world.run(Duration::from_secs(20));
    assert!(world.room.is_finished());
}

#[test]
fn closing_the_room_tells_everybody() {
    let mut world = World::new(1);
    let peers = [world.active("a"), world.join("b")];
    let now = world.now();
    world.room.close(now, DisconnectReason::ServerShutdown, LeaveAction::Reconnect);
    world.run(Duration::ZERO);
    for peer in peers {
        let ended = world.events(peer).pop();
        let Some(tramline_core::session::Event::Disconnected(why)) = ended else { panic!("{ended:?}") };
        assert_eq!((why.reason, why.action), (DisconnectReason::ServerShutdown, LeaveAction::Reconnect));
    }
    assert_eq!(world.room.num_participants(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever parses as a request does no harm to the room or to the others in it.
    #[test]
    fn any_bytes_that_parse_are_survived(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..20)) {
        let mut world = World::new(1);
        let stranger = world.active("stranger");
        let robot = world.active("robot");
        for bytes in messages {
            if let Ok(message) = proto::SignalRequest::decode(&*bytes) {
                let now = world.now();
                world.room.handle_signal(now, stranger, message);
                world.run(Duration::from_millis(300));
            }
        }
        world.publish(robot, "still working");
        world.run(TICK);
        prop_assert!(!world.gone.contains_key(&robot));
    }
}
