//! Schemas, and what a participant says of itself.

use tramline::{
    DataTrackOptions, FetchSchemaError, FrameEncoding, PublishError, RoomEvent, SchemaEncoding, SchemaId,
    UpdateError, block_on,
};

use crate::{Member, server, token};

fn pose() -> SchemaId {
    SchemaId::new("geometry_msgs/Pose", SchemaEncoding::Ros2Msg)
}

#[test]
fn a_schema_that_one_defines_is_found_by_another_through_the_track() {
    let server = server();
    let (publisher, mut subscriber) =
        (Member::join(&server, "publisher"), Member::join(&server, "subscriber"));
    let local = publisher.room.local_participant();
    block_on(local.define_schema(pose(), "float64 x")).expect("outside of a runtime").expect("stored");
    let options = DataTrackOptions::new("pose").with_schema(pose()).with_frame_encoding(FrameEncoding::Cdr);
    let track =
        block_on(local.publish_data_track(options)).expect("outside of a runtime").expect("published");
    assert_eq!(track.info().schema(), Some(&pose()));

    let remote = subscriber.await_track("pose");
    assert_eq!(remote.info().frame_encoding(), Some(&FrameEncoding::Cdr));
    let schema = remote.info().schema().expect("a schema").clone();
    let reader = subscriber.room.local_participant();
    let found = block_on(reader.fetch_schema(schema, remote.publisher_identity().as_str()));
    assert_eq!(found.expect("outside of a runtime").expect("found").as_ref(), "float64 x");

    let other = SchemaId::new("geometry_msgs/Pose", SchemaEncoding::Ros1Msg);
    let missing = block_on(reader.fetch_schema(other, "publisher")).expect("outside of a runtime");
    assert!(matches!(missing, Err(FetchSchemaError::NotFound(_))), "{missing:?}");
}

#[test]
fn an_encoding_that_does_not_fit_its_schema_is_refused_before_the_server_is_asked() {
    let server = server();
    let publisher = Member::join(&server, "publisher");
    let options =
        DataTrackOptions::new("pose").with_schema(pose()).with_frame_encoding(FrameEncoding::Protobuf);
    let refused = block_on(publisher.room.local_participant().publish_data_track(options))
        .expect("outside of a runtime");
    let refused = refused.expect_err("ROS 2 does not describe protocol buffers");
    assert!(matches!(refused, PublishError::IncompatibleSchema(_)) && refused.code() == 10, "{refused}");
}

#[test]
fn name_metadata_and_attributes_that_one_changes_are_told_to_others() {
    let server = server();
    let mut grants = tramline_server::auth::VideoGrants::join("yard");
    grants.can_update_own_metadata = Some(true);
    let changing = Member::join_with(&server, &token("changing").with_grants(grants));
    let mut watching = Member::join(&server, "watching");
    let local = changing.room.local_participant();
    let is_done =
        |outcome: Result<Result<(), UpdateError>, _>| outcome.expect("outside of a runtime").expect("taken");
    is_done(block_on(local.set_name("The Robot")));
    is_done(block_on(local.set_metadata("{}")));
    is_done(block_on(local.set_attributes([("battery".to_owned(), "97".to_owned())].into())));
    let (mut name, mut metadata, mut attributes) = (None, None, None);
    while name.is_none() || metadata.is_none() || attributes.is_none() {
        watching.await_event(|event| {
            match event {
                RoomEvent::ParticipantNameChanged { name: new, .. } => name = Some(new),
                RoomEvent::ParticipantMetadataChanged { metadata: new, .. } => metadata = Some(new),
                RoomEvent::ParticipantAttributesChanged { changed_attributes, .. } => {
                    attributes = Some(changed_attributes);
                }
                _ => {}
            }
            Some(())
        });
    }
    assert_eq!((name.as_deref(), metadata.as_deref()), (Some("The Robot"), Some("{}")));
    assert_eq!(attributes, Some([("battery".to_owned(), "97".to_owned())].into()));
}

#[test]
fn changes_are_refused_without_the_grant() {
    let server = server();
    let member = Member::join(&server, "plain");
    let refused = block_on(member.room.local_participant().set_name("x")).expect("outside of a runtime");
    assert_eq!(refused, Err(UpdateError::NotAllowed));
    let refused = block_on(member.room.local_participant().set_name("")).expect("outside of a runtime");
    assert_eq!(refused, Err(UpdateError::CannotClear { what: "name" }));
}
