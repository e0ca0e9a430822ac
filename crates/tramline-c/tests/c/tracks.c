/* Publishing, pushing, subscribing, reading. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void a_track_says_what_it_is(void) {
    pair pair = pair_start("info");
    tramline_track_info local = {.struct_size = sizeof local}, remote = {.struct_size = sizeof remote};
    CHECK_OK(tramline_local_track_info(pair.local, &local));
    CHECK_OK(tramline_remote_track_info(pair.remote, &remote));
    CHECK_TEXT(local.name, "scan");
    CHECK_TEXT(remote.name, "scan");
    CHECK(local.uses_e2ee == 0 && remote.uses_e2ee == 0);
    CHECK(local.sid.len == remote.sid.len && memcmp(local.sid.data, remote.sid.data, local.sid.len) == 0);
    CHECK(strncmp(local.sid.data, "DTR_", 4) == 0);
    CHECK_TEXT(tramline_remote_track_publisher(pair.remote), "publisher");
    CHECK(tramline_local_track_is_published(pair.local) && tramline_remote_track_is_published(pair.remote));

    tramline_participant *publisher;
    CHECK_OK(tramline_room_remote_participant(pair.subscriber, "publisher", 9, &publisher));
    tramline_remote_track_list *tracks;
    CHECK_OK(tramline_participant_data_tracks(publisher, &tracks));
    CHECK(tramline_remote_track_list_len(tracks) == 1);
    CHECK(tramline_remote_track_list_at(tracks, 0) != NULL && tramline_remote_track_list_at(tracks, 1) == NULL);
    tramline_remote_track_list_free(tracks);
    tramline_participant_free(publisher);
    pair_end(&pair);
}

static void what_cannot_be_published_says_why(void) {
    tramline_room *room = member("refusing", "anna");
    tramline_local_track *track = publish(room, "scan"), *second;
    tramline_publish_options options;
    CHECK_OK(tramline_publish_options_defaults(&options, sizeof options));
    CHECK_STATUS(tramline_room_publish(room, &options, &second), TRAMLINE_ERR_PUBLISH_INVALID_NAME);
    CHECK(second == NULL);
    options.name = (tramline_str){"scan", 4};
    CHECK_STATUS(tramline_room_publish(room, &options, &second), TRAMLINE_ERR_PUBLISH_DUPLICATE_NAME);
    options.name = (tramline_str){"other", TRAMLINE_NUL_TERMINATED};
    options.on_full = 7;
    CHECK_STATUS(tramline_room_publish(room, &options, &second), TRAMLINE_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(tramline_room_publish(room, NULL, &second), TRAMLINE_ERR_NULL);
    CHECK_OK(tramline_room_disconnect(room));
    options.on_full = TRAMLINE_ON_FULL_REFUSE;
    CHECK_STATUS(tramline_room_publish(room, &options, &second), TRAMLINE_ERR_PUBLISH_DISCONNECTED);
    CHECK_STATUS(tramline_local_track_try_push(track, (const uint8_t *)"x", 1), TRAMLINE_ERR_PUSH_UNPUBLISHED);
    CHECK(!tramline_local_track_is_published(track));
    tramline_local_track_free(track);
    tramline_room_free(room);

    char *jwt = token("refusing", "bert", "--no-publish-data");
    CHECK_OK(tramline_room_connect(shared_server.url, TRAMLINE_NUL_TERMINATED, jwt, TRAMLINE_NUL_TERMINATED, NULL, &room));
    free(jwt);
    CHECK_STATUS(tramline_room_publish(room, &options, &second), TRAMLINE_ERR_PUBLISH_NOT_ALLOWED);
    CHECK(strstr(tramline_last_error(), "canPublishData") != NULL);
    leave(room);
}

static void frames_pass_in_every_form(void) {
    pair pair = pair_start("forms");
    tramline_frame frame;
    pass(pair.local, pair.stream, 7, 3, &frame);
    CHECK(frame.owner != NULL && frame.has_user_timestamp == 0);
    tramline_frame_release(&frame);
    CHECK(frame.owner == NULL && frame.data == NULL && frame.len == 0 && frame.struct_size == sizeof frame);
    tramline_frame_release(&frame);
    /* Of several packets. */
    pass(pair.local, pair.stream, 8, 100 * 1000, &frame);
    tramline_frame_release(&frame);

    bool stamped = false, of_a_frame = false, patient = false, empty = false;
    tramline_frame own = empty_frame();
    own.data = (const uint8_t *)"own";
    own.len = 3;
    for (int attempt = 0; attempt < 200 && !(stamped && of_a_frame && patient && empty); attempt++) {
        CHECK_OK(tramline_local_track_try_push_stamped(pair.local, (const uint8_t *)"stamped", 7, 0));
        own.has_user_timestamp = 1;
        own.user_timestamp = UINT64_MAX;
        CHECK_OK(tramline_local_track_try_push_frame(pair.local, &own));
        own.has_user_timestamp = 0;
        CHECK_OK(tramline_local_track_push(pair.local, &own, LIMIT));
        CHECK_OK(tramline_local_track_try_push(pair.local, NULL, 0));
        while (tramline_stream_read(pair.stream, 100, &frame) == TRAMLINE_OK) {
            stamped = stamped || (frame.len == 7 && frame.has_user_timestamp == 1 && frame.user_timestamp == 0);
            of_a_frame = of_a_frame || (frame.len == 3 && frame.has_user_timestamp == 1 && frame.user_timestamp == UINT64_MAX);
            patient = patient || (frame.len == 3 && frame.has_user_timestamp == 0);
            empty = empty || (frame.len == 0 && frame.has_user_timestamp == 0);
            tramline_frame_release(&frame);
        }
    }
    CHECK(stamped && of_a_frame && patient && empty);
    pair_end(&pair);
}

