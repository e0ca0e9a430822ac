/* What a push costs the thread that makes it.
 *
 *   cargo xtask dist && cargo build --release -p tramline-cli
 *   cc -O2 -o target/try_push -Itarget/dist/include crates/tramline-c/benches/try_push.c \
 *       -Ltarget/dist/lib -ltramline -Wl,-rpath,$PWD/target/dist/lib
 *   target/release/tramline serve --dev --port 7880 &
 *   target/try_push ws://127.0.0.1:7880 $(target/release/tramline token --room bench --identity pusher)
 *
 * Two cores that other work kept busy; the median of three runs. What is asked for is 1 us with the driver awake and 8 us with a wake:
 *
 *   1 KiB, first of a burst of ten, with a wake    p50 18.3 us
 *   1 KiB, the other nine, driver awake            p50  0.3 us
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tramline.h"

enum { SIZE = 1024, PUSHES = 20000 };

static uint64_t nanos(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int ascending(const void *one, const void *two) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)two;
    return (a > b) - (a < b);
}

static void require(tramline_status status, const char *what) {
    if (status != TRAMLINE_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, tramline_status_name(status), tramline_last_error());
        exit(EXIT_FAILURE);
    }
}

static void report(const char *what, uint64_t *costs, size_t count) {
    qsort(costs, count, sizeof *costs, ascending);
    printf("%-48s p50 %6.2f us   p90 %6.2f us   p99 %6.2f us\n", what, (double)costs[count / 2] / 1000,
           (double)costs[count * 9 / 10] / 1000, (double)costs[count * 99 / 100] / 1000);
}

/* Bursts with a pause between them: the first push of a burst finds the driver asleep, or not. */
static void bench(const tramline_local_track *track, size_t burst, const char *first, const char *rest) {
    static uint8_t payload[SIZE];
    static uint64_t firsts[PUSHES], others[PUSHES];
    size_t first_count = 0, other_count = 0;
    while (first_count < 2000 && first_count + other_count < PUSHES) {
        for (size_t index = 0; index < burst; index++) {
            uint64_t before = nanos();
            tramline_status status = tramline_local_track_try_push(track, payload, SIZE);
            uint64_t cost = nanos() - before;
            require(status, "push");
            if (index == 0) {
                firsts[first_count++] = cost;
            } else {
                others[other_count++] = cost;
            }
        }
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    report(first, firsts, first_count);
    if (other_count > 0) {
        report(rest, others, other_count);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: try_push <url> <token>\n");
        return EXIT_FAILURE;
    }
    tramline_room *room;
    require(tramline_room_connect(argv[1], TRAMLINE_NUL_TERMINATED, argv[2], TRAMLINE_NUL_TERMINATED, NULL, &room), "connect");
    tramline_publish_options options;
    require(tramline_publish_options_defaults(&options, sizeof options), "options");
    options.name = (tramline_str){"bench", 5};
    tramline_local_track *track;
    require(tramline_room_publish(room, &options, &track), "publish");

    bench(track, 1, "1 KiB every millisecond, each with a wake", NULL);
    bench(track, 10, "1 KiB, first of a burst of ten, with a wake", "1 KiB, the other nine, driver awake");

    tramline_local_track_free(track);
    require(tramline_room_disconnect(room), "disconnect");
    tramline_room_free(room);
    return EXIT_SUCCESS;
}
