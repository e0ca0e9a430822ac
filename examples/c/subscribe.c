/* Subscribes to a data track by name, prints its frames, and ends after a number of them.
 *
 *   subscribe <url> <token> [track [frames]]      or with LIVEKIT_URL and LIVEKIT_TOKEN in the environment
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tramline.h"

static int failed(const char *what, tramline_status status) {
    fprintf(stderr, "subscribe: %s: %s: %s\n", what, tramline_status_name(status), tramline_last_error());
    return EXIT_FAILURE;
}

/* Waits until somebody publishes a track of that name. */
static tramline_status wait_for_track(tramline_room *room, const char *name, tramline_remote_track **found) {
    *found = NULL;
    while (*found == NULL) {
        tramline_event *event;
        tramline_status status = tramline_room_poll_event(room, -1, &event);
        if (status != TRAMLINE_OK) {
            return status;
        }
        if (event->kind == TRAMLINE_EVENT_TRACK_PUBLISHED) {
            tramline_track_info info = {.struct_size = sizeof info};
            tramline_remote_track_info(event->track, &info);
            if (info.name.len == strlen(name) && memcmp(info.name.data, name, info.name.len) == 0) {
                *found = tramline_remote_track_clone(event->track);
            }
        }
        tramline_event_free(event);
    }
    return TRAMLINE_OK;
}

int main(int argc, char **argv) {
    const char *url = argc > 2 ? argv[1] : getenv("LIVEKIT_URL");
    const char *token = argc > 2 ? argv[2] : getenv("LIVEKIT_TOKEN");
    const char *name = argc > 3 ? argv[3] : "clock";
    unsigned long wanted = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    if (url == NULL || token == NULL) {
        fprintf(stderr, "usage: subscribe <url> <token> [track [frames]]\n");
        return EXIT_FAILURE;
    }

    tramline_room *room;
    tramline_status status =
        tramline_room_connect(url, TRAMLINE_NUL_TERMINATED, token, TRAMLINE_NUL_TERMINATED, NULL, &room);
    if (status != TRAMLINE_OK) {
        return failed("connect", status);
    }
    tramline_remote_track *track;
    tramline_stream *stream = NULL;
    status = wait_for_track(room, name, &track);
    if (status == TRAMLINE_OK) {
        status = tramline_remote_track_subscribe(track, NULL, &stream);
        tramline_remote_track_free(track);
    }

    tramline_frame frame;
    tramline_frame_defaults(&frame, sizeof frame);
    for (unsigned long number = 0; status == TRAMLINE_OK && (wanted == 0 || number < wanted); number++) {
        status = tramline_stream_read(stream, -1, &frame);
        if (status == TRAMLINE_OK) {
            printf("%" PRIu64 " %.*s\n", frame.user_timestamp, (int)frame.len, (const char *)frame.data);
            fflush(stdout);
            tramline_frame_release(&frame);
        }
    }
    int result = status == TRAMLINE_OK || status == TRAMLINE_ENDED ? EXIT_SUCCESS : failed("read", status);

    tramline_stream_free(stream);
    tramline_room_disconnect(room);
    tramline_room_free(room);
    return result;
}
