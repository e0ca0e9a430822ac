/* Everything at once, from many threads. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 12, READERS = 2 };

typedef struct shared {
    tramline_local_track *local;
    tramline_stream *stream;
    atomic_int frames;
} shared;

static void *push_until_refused(void *argument) {
    shared *shared = argument;
    uint8_t payload[3000] = {0};
    tramline_status status;
    do {
        status = tramline_local_track_try_push(shared->local, payload, sizeof payload);
    } while (status == TRAMLINE_OK);
    CHECK_STATUS(status, TRAMLINE_ERR_PUSH_UNPUBLISHED);
    return NULL;
}

static void *read_until_closed(void *argument) {
    shared *shared = argument;
    tramline_frame frame = empty_frame();
    tramline_status status;
    while ((status = tramline_stream_read(shared->stream, -1, &frame)) == TRAMLINE_OK) {
        CHECK(frame.len == 3000);
        shared->frames++;
        tramline_frame_release(&frame);
    }
    CHECK(status == TRAMLINE_CLOSED || status == TRAMLINE_ENDED);
    return NULL;
}

static void *close_stream(void *argument) {
    shared *shared = argument;
    while (shared->frames < 3) {
        sched_yield();
    }
    CHECK_OK(tramline_stream_close(shared->stream));
    return NULL;
}

static void *unpublish(void *argument) {
    shared *shared = argument;
    while (shared->frames < 3) {
        sched_yield();
    }
    CHECK_OK(tramline_local_track_unpublish(shared->local));
    return NULL;
}

static void read_push_close_and_unpublish_at_once(void) {
    tramline_room *publisher = member("race", "publisher"), *subscriber = member("race", "subscriber");
    for (int round = 0; round < ROUNDS; round++) {
        tramline_local_track *local = publish(publisher, "scan");
        tramline_remote_track *remote = await_track(subscriber, "scan");
        shared shared = {.local = local, .stream = subscribe(remote)};
        void *(*bodies[])(void *) = {push_until_refused, push_until_refused, read_until_closed, read_until_closed,
                                     close_stream,       close_stream,       unpublish,         unpublish};
        pthread_t threads[sizeof bodies / sizeof *bodies];
        for (size_t index = 0; index < sizeof bodies / sizeof *bodies; index++) {
            CHECK(pthread_create(&threads[index], NULL, bodies[index], &shared) == 0);
        }
        for (size_t index = 0; index < sizeof bodies / sizeof *bodies; index++) {
            CHECK(pthread_join(threads[index], NULL) == 0);
        }
        tramline_stream_free(shared.stream);
        tramline_remote_track_free(remote);
        tramline_local_track_free(local);
        tramline_event_free(await_event(subscriber, TRAMLINE_EVENT_TRACK_UNPUBLISHED));
    }
    leave(subscriber);
    leave(publisher);
}

static void *push_clone(void *argument) {
    tramline_local_track *track = argument;
    tramline_status status;
    uint8_t byte = 1;
    do {
        status = tramline_local_track_try_push(track, &byte, 1);
    } while (status == TRAMLINE_OK);
    CHECK_STATUS(status, TRAMLINE_ERR_PUSH_UNPUBLISHED);
    tramline_local_track_free(track);
    return NULL;
}

static void rooms_come_and_go_under_their_tracks(void) {
    for (int round = 0; round < ROUNDS / 3; round++) {
        tramline_room *room = member("coming", "anna");
        tramline_local_track *track = publish(room, "scan");
        pthread_t threads[2];
        for (int index = 0; index < 2; index++) {
            CHECK(pthread_create(&threads[index], NULL, push_clone, tramline_local_track_clone(track)) == 0);
        }
        if (round % 2 == 0) {
            CHECK_OK(tramline_room_disconnect(room));
        }
        tramline_room_free(room);
        for (int index = 0; index < 2; index++) {
            CHECK(pthread_join(threads[index], NULL) == 0);
        }
        tramline_local_track_free(track);
    }
    /* What was freed without leaving leaves in the background. */
    char status[4096];
    while (thread_status("tramline-room", status, sizeof status)) {
        sched_yield();
    }
}

const test race_tests[] = {
    {"read, push, close and unpublish at once", read_push_close_and_unpublish_at_once},
    {"rooms come and go under their tracks", rooms_come_and_go_under_their_tracks},
    {NULL, NULL},
};
