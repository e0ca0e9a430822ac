/* Publishes a data track: the time and a number, a hundred times a second, until it is interrupted.
 *
 *   publish <url> <token> [track]      or with LIVEKIT_URL and LIVEKIT_TOKEN in the environment
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tramline.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

static int failed(const char *what, tramline_status status) {
    fprintf(stderr, "publish: %s: %s: %s\n", what, tramline_status_name(status), tramline_last_error());
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    const char *url = argc > 2 ? argv[1] : getenv("LIVEKIT_URL");
    const char *token = argc > 2 ? argv[2] : getenv("LIVEKIT_TOKEN");
    const char *name = argc > 3 ? argv[3] : "clock";
    if (url == NULL || token == NULL) {
        fprintf(stderr, "usage: publish <url> <token> [track]\n");
        return EXIT_FAILURE;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);

    tramline_room *room;
    tramline_status status =
        tramline_room_connect(url, TRAMLINE_NUL_TERMINATED, token, TRAMLINE_NUL_TERMINATED, NULL, &room);
    if (status != TRAMLINE_OK) {
        return failed("connect", status);
    }

    tramline_publish_options options;
    tramline_publish_options_defaults(&options, sizeof options);
    options.name = (tramline_str){name, TRAMLINE_NUL_TERMINATED};
    tramline_local_track *track;
    status = tramline_room_publish(room, &options, &track);
    if (status != TRAMLINE_OK) {
        failed("publish", status);
        tramline_room_free(room);
        return EXIT_FAILURE;
    }

    for (unsigned long number = 0; !interrupted; number++) {
        struct timespec now, pause = {0, 10 * 1000 * 1000};
        clock_gettime(CLOCK_REALTIME, &now);
        char text[64];
        int len = snprintf(text, sizeof text, "frame %lu", number);
        uint64_t millis = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
        status = tramline_local_track_try_push_stamped(track, (const uint8_t *)text, (size_t)len, millis);
        if (status != TRAMLINE_OK) {
            failed("push", status);
            break;
        }
        nanosleep(&pause, NULL);
    }

    tramline_local_track_free(track);
    tramline_room_disconnect(room);
    tramline_room_free(room);
    return interrupted ? EXIT_SUCCESS : EXIT_FAILURE;
}
