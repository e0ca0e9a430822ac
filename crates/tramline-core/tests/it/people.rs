//! What the session tells of people and rooms beyond coming and going.

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use tramline_core::room::TransportEnd;
use tramline_core::session::{ConnectionQuality, Event};

use crate::world::World;

#[test]
fn a_connection_that_becomes_worse_is_told_to_everybody() {
    let mut world = World::new(1);
    let (alice, bob) = (world.active("alice"), world.active("bob"));
    world.client(bob).events.clear();
    world.client(alice).events.clear();
    for _ in 0..2 {
        world.room.set_quality(alice, ConnectionQuality::Lost);
        world.settle();
    }
    for key in [alice, bob] {
        let told: Vec<_> = world
            .client(key)
            .events
            .drain(..)
            .filter_map(|event| match event {
                Event::QualityChanged { participant, quality } => {
                    Some((participant.identity.to_string(), quality))
                }
                _ => None,
            })
            .collect();
        assert_eq!(told, [("alice".to_owned(), ConnectionQuality::Lost)]);
    }
    // Who comes later is told as well.
    let carol = world.active("carol");
    let heard = world.client(carol).events.iter().any(|event| {
        matches!(event, Event::QualityChanged { participant, quality: ConnectionQuality::Lost } if &*participant.identity == "alice")
    });
    assert!(heard);
    let now = world.now();
    world.room.handle_transport_closed(now, carol, TransportEnd::Lost);
}

#[test]
fn a_move_replaces_everybody_and_the_room() {
    let mut world = World::new(1);
    let (alice, bob) = (world.active("alice"), world.active("bob"));
    world.publish(bob, "scan");
    world.run(std::time::Duration::from_millis(50));
    world.client(alice).events.clear();
    let info = |sid: &str, identity: &str| proto::ParticipantInfo {
        sid: sid.into(),
        identity: identity.into(),
        version: 1,
        ..Default::default()
    };
    let moved = proto::RoomMovedResponse {
        room: Some(proto::Room { sid: "RM_other".into(), name: "hall".into(), ..Default::default() }),
        token: "a.b.c".into(),
        participant: Some(info("PA_new", "alice")),
        other_participants: vec![info("PA_carol", "carol")],
    };
    let now = world.now();
    let message = proto::SignalResponse { message: Some(Response::RoomMoved(moved)) };
    let session = &mut world.client(alice).session;
    session.handle_signal(now, message);
    let mut told = Vec::new();
    while let Some(output) = session.poll_output() {
        if let tramline_core::session::Output::Event(event) = output {
            told.push(match event {
                Event::TokenRefreshed(token) => format!("token {token}"),
                Event::TrackUnpublished { track, .. } => format!("without {}", &*track.name),
                Event::ParticipantLeft { participant, .. } => format!("left {}", participant.identity),
                Event::ParticipantChanged { after, .. } => format!("now {}", after.sid),
                Event::Moved(room) => format!("in {}", room.name),
                Event::ParticipantJoined(participant) => format!("joined {}", participant.identity),
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(told, ["token a.b.c", "without scan", "left bob", "now PA_new", "in hall", "joined carol"]);
}