static void a_frame_that_nobody_could_take_is_refused(void) {
    tramline_room *room = member("large", "anna");
    tramline_local_track *track = publish(room, "scan");
    size_t limit = 2046464;
    uint8_t *payload = calloc(1, limit + 1);
    CHECK_OK(tramline_local_track_try_push(track, payload, limit));
    CHECK_STATUS(tramline_local_track_try_push(track, payload, limit + 1), TRAMLINE_ERR_PUSH_TOO_LARGE);
    CHECK(strstr(tramline_last_error(), "the limit is 2046464") != NULL);
    free(payload);
    tramline_local_track_stats stats = {.struct_size = sizeof stats};
    CHECK_OK(tramline_local_track_read_stats(track, &stats));
    CHECK(stats.accepted == 1 && stats.refused == 1);
    tramline_local_track_free(track);
    leave(room);
}

static void a_full_queue_refuses_when_it_was_asked_to(void) {
    tramline_room *room = member("full", "anna");
    tramline_publish_options options;
    CHECK_OK(tramline_publish_options_defaults(&options, sizeof options));
    options.name = (tramline_str){"scan", 4};
    options.on_full = TRAMLINE_ON_FULL_REFUSE;
    options.max_queued_bytes = 40 * 1000;
    tramline_local_track *track;
    CHECK_OK(tramline_room_publish(room, &options, &track));
    static const uint8_t payload[30 * 1000];
    tramline_status status = TRAMLINE_OK;
    while (status == TRAMLINE_OK) {
        status = tramline_local_track_try_push(track, payload, sizeof payload);
    }
    CHECK_STATUS(status, TRAMLINE_ERR_PUSH_QUEUE_FULL);
    /* It waits for its place. */
    tramline_frame frame = empty_frame();
    frame.data = payload;
    frame.len = sizeof payload;
    CHECK_OK(tramline_local_track_push(track, &frame, LIMIT));
    tramline_local_track_free(track);
    leave(room);
}

static void a_received_frame_outlives_its_stream_and_goes_on_to_another_room(void) {
    pair from = pair_start("from"), to = pair_start("to");
    tramline_frame frame;
    pass(from.local, from.stream, 9, 20 * 1000, &frame);
    pair_end(&from);
    tramline_frame forwarded;
    tramline_status status = TRAMLINE_TIMED_OUT;
    for (int attempt = 0; attempt < 200 && status == TRAMLINE_TIMED_OUT; attempt++) {
        CHECK_OK(tramline_local_track_try_push_frame(to.local, &frame));
        forwarded = empty_frame();
        status = tramline_stream_read(to.stream, 500, &forwarded);
    }
    CHECK_STATUS(status, TRAMLINE_OK);
    CHECK(forwarded.len == frame.len && memcmp(forwarded.data, frame.data, frame.len) == 0);
    tramline_frame_release(&forwarded);
    tramline_frame_release(&frame);
    pair_end(&to);
}

