/* Calls without a room: null, sizes, texts, numbers. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void the_library_is_that_of_the_header(void) {
    CHECK(tramline_abi_version() == TRAMLINE_ABI_VERSION);
    CHECK(strlen(tramline_version()) >= 5);
}

static void a_status_has_a_name_and_livekits_number(void) {
    CHECK(strcmp(tramline_status_name(TRAMLINE_ERR_PUSH_QUEUE_FULL), "TRAMLINE_ERR_PUSH_QUEUE_FULL") == 0);
    CHECK(strcmp(tramline_status_name(-1), "unknown") == 0);
    CHECK(tramline_status_livekit_code(TRAMLINE_ERR_PUBLISH_INVALID_SCHEMA) == 10);
    CHECK(tramline_status_livekit_code(TRAMLINE_ERR_PUSH_QUEUE_FULL) == 3);
    CHECK(tramline_status_livekit_code(TRAMLINE_ERR_PUSH_TOO_LARGE) == 4);
    CHECK(tramline_status_livekit_code(TRAMLINE_ERR_SUBSCRIBE_TIMEOUT) == 3);
    CHECK(tramline_status_livekit_code(TRAMLINE_ERR_CONNECT_URL) == 0);
    CHECK(tramline_status_livekit_code(TRAMLINE_ERR_NULL) == 0);
}

static void null_is_a_status_and_never_a_fault(void) {
    tramline_frame frame = empty_frame();
    tramline_track_info info = {.struct_size = sizeof info};
    tramline_string string;
    size_t count;
    CHECK_STATUS(tramline_room_connect(NULL, TRAMLINE_NUL_TERMINATED, "", 0, NULL, NULL), TRAMLINE_ERR_NULL);
    tramline_room *room = (tramline_room *)&count;
    CHECK_STATUS(tramline_room_connect(NULL, 3, "", 0, NULL, &room), TRAMLINE_ERR_NULL);
    CHECK(room == NULL);
    CHECK_STATUS(tramline_room_disconnect(NULL), TRAMLINE_ERR_NULL);
    CHECK(!tramline_room_is_connected(NULL));
    string.data = NULL;
    CHECK_STATUS(tramline_room_name(NULL, &string), TRAMLINE_ERR_NULL);
    CHECK_TEXT(string, "");
    CHECK_STATUS(tramline_room_name(NULL, NULL), TRAMLINE_ERR_NULL);
    CHECK(tramline_room_num_participants(NULL) == 0);
    tramline_participant *participant;
    CHECK_STATUS(tramline_room_local_participant(NULL, &participant), TRAMLINE_ERR_NULL);
    CHECK(participant == NULL);
    tramline_participant_list *list;
    CHECK_STATUS(tramline_room_remote_participants(NULL, &list), TRAMLINE_ERR_NULL);
    CHECK_STATUS(tramline_room_set_event_callback(NULL, NULL, NULL), TRAMLINE_ERR_NULL);
    tramline_event *event;
    CHECK_STATUS(tramline_room_poll_event(NULL, 0, &event), TRAMLINE_ERR_NULL);
    tramline_local_track *track;
    CHECK_STATUS(tramline_room_publish(NULL, NULL, &track), TRAMLINE_ERR_NULL);
    CHECK_STATUS(tramline_local_track_try_push(NULL, NULL, 0), TRAMLINE_ERR_NULL);
    CHECK_STATUS(tramline_local_track_try_push_frame(NULL, &frame), TRAMLINE_ERR_NULL);
    CHECK_STATUS(tramline_local_track_push(NULL, NULL, 0), TRAMLINE_ERR_NULL);
    CHECK(!tramline_local_track_is_published(NULL));
    CHECK_STATUS(tramline_local_track_info(NULL, &info), TRAMLINE_ERR_NULL);
    CHECK(tramline_local_track_clone(NULL) == NULL);
    tramline_stream *stream;
    CHECK_STATUS(tramline_remote_track_subscribe(NULL, NULL, &stream), TRAMLINE_ERR_NULL);
    CHECK_TEXT(tramline_remote_track_publisher(NULL), "");
    CHECK_TEXT(tramline_participant_identity(NULL), "");
    CHECK(!tramline_participant_is_local(NULL));
    CHECK_STATUS(tramline_stream_read(NULL, 0, &frame), TRAMLINE_ERR_NULL);
    CHECK_STATUS(tramline_stream_read_batch(NULL, 0, &frame, 1, &count), TRAMLINE_ERR_NULL);
    CHECK_STATUS(tramline_stream_close(NULL), TRAMLINE_ERR_NULL);
    CHECK(strstr(tramline_last_error(), "stream is null") != NULL);
    CHECK(tramline_attributes_len(NULL) == 0);
    CHECK(tramline_participant_list_len(NULL) == 0);
    CHECK(tramline_participant_list_at(NULL, 0) == NULL);
    CHECK(tramline_remote_track_list_at(NULL, 0) == NULL);

    tramline_room_free(NULL);
    tramline_participant_free(NULL);
    tramline_participant_list_free(NULL);
    tramline_remote_track_list_free(NULL);
    tramline_attributes_free(NULL);
    tramline_local_track_free(NULL);
    tramline_remote_track_free(NULL);
    tramline_stream_free(NULL);
    tramline_event_free(NULL);
    tramline_frame_release(NULL);
    tramline_frame_release(&frame);
    tramline_string_free(string);
}

static void defaults_say_what_the_header_says(void) {
    tramline_room_options room;
    memset(&room, 0xff, sizeof room);
    CHECK_OK(tramline_room_options_defaults(&room, sizeof room));
    CHECK(room.struct_size == sizeof room && room.connect_timeout_ms == 15000 && room.close_timeout_ms == 2000);
    CHECK(room.event_capacity == 512 && room.system_roots == 1 && room.extra_roots_pem.len == 0);
    tramline_publish_options publish;
    CHECK_OK(tramline_publish_options_defaults(&publish, sizeof publish));
    CHECK(publish.max_age_ms == 100 && publish.on_full == TRAMLINE_ON_FULL_EVICT_OLDEST && publish.name.len == 0);
    tramline_subscribe_options subscribe;
    CHECK_OK(tramline_subscribe_options_defaults(&subscribe, sizeof subscribe));
    CHECK(subscribe.max_age_ms == 100 && subscribe.buffer_size == 0);
    tramline_pipeline_options pipeline;
    CHECK_OK(tramline_pipeline_options_defaults(&pipeline, sizeof pipeline));
    CHECK(pipeline.max_partial_frames == 0);
    CHECK_STATUS(tramline_room_options_defaults(NULL, sizeof room), TRAMLINE_ERR_NULL);
    CHECK_STATUS(tramline_room_options_defaults(&room, 4), TRAMLINE_ERR_STRUCT_SIZE);
}

static void structs_of_other_versions_are_taken_or_refused(void) {
    struct {
        tramline_room_options options;
        uint64_t of_a_later_version;
    } later;
    CHECK_OK(tramline_room_options_defaults(&later.options, sizeof later));
    CHECK(later.options.struct_size == sizeof later && later.of_a_later_version == 0);
    tramline_room *room;
    CHECK_STATUS(tramline_room_connect("gopher://x", TRAMLINE_NUL_TERMINATED, "x", 1, &later.options, &room),
                 TRAMLINE_ERR_CONNECT_URL);
    later.of_a_later_version = 1;
    CHECK_STATUS(tramline_room_connect("gopher://x", TRAMLINE_NUL_TERMINATED, "x", 1, &later.options, &room),
                 TRAMLINE_ERR_STRUCT_SIZE);
    CHECK(strstr(tramline_last_error(), "newer library") != NULL);
    tramline_room_options unset = {0};
    CHECK_STATUS(tramline_room_connect("gopher://x", TRAMLINE_NUL_TERMINATED, "x", 1, &unset, &room),
                 TRAMLINE_ERR_STRUCT_SIZE);
    CHECK(strstr(tramline_last_error(), "_defaults") != NULL);
}

static void texts_must_be_utf8(void) {
    tramline_room *room;
    CHECK_STATUS(tramline_room_connect("ws://\xff", TRAMLINE_NUL_TERMINATED, "x", 1, NULL, &room),
                 TRAMLINE_ERR_INVALID_UTF8);
    CHECK(strstr(tramline_last_error(), "url is not UTF-8 from byte 5 on") != NULL);
}

static void *other_thread(void *unused) {
    (void)unused;
    CHECK(strcmp(tramline_last_error(), "") == 0);
    CHECK_STATUS(tramline_room_disconnect(NULL), TRAMLINE_ERR_NULL);
    CHECK(strstr(tramline_last_error(), "room is null") != NULL);
    return NULL;
}

static void the_last_error_is_the_threads_own_and_success_leaves_it(void) {
    CHECK_STATUS(tramline_stream_close(NULL), TRAMLINE_ERR_NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    tramline_frame frame = empty_frame();
    CHECK(frame.len == 0);
    CHECK(strstr(tramline_last_error(), "stream is null") != NULL);
}

const test value_tests[] = {
    {"the library is that of the header", the_library_is_that_of_the_header},
    {"a status has a name and LiveKit's number", a_status_has_a_name_and_livekits_number},
    {"null is a status and never a fault", null_is_a_status_and_never_a_fault},
    {"defaults say what the header says", defaults_say_what_the_header_says},
    {"structs of other versions are taken or refused", structs_of_other_versions_are_taken_or_refused},
    {"texts must be UTF-8", texts_must_be_utf8},
    {"the last error is the thread's own and success leaves it", the_last_error_is_the_threads_own_and_success_leaves_it},
    {NULL, NULL},
};
