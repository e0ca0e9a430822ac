use std::{collections::BTreeMap, sync::Arc};

use livekit_protocol as proto;
use tramline_core::session::{Event, Output, Session, SessionConfig};

use super::*;
use crate::{
    DisconnectReason,
    link::Link,
    participant::{Participant, RemoteParticipant},
    remote_track::{RemoteDataTrack, RemoteTrack},
};

/// Participants are made by a session only, so one is asked for them.
fn participant(identity: &str) -> RemoteParticipant {
    let info = |identity: &str| proto::ParticipantInfo {
        sid: format!("PA_{identity}"),
        identity: identity.to_owned(),
        ..Default::default()
    };
    let now = std::time::Instant::now();
    let mut session = Session::new(SessionConfig::default(), now);
    let join = proto::JoinResponse {
        room: Some(proto::Room { sid: "RM_x".to_owned(), ..Default::default() }),
        participant: Some(info("me")),
        other_participants: vec![info(identity)],
        ..Default::default()
    };
    session.handle_signal(
        now,
        proto::SignalResponse { message: Some(proto::signal_response::Message::Join(join)) },
    );
    loop {
        if let Output::Event(Event::Joined(joined)) = session.poll_output().expect("a join event") {
            return RemoteParticipant::new(Arc::clone(&joined.others[0].0));
        }
    }
}

fn track(name: &str) -> RemoteDataTrack {
    RemoteDataTrack::new(Arc::new(RemoteTrack::for_tests(name, "robot")), Link::new().0)
}

fn all(queue: &EventQueue) -> Vec<RoomEvent> {
    std::iter::from_fn(|| queue.try_next()).collect()
}

fn metadata(participant: &RemoteParticipant, old: &str, new: &str) -> RoomEvent {
    RoomEvent::ParticipantMetadataChanged {
        participant: Participant::Remote(participant.clone()),
        old_metadata: old.to_owned(),
        metadata: new.to_owned(),
    }
}

#[test]
fn below_its_capacity_everything_is_told() {
    let queue = EventQueue::new(8, 1 << 20);
    let (robot, scan) = (participant("robot"), track("scan"));
    let events = [
        RoomEvent::ParticipantConnected(robot.clone()),
        RoomEvent::DataTrackPublished(scan.clone()),
        RoomEvent::DataTrackUnpublished(scan),
        RoomEvent::ParticipantDisconnected(robot),
    ];
    for event in &events {
        queue.push(event.clone());
    }
    assert_eq!(all(&queue), events);
}

#[test]
fn what_came_and_went_is_left_out_and_that_is_told() {
    let queue = EventQueue::new(2, 1 << 20);
    let (stays, scan) = (participant("stays"), track("scan"));
    queue.push(RoomEvent::ParticipantConnected(stays.clone()));
    for round in 0..1_000 {
        let passes = participant(&format!("passes{round}"));
        queue.push(RoomEvent::ParticipantConnected(passes.clone()));
        queue.push(metadata(&passes, "", "x"));
        queue.push(RoomEvent::ParticipantDisconnected(passes));
        assert!(lock(&queue.state).events.len() <= 16, "bounded by what exists");
    }
    queue.push(RoomEvent::DataTrackPublished(scan.clone()));
    let told = all(&queue);
    let lost: u64 =
        told.iter().map(|event| if let RoomEvent::EventsLost { count } = event { *count } else { 0 }).sum();
    assert_eq!(told.len() as u64 - 1 + lost, 3_002, "each event is told or counted");
    assert!(matches!(told[0], RoomEvent::EventsLost { .. }));
    assert_eq!(told[1], RoomEvent::ParticipantConnected(stays));
    assert_eq!(told.last(), Some(&RoomEvent::DataTrackPublished(scan)));
}

#[test]
fn changes_of_one_value_become_one_change() {
    let queue = EventQueue::new(2, 1 << 20);
    let robot = participant("robot");
    for step in 0..100 {
        queue.push(metadata(&robot, &step.to_string(), &(step + 1).to_string()));
        queue.push(RoomEvent::ParticipantAttributesChanged {
            participant: Participant::Remote(robot.clone()),
            changed_attributes: BTreeMap::from([(format!("key{}", step % 3), step.to_string())]),
        });
    }
    let (mut from, mut to, mut attributes) = (None, String::new(), BTreeMap::new());
    let told = all(&queue);
    assert!(told.len() <= 6, "{} events", told.len());
    for event in told {
        match event {
            RoomEvent::ParticipantMetadataChanged { old_metadata, metadata, .. } => {
                from.get_or_insert(old_metadata);
                to = metadata;
            }
            RoomEvent::ParticipantAttributesChanged { changed_attributes, .. } => {
                attributes.extend(changed_attributes)
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((from.as_deref(), to.as_str()), (Some("0"), "100"));
    let expected = [("key0", "99"), ("key1", "97"), ("key2", "98")];
    assert_eq!(attributes, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[test]
fn the_end_comes_last_and_only_once() {
    let queue = EventQueue::new(1, 1 << 20);
    let end = |reason| RoomEvent::Disconnected { reason, detail: String::new() };
    queue.push(end(DisconnectReason::ServerShutdown));
    queue.push(end(DisconnectReason::Unknown));
    queue.push(RoomEvent::DataTrackPublished(track("late")));
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(queue.poll_next(&mut context), Poll::Ready(Some(end(DisconnectReason::ServerShutdown))));
    assert_eq!(queue.poll_next(&mut context), Poll::Ready(None));
}

#[test]
fn nothing_is_kept_for_a_reader_that_is_gone() {
    let queue = EventQueue::new(1, 1 << 20);
    queue.stop();
    queue.push(RoomEvent::DataTrackPublished(track("scan")));
    assert!(lock(&queue.state).events.is_empty());
}