static void a_batch_takes_what_is_there(void) {
    pair pair = pair_start("batch");
    struct {
        tramline_frame frame;
        uint64_t of_a_later_version;
    } frames[4];
    size_t count = 9;
    frames[0].frame.struct_size = 0;
    CHECK_STATUS(tramline_stream_read_batch(pair.stream, 0, &frames[0].frame, 4, &count), TRAMLINE_ERR_STRUCT_SIZE);
    CHECK(count == 0);
    frames[0].frame.struct_size = sizeof frames[0];
    CHECK_STATUS(tramline_stream_read_batch(pair.stream, 0, &frames[0].frame, 4, &count), TRAMLINE_TIMED_OUT);
    CHECK_STATUS(tramline_stream_read_batch(pair.stream, 0, &frames[0].frame, 0, &count), TRAMLINE_ERR_INVALID_ARGUMENT);
    size_t largest = 0;
    for (int attempt = 0; attempt < 200 && largest < 4; attempt++) {
        for (uint8_t number = 0; number < 8; number++) {
            CHECK_OK(tramline_local_track_try_push(pair.local, &number, 1));
        }
        /* Until eight wait, or a frame was lost on the way. */
        tramline_stream_stats stats = {.struct_size = sizeof stats};
        for (int look = 0; look < 1000 && stats.waiting_frames < 8; look++) {
            CHECK_OK(tramline_stream_read_stats(pair.stream, &stats));
            sched_yield();
        }
        frames[0].frame.struct_size = sizeof frames[0];
        tramline_status status;
        while ((status = tramline_stream_read_batch(pair.stream, 100, &frames[0].frame, 4, &count)) == TRAMLINE_OK) {
            CHECK(count >= 1 && count <= 4);
            for (size_t index = 0; index < count; index++) {
                CHECK(frames[index].frame.struct_size == sizeof frames[0] && frames[index].of_a_later_version == 0);
                CHECK(frames[index].frame.len == 1 && frames[index].frame.data[0] < 8);
                tramline_frame_release(&frames[index].frame);
            }
            largest = count > largest ? count : largest;
        }
        CHECK_STATUS(status, TRAMLINE_TIMED_OUT);
        CHECK(count == 0);
    }
    CHECK(largest == 4);
    pair_end(&pair);
}

static void reads_time_out_and_nothing_is_lost(void) {
    pair pair = pair_start("timeouts");
    tramline_frame frame = empty_frame();
    CHECK_STATUS(tramline_stream_read(pair.stream, 0, &frame), TRAMLINE_TIMED_OUT);
    CHECK_STATUS(tramline_stream_read(pair.stream, 3, &frame), TRAMLINE_TIMED_OUT);
    CHECK_STATUS(tramline_stream_try_read(pair.stream, &frame), TRAMLINE_EMPTY);
    CHECK_STATUS(tramline_stream_status(pair.stream), TRAMLINE_OK);
    CHECK_STATUS(tramline_stream_read(pair.stream, 0, NULL), TRAMLINE_ERR_NULL);
    tramline_frame unset = {0};
    CHECK_STATUS(tramline_stream_read(pair.stream, 0, &unset), TRAMLINE_ERR_STRUCT_SIZE);
    pass(pair.local, pair.stream, 1, 1, &frame);
    tramline_frame_release(&frame);
    pair_end(&pair);
}

