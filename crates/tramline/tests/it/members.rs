//! What participants and the room say of themselves, and what the server's owner does to them.

use std::collections::BTreeMap;

use tramline::{
    ConnectionQuality, DisconnectReason, ParticipantTrackPermission, RoomEvent, SelfUpdate, StreamEnd,
};
use tramline_server::{AdminError, Grants};

use crate::{Member, assert_ended, read, server, subscribe};

fn to(identity: &str) -> ParticipantTrackPermission {
    ParticipantTrackPermission { participant_identity: identity.into(), ..Default::default() }
}

#[test]
fn the_owner_changes_what_everybody_sees() {
    let server = server();
    let mut alice = Member::join(&server, "alice");
    let bob = Member::join(&server, "bob");
    server.set_room_metadata("yard", "night shift").expect("the room is there");
    let change = alice.await_event(|event| match event {
        RoomEvent::RoomMetadataChanged { old_metadata, metadata } => Some((old_metadata, metadata)),
        _ => None,
    });
    assert_eq!(change, (String::new(), "night shift".to_owned()));
    assert_eq!(alice.room.metadata(), "night shift");
    let late = Member::join(&server, "late");
    assert_eq!(late.room.metadata(), "night shift");

    let update = SelfUpdate {
        name: Some("Bob".into()),
        metadata: Some("{}".into()),
        attributes: BTreeMap::from([("arm".to_owned(), "left".to_owned())]),
    };
    server.update_participant("yard", "bob", update).expect("bob is there");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(alice.await_event(|event| match event {
            RoomEvent::ParticipantNameChanged { name, .. } => Some(name),
            RoomEvent::ParticipantMetadataChanged { metadata, .. } => Some(metadata),
            RoomEvent::ParticipantAttributesChanged { changed_attributes, .. } => {
                Some(changed_attributes["arm"].clone())
            }
            _ => None,
        }));
    }
    assert_eq!(seen, ["Bob", "{}", "left"]);
    let cleared = SelfUpdate { metadata: Some(String::new()), ..SelfUpdate::default() };
    server.update_participant("yard", "bob", cleared).expect("bob is there");
    alice.await_event(|event| match event {
        RoomEvent::ParticipantMetadataChanged { metadata, .. } => metadata.is_empty().then_some(()),
        _ => None,
    });
    let long = SelfUpdate { name: Some("x".repeat(257)), ..SelfUpdate::default() };
    assert!(matches!(server.update_participant("yard", "bob", long), Err(AdminError::TooLong(_))));
    assert!(matches!(server.remove_participant("yard", "nobody"), Err(AdminError::NoParticipant { .. })));
    assert!(matches!(server.delete_room("nowhere"), Err(AdminError::NoRoom { .. })));
    drop(bob);
}

#[test]
fn who_is_sent_away_and_who_sees_it_learn_why() {
    let server = server();
    let mut alice = Member::join(&server, "alice");
    let mut bob = Member::join(&server, "bob");
    server.remove_participant("yard", "bob").expect("bob is there");
    assert_eq!(bob.await_end(), DisconnectReason::ParticipantRemoved);
    let gone = alice.await_event(|event| match event {
        RoomEvent::ParticipantDisconnected(participant) => Some(participant),
        _ => None,
    });
    assert_eq!(gone.disconnect_reason(), Some(DisconnectReason::ParticipantRemoved));
    let mut again = Member::join(&server, "alice");
    assert_eq!(alice.await_end(), DisconnectReason::DuplicateIdentity);
    server.delete_room("yard").expect("the room is there");
    assert_eq!(again.await_end(), DisconnectReason::RoomDeleted);
}

#[test]
fn a_permission_that_is_taken_ends_what_it_allowed() {
    let server = server();
    let mut alice = Member::join(&server, "alice");
    let mut bob = Member::join(&server, "bob");
    let track = bob.publish("scan");
    let mut stream = subscribe(&alice.await_track("scan"));
    track.try_push("x").expect("published");
    read(&mut stream);
    let mut grants = Grants::default();
    grants.can_publish_data = false;
    server.set_grants("yard", "bob", grants).expect("bob is there");
    assert_ended(&mut stream);
    bob.await_event(|event| matches!(event, RoomEvent::LocalDataTrackUnpublished(_)).then_some(()));
    bob.await_event(|event| match event {
        RoomEvent::ParticipantPermissionsChanged { participant } => {
            (!participant.permissions().can_publish_data).then_some(())
        }
        _ => None,
    });
}

#[test]
fn only_those_who_may_get_a_track_by_name_or_by_sid() {
    let server = server();
    let alice = Member::join(&server, "alice");
    let mut bob = Member::join(&server, "bob");
    let mut carol = Member::join(&server, "carol");
    let local = alice.room.local_participant();
    // Before there is a track of that name.
    let named = ParticipantTrackPermission { allowed_track_names: vec!["map".into()], ..to("bob") };
    local.set_track_subscription_permissions(false, vec![named.clone()]);
    let map = alice.publish("map");
    let pose = alice.publish("pose");
    let mut map_of_bob = subscribe(&bob.await_track("map"));
    map.try_push("1").expect("published");
    assert_eq!(read(&mut map_of_bob).payload()[..], b"1"[..]);

    // The subscription of the other one comes about when it is allowed.
    let by_sid =
        ParticipantTrackPermission { allowed_track_sids: vec![pose.info().sid().clone()], ..to("carol") };
    let remote = carol.await_track("pose");
    let waiting = std::thread::spawn(move || subscribe(&remote));
    local.set_track_subscription_permissions(false, vec![named, by_sid]);
    let mut pose_of_carol = waiting.join().expect("subscribed");
    pose.try_push("2").expect("published");
    assert_eq!(read(&mut pose_of_carol).payload()[..], b"2"[..]);

    local.set_track_subscription_permissions(true, Vec::new());
    let mut map_of_carol = subscribe(&carol.await_track_now("map"));
    map.try_push("3").expect("published");
    assert_eq!(read(&mut map_of_carol).payload()[..], b"3"[..]);
    drop(pose);
    drop(map);
    assert_ended(&mut map_of_carol);
    assert_eq!(map_of_carol.end(), Some(StreamEnd::Unpublished));
}

impl Member {
    /// A track that is known already.
    fn await_track_now(&self, name: &str) -> tramline::RemoteDataTrack {
        let remotes = self.room.remote_participants();
        remotes.values().find_map(|remote| remote.data_tracks().remove(name)).expect("it is known")
    }
}

#[test]
fn connections_are_as_they_should_be_on_this_machine() {
    let server = server();
    let alice = Member::join(&server, "alice");
    let bob = Member::join(&server, "bob");
    assert_eq!(alice.room.local_participant().connection_quality(), ConnectionQuality::Excellent);
    let remotes = bob.room.remote_participants();
    assert_eq!(remotes["alice"].connection_quality(), ConnectionQuality::Excellent);
}
