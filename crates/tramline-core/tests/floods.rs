//! Peers that never say the same thing twice: what a machine remembers of them is bounded.
//!
//! Each flood is several times larger than the memory that it may leave behind, so that anything kept per message
//! shows. What counts is the resident memory of the process, so this is a program of its own with a single test.
#![cfg(target_os = "linux")]

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tramline_core::forward::PeerKey;
use tramline_core::room::{Join, Output, Room, RoomConfig, TransportEnd};
use tramline_core::session::{Session, SessionConfig};
use tramline_sim::VirtualClock;

/// Messages of one flood, each with [`TEXT`] bytes of its own.
const MESSAGES: u64 = 150_000;
const TEXT: usize = 120;
/// Most memory in bytes that a flood may leave: the documented limits are far below, the flood itself far above.
const LIMIT: u64 = 12 << 20;

/// A name, and the nth message.
type Flood<T> = (&'static str, fn(u64) -> T);

#[test]
fn what_a_flood_leaves_behind_is_bounded() {
    flood_the_room_with_requests();
    flood_the_room_with_participants();
    flood_the_session_with_messages();
}

fn flood_the_room_with_requests() {
    let flood: [Flood<Request>; 4] = [
        ("subscriptions", |n| {
            let updates = vec![proto::update_data_subscription::Update {
                track_sid: unique("DTR_", n),
                subscribe: true,
                options: None,
            }];
            Request::UpdateDataSubscription(proto::UpdateDataSubscription { updates })
        }),
        ("publications", |n| {
            let pub_handle = 1 + (n % 65_535) as u32;
            Request::PublishDataTrackRequest(proto::PublishDataTrackRequest {
                pub_handle,
                name: unique("", n),
                ..Default::default()
            })
        }),
        ("permissions", |n| {
            let permission =
                proto::TrackPermission { participant_identity: unique("", n), ..Default::default() };
            let track_permissions = vec![permission];
            Request::SubscriptionPermission(proto::SubscriptionPermission {
                all_participants: false,
                track_permissions,
            })
        }),
        ("attributes", |n| {
            let attributes = [(unique("", n), unique("", n))].into();
            Request::UpdateMetadata(proto::UpdateParticipantMetadata { attributes, ..Default::default() })
        }),
    ];
    for (what, request) in flood {
        let mut clock = VirtualClock::new();
        let mut room = room(&clock);
        join(&mut room, &clock, 0);
        assert_bounded(what, |n| {
            let message = proto::SignalRequest { message: Some(request(n)) };
            room.handle_signal(clock.advance(Duration::from_micros(10)), PeerKey(0), message);
            settle(&mut room, &clock);
        });
    }
}

fn flood_the_room_with_participants() {
    let mut clock = VirtualClock::new();
    let mut room = room(&clock);
    join(&mut room, &clock, 0);
    assert_bounded("joins", |n| {
        let now = clock.advance(Duration::from_micros(10));
        join(&mut room, &clock, n + 1);
        let (peer, track_sid) = (PeerKey(n + 1), unique("DTR_", n));
        let updates =
            vec![proto::update_data_subscription::Update { track_sid, subscribe: true, options: None }];
        let request = Request::UpdateDataSubscription(proto::UpdateDataSubscription { updates });
        room.handle_signal(now, peer, proto::SignalRequest { message: Some(request) });
        match n % 3 {
            0 => room.handle_signal_closed(now, peer),
            1 => room.handle_transport_closed(now, peer, TransportEnd::Lost),
            _ => {
                let leave = Request::Leave(proto::LeaveRequest::default());
                room.handle_signal(now, peer, proto::SignalRequest { message: Some(leave) });
            }
        }
        settle(&mut room, &clock);
    });
    assert_eq!(room.num_participants(), 1);
}

fn flood_the_session_with_messages() {
    let flood: [Flood<Response>; 5] = [
        ("participants", |n| {
            let participants = vec![proto::ParticipantInfo {
                sid: unique("PA_", n),
                identity: unique("", n),
                ..Default::default()
            }];
            Response::Update(proto::ParticipantUpdate { participants })
        }),
        ("tracks", |n| {
            let track = proto::DataTrackInfo {
                pub_handle: 1,
                sid: unique("DTR_", n),
                name: unique("", n),
                ..Default::default()
            };
            let participants = vec![proto::ParticipantInfo {
                sid: "PA_a".to_owned(),
                identity: "a".to_owned(),
                data_tracks: vec![track],
                ..Default::default()
            }];
            Response::Update(proto::ParticipantUpdate { participants })
        }),
        ("handles", |n| {
            let track = proto::data_track_subscriber_handles::PublishedDataTrack {
                track_sid: unique("DTR_", n),
                ..Default::default()
            };
            let sub_handles = [(1 + (n % 65_535) as u32, track)].into();
            Response::DataTrackSubscriberHandles(proto::DataTrackSubscriberHandles { sub_handles })
        }),
        ("publications", |n| {
            let info = proto::DataTrackInfo {
                pub_handle: 1 + (n % 65_535) as u32,
                sid: unique("DTR_", n),
                ..Default::default()
            };
            Response::PublishDataTrackResponse(proto::PublishDataTrackResponse { info: Some(info) })
        }),
        ("tokens", |n| Response::RefreshToken(unique("", n))),
    ];
    for (what, response) in flood {
        let mut clock = VirtualClock::new();
        let mut session = Session::new(SessionConfig::default(), clock.now());
        let local =
            proto::ParticipantInfo { sid: "PA_me".into(), identity: "me".into(), ..Default::default() };
        let join = proto::JoinResponse {
            room: Some(proto::Room::default()),
            participant: Some(local),
            ..Default::default()
        };
        session.handle_signal(clock.now(), proto::SignalResponse { message: Some(Response::Join(join)) });
        assert_bounded(what, |n| {
            let message = proto::SignalResponse { message: Some(response(n)) };
            session.handle_signal(clock.advance(Duration::from_micros(10)), message);
            while session.poll_output().is_some() {}
        });
        assert!(!session.is_ended(), "{what}");
    }
}

fn room(clock: &VirtualClock) -> Room {
    let config = RoomConfig::new("room", 0, proto::ServerInfo::default());
    let mut random = 0_u128;
    let random = move || {
        random += 1;
        random
    };
    Room::new(config, clock.now(), Box::new(random))
}

fn join(room: &mut Room, clock: &VirtualClock, n: u64) {
    let mut join = Join { identity: unique("", n), ..Join::default() };
    join.grants.can_update_own_metadata = true;
    room.join(clock.now(), PeerKey(n), join).expect("the room has no limit");
}

fn settle(room: &mut Room, clock: &VirtualClock) {
    if room.poll_timeout().is_some_and(|at| at <= clock.now()) {
        room.handle_timeout(clock.now());
    }
    while let Some(output) = room.poll_output() {
        assert!(!matches!(output, Output::RouteAdded { .. }), "nothing here is subscribed");
    }
}

fn unique(prefix: &str, n: u64) -> String {
    format!("{prefix}{n:0width$}", width = TEXT - prefix.len())
}

fn assert_bounded(what: &str, mut step: impl FnMut(u64)) {
    let before = resident();
    (0..MESSAGES).for_each(&mut step);
    let more = resident().saturating_sub(before);
    assert!(more < LIMIT, "{what}: {} MiB more after {MESSAGES} messages", more >> 20);
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has some");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}