static void unpublishing_ends_the_streams(void) {
    pair pair = pair_start("unpublish");
    tramline_frame frame;
    pass(pair.local, pair.stream, 1, 1, &frame);
    tramline_frame_release(&frame);
    tramline_local_track *clone = tramline_local_track_clone(pair.local);
    CHECK_OK(tramline_local_track_unpublish(clone));
    CHECK_OK(tramline_local_track_unpublish(clone));
    CHECK(!tramline_local_track_is_published(pair.local));
    CHECK_STATUS(tramline_local_track_try_push(pair.local, (const uint8_t *)"x", 1), TRAMLINE_ERR_PUSH_UNPUBLISHED);
    tramline_local_track_free(clone);
    tramline_status status;
    while ((status = tramline_stream_read(pair.stream, LIMIT, &frame)) == TRAMLINE_OK) {
        tramline_frame_release(&frame);
    }
    CHECK_STATUS(status, TRAMLINE_ENDED);
    CHECK_STATUS(tramline_stream_status(pair.stream), TRAMLINE_ENDED);
    CHECK(!tramline_remote_track_is_published(pair.remote));
    /* The first end stays. */
    CHECK_OK(tramline_stream_close(pair.stream));
    CHECK_STATUS(tramline_stream_status(pair.stream), TRAMLINE_ENDED);

    tramline_stream *late;
    CHECK_OK(tramline_remote_track_subscribe(pair.remote, NULL, &late));
    CHECK_STATUS(tramline_stream_read(late, LIMIT, &frame), TRAMLINE_ERR_SUBSCRIBE_UNPUBLISHED);
    CHECK_STATUS(tramline_stream_wait_subscribed(late, LIMIT), TRAMLINE_ERR_SUBSCRIBE_UNPUBLISHED);
    CHECK_OK(tramline_stream_close(late));
    CHECK_STATUS(tramline_stream_status(late), TRAMLINE_ERR_SUBSCRIBE_UNPUBLISHED);
    tramline_stream_free(late);
    pair_end(&pair);
}

static void freeing_the_last_handle_unpublishes(void) {
    pair pair = pair_start("last-handle");
    tramline_local_track *clone = tramline_local_track_clone(pair.local);
    tramline_local_track_free(clone);
    CHECK(tramline_local_track_is_published(pair.local));
    tramline_local_track_free(pair.local);
    pair.local = NULL;
    tramline_event_free(await_event(pair.subscriber, TRAMLINE_EVENT_TRACK_UNPUBLISHED));
    pair_end(&pair);
}

static void a_stream_says_that_the_session_ended(void) {
    pair pair = pair_start("session-end");
    CHECK_OK(tramline_room_disconnect(pair.subscriber));
    tramline_frame frame = empty_frame();
    CHECK_STATUS(tramline_stream_read(pair.stream, -1, &frame), TRAMLINE_ENDED);
    CHECK_STATUS(tramline_stream_status(pair.stream), TRAMLINE_ERR_DISCONNECTED);
    CHECK(strstr(tramline_last_error(), "client_initiated") != NULL);
    pair_end(&pair);
}

typedef struct reader {
    tramline_stream *stream;
    tramline_status status;
} reader;

static void *read_until_it_ends(void *argument) {
    reader *reader = argument;
    tramline_frame frame = empty_frame();
    while ((reader->status = tramline_stream_read(reader->stream, -1, &frame)) == TRAMLINE_OK) {
        tramline_frame_release(&frame);
    }
    return NULL;
}

static void a_close_wakes_every_blocked_reader(void) {
    pair pair = pair_start("close");
    tramline_remote_track *track = pair.remote;
    reader readers[3];
    pthread_t threads[3];
    for (int index = 0; index < 3; index++) {
        readers[index].stream = pair.stream;
        CHECK(pthread_create(&threads[index], NULL, read_until_it_ends, &readers[index]) == 0);
    }
    /* The server and the other streams of the track notice nothing of it. */
    tramline_stream *other = subscribe(track);
    CHECK_OK(tramline_stream_close(pair.stream));
    CHECK_OK(tramline_stream_close(pair.stream));
    for (int index = 0; index < 3; index++) {
        CHECK(pthread_join(threads[index], NULL) == 0);
        CHECK_STATUS(readers[index].status, TRAMLINE_CLOSED);
    }
    CHECK_STATUS(tramline_stream_status(pair.stream), TRAMLINE_CLOSED);
    tramline_frame frame;
    pass(pair.local, other, 5, 5, &frame);
    tramline_frame_release(&frame);
    CHECK_STATUS(tramline_stream_try_read(pair.stream, &frame), TRAMLINE_CLOSED);
    tramline_stream_free(other);
    pair_end(&pair);
}

