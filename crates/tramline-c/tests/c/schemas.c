/* What the frames of a track hold, and what a participant says about itself. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static tramline_schema_id pose(void) {
    return (tramline_schema_id){
        .name = {"geometry_msgs/Pose", TRAMLINE_NUL_TERMINATED},
        .encoding = {.number = TRAMLINE_SCHEMA_ENCODING_ROS2_MSG, .custom = {NULL, 0}},
    };
}

static void a_schema_is_defined_by_one_and_found_by_another_through_the_track(void) {
    tramline_room *publisher = member("schemas", "publisher"), *subscriber = member("schemas", "subscriber");
    tramline_schema_id schema = pose(), none = {0};
    CHECK_OK(tramline_room_define_schema(publisher, &schema, "float64 x", TRAMLINE_NUL_TERMINATED));
    CHECK_STATUS(tramline_room_define_schema(publisher, &none, "x", 1), TRAMLINE_ERR_SCHEMA_INVALID);
    CHECK_STATUS(tramline_room_define_schema(publisher, NULL, "x", 1), TRAMLINE_ERR_NULL);

    tramline_publish_options options;
    CHECK_OK(tramline_publish_options_defaults(&options, sizeof options));
    options.name = (tramline_str){"pose", 4};
    options.schema = schema;
    tramline_local_track *track;
    options.frame_encoding.number = TRAMLINE_FRAME_ENCODING_PROTOBUF;
    CHECK_STATUS(tramline_room_publish(publisher, &options, &track), TRAMLINE_ERR_PUBLISH_INVALID_SCHEMA);
    options.frame_encoding.number = TRAMLINE_FRAME_ENCODING_CDR;
    CHECK_OK(tramline_room_publish(publisher, &options, &track));

    tramline_remote_track *remote = await_track(subscriber, "pose");
    tramline_track_info info = {.struct_size = sizeof info};
    CHECK_OK(tramline_remote_track_info(remote, &info));
    CHECK(info.frame_encoding.number == TRAMLINE_FRAME_ENCODING_CDR && info.frame_encoding.custom.len == 0);
    CHECK_TEXT(info.schema.name, "geometry_msgs/Pose");
    CHECK(info.schema.encoding.number == TRAMLINE_SCHEMA_ENCODING_ROS2_MSG);
    tramline_str identity = tramline_remote_track_publisher(remote);
    tramline_string definition;
    CHECK_OK(tramline_room_fetch_schema(subscriber, &info.schema, identity.data, identity.len, &definition));
    CHECK_TEXT(definition, "float64 x");
    tramline_string_free(definition);
    info.schema.encoding.number = TRAMLINE_SCHEMA_ENCODING_ROS1_MSG;
    CHECK_STATUS(tramline_room_fetch_schema(subscriber, &info.schema, identity.data, identity.len, &definition),
                 TRAMLINE_ERR_SCHEMA_NOT_FOUND);
    CHECK_TEXT(definition, "");
    tramline_remote_track_free(remote);
    tramline_local_track_free(track);
    leave(subscriber);
    leave(publisher);
}

static void an_encoding_of_ones_own_has_a_name(void) {
    tramline_room *publisher = member("custom", "publisher"), *subscriber = member("custom", "subscriber");
    tramline_publish_options options;
    CHECK_OK(tramline_publish_options_defaults(&options, sizeof options));
    options.name = (tramline_str){"own", 3};
    options.frame_encoding = (tramline_encoding){TRAMLINE_FRAME_ENCODING_CUSTOM, {"", 0}};
    tramline_local_track *track;
    CHECK_STATUS(tramline_room_publish(publisher, &options, &track), TRAMLINE_ERR_PUBLISH_INVALID_SCHEMA);
    options.frame_encoding.custom = (tramline_str){"point-cloud", TRAMLINE_NUL_TERMINATED};
    CHECK_OK(tramline_room_publish(publisher, &options, &track));
    tramline_remote_track *remote = await_track(subscriber, "own");
    tramline_track_info info = {.struct_size = sizeof info};
    CHECK_OK(tramline_remote_track_info(remote, &info));
    CHECK(info.frame_encoding.number == TRAMLINE_FRAME_ENCODING_CUSTOM && info.schema.name.len == 0);
    CHECK_TEXT(info.frame_encoding.custom, "point-cloud");
    tramline_remote_track_free(remote);
    tramline_local_track_free(track);
    leave(subscriber);
    leave(publisher);
}

static void what_one_says_of_itself_is_told_to_others(void) {
    tramline_room *changing = member("selves", "changing"), *watching = member("selves", "watching");
    CHECK_OK(tramline_room_set_name(changing, "The Robot", TRAMLINE_NUL_TERMINATED));
    tramline_event *event = await_event(watching, TRAMLINE_EVENT_PARTICIPANT_NAME_CHANGED);
    CHECK_TEXT(tramline_participant_identity(event->participant), "changing");
    CHECK_TEXT(event->value, "The Robot");
    CHECK_TEXT(event->old_value, "");
    tramline_event_free(event);
    CHECK_OK(tramline_room_set_metadata(changing, "ready", 5));
    event = await_event(watching, TRAMLINE_EVENT_PARTICIPANT_METADATA_CHANGED);
    CHECK_TEXT(event->value, "ready");
    tramline_event_free(event);
    tramline_attribute attributes[] = {{{"role", 4}, {"arm", 3}}, {{"site", 4}, {"yard", TRAMLINE_NUL_TERMINATED}}};
    CHECK_OK(tramline_room_set_attributes(changing, attributes, 2));
    event = await_event(watching, TRAMLINE_EVENT_PARTICIPANT_ATTRIBUTES_CHANGED);
    CHECK(tramline_attributes_len(event->attributes) == 2);
    tramline_str key, value;
    CHECK_OK(tramline_attributes_at(event->attributes, 0, &key, &value));
    CHECK_TEXT(key, "role");
    CHECK_TEXT(value, "arm");
    tramline_event_free(event);
    CHECK_STATUS(tramline_room_set_name(changing, "", 0), TRAMLINE_ERR_UPDATE_INVALID);
    CHECK_STATUS(tramline_room_set_attributes(changing, NULL, 1), TRAMLINE_ERR_NULL);
    leave(changing);

    char *jwt = token("selves", "fixed", NULL);
    CHECK_OK(tramline_room_connect(shared_server.url, TRAMLINE_NUL_TERMINATED, jwt, TRAMLINE_NUL_TERMINATED, NULL, &changing));
    free(jwt);
    CHECK_STATUS(tramline_room_set_metadata(changing, "ready", 5), TRAMLINE_ERR_UPDATE_NOT_ALLOWED);
    CHECK(strstr(tramline_last_error(), "canUpdateOwnMetadata") != NULL);
    leave(changing);
    leave(watching);
}

const test schema_tests[] = {
    {"a schema is defined by one and found by another through the track",
     a_schema_is_defined_by_one_and_found_by_another_through_the_track},
    {"an encoding of one's own has a name", an_encoding_of_ones_own_has_a_name},
    {"what one says of itself is told to others", what_one_says_of_itself_is_told_to_others},
    {NULL, NULL},
};