static void a_closed_subscription_can_be_made_again(void) {
    pair pair = pair_start("again");
    for (int round = 0; round < 3; round++) {
        CHECK_OK(tramline_stream_close(pair.stream));
        tramline_stream_free(pair.stream);
        pair.stream = subscribe(pair.remote);
        tramline_frame frame;
        pass(pair.local, pair.stream, (uint8_t)round, 10, &frame);
        tramline_frame_release(&frame);
    }
    pair_end(&pair);
}

static void options_and_counters_are_those_of_the_track(void) {
    pair pair = pair_start("counters");
    tramline_pipeline_options options;
    CHECK_OK(tramline_pipeline_options_defaults(&options, sizeof options));
    options.max_partial_frames = 1;
    CHECK_OK(tramline_remote_track_set_pipeline_options(pair.remote, &options));
    CHECK_OK(tramline_remote_track_set_pipeline_options(pair.remote, NULL));
    tramline_subscribe_options small;
    CHECK_OK(tramline_subscribe_options_defaults(&small, sizeof small));
    small.buffer_size = 2;
    small.max_age_ms = -1;
    tramline_stream *slow;
    CHECK_OK(tramline_remote_track_subscribe(pair.remote, &small, &slow));
    CHECK_OK(tramline_stream_wait_subscribed(slow, LIMIT));
    tramline_stream_stats stats = {.struct_size = sizeof stats};
    tramline_frame frame;
    for (uint8_t number = 0; number < 5; number++) {
        pass(pair.local, pair.stream, number, 10, &frame);
        tramline_frame_release(&frame);
    }
    CHECK_OK(tramline_stream_read_stats(slow, &stats));
    CHECK(stats.waiting_frames == 2 && stats.accepted >= 5);
    CHECK(stats.dropped[TRAMLINE_DROP_QUEUE_FULL] == stats.dropped_total && stats.dropped_total == stats.accepted - 2);
    tramline_local_track_stats local = {.struct_size = sizeof local};
    CHECK_OK(tramline_local_track_read_stats(pair.local, &local));
    CHECK(local.accepted >= 5 && local.sent >= 5 && local.bytes >= 5 * 22 && local.refused == 0);
    tramline_remote_track_stats remote = {.struct_size = sizeof remote};
    CHECK_OK(tramline_remote_track_read_stats(pair.remote, &remote));
    CHECK(remote.delivered >= 5 && remote.bytes == 10 * remote.delivered);
    tramline_room_stats room = {.struct_size = sizeof room};
    CHECK_OK(tramline_room_read_stats(pair.subscriber, &room));
    CHECK(room.datagrams_received > 0 && room.bytes_sent > 0 && room.messages_received >= 5 && room.thread_cpu_us > 0);
    CHECK_OK(tramline_stream_close(slow));
    CHECK_OK(tramline_stream_read_stats(slow, &stats));
    CHECK(stats.accepted >= 5);
    tramline_stream_free(slow);
    pair_end(&pair);
}

const test track_tests[] = {
    {"a track says what it is", a_track_says_what_it_is},
    {"what cannot be published says why", what_cannot_be_published_says_why},
    {"frames pass in every form", frames_pass_in_every_form},
    {"a frame that nobody could take is refused", a_frame_that_nobody_could_take_is_refused},
    {"a full queue refuses when it was asked to", a_full_queue_refuses_when_it_was_asked_to},
    {"a received frame outlives its stream and goes on to another room",
     a_received_frame_outlives_its_stream_and_goes_on_to_another_room},
    {"a batch takes what is there", a_batch_takes_what_is_there},
    {"reads time out and nothing is lost", reads_time_out_and_nothing_is_lost},
    {"unpublishing ends the streams", unpublishing_ends_the_streams},
    {"freeing the last handle unpublishes", freeing_the_last_handle_unpublishes},
    {"a stream says that the session ended", a_stream_says_that_the_session_ended},
    {"a close wakes every blocked reader", a_close_wakes_every_blocked_reader},
    {"a closed subscription can be made again", a_closed_subscription_can_be_made_again},
    {"options and counters are those of the track", options_and_counters_are_those_of_the_track},
    {NULL, NULL},
};
