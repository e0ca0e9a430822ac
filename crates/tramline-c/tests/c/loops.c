/* Reading in a control loop: the newest frame, gaps, silence. */
#include "harness.h"

#include <string.h>

static void the_newest_frame_is_given_until_a_newer_one_comes(void) {
    pair pair = pair_start("latest");
    tramline_stream *stream = subscribe(pair.remote);
    tramline_frame frame = empty_frame();
    CHECK_STATUS(tramline_stream_read_latest(stream, LIMIT, &frame), TRAMLINE_EMPTY);
    tramline_frame other;
    pass(pair.local, pair.stream, 1, 10, &other);
    CHECK(other.number >= 0);
    tramline_frame_release(&other);
    /* Both streams have it now. */
    CHECK_OK(tramline_stream_read_latest(stream, LIMIT, &frame));
    CHECK(frame.len == 10 && frame.data[0] == 1);
    tramline_frame_release(&frame);
    CHECK_OK(tramline_stream_read_latest(stream, LIMIT, &frame));
    CHECK(frame.len == 10 && frame.data[0] == 1);
    tramline_frame_release(&frame);
    CHECK_STATUS(tramline_stream_read_latest(stream, 0, &frame), TRAMLINE_EMPTY);
    pass(pair.local, pair.stream, 2, 10, &other);
    tramline_frame_release(&other);
    CHECK_OK(tramline_stream_read_latest(stream, LIMIT, &frame));
    CHECK(frame.data[0] == 2);
    tramline_frame_release(&frame);
    CHECK_OK(tramline_stream_close(stream));
    CHECK_STATUS(tramline_stream_read_latest(stream, LIMIT, &frame), TRAMLINE_CLOSED);
    tramline_stream_free(stream);
    pair_end(&pair);
}

static void a_frame_says_how_many_are_missing_before_it(void) {
    pair pair = pair_start("gaps");
    tramline_subscribe_options options;
    CHECK_OK(tramline_subscribe_options_defaults(&options, sizeof options));
    options.buffer_size = 1;
    options.max_age_ms = -1;
    tramline_stream *small;
    CHECK_OK(tramline_remote_track_subscribe(pair.remote, &options, &small));
    CHECK_OK(tramline_stream_wait_subscribed(small, LIMIT));
    tramline_frame frame;
    int32_t first = 0, last = 0;
    for (uint8_t byte = 0; byte < 4; byte++) {
        pass(pair.local, pair.stream, byte, 10, &frame);
        last = frame.number;
        tramline_frame_release(&frame);
        if (byte == 0) {
            /* This one is read. */
            CHECK_OK(tramline_stream_read(small, LIMIT, &frame));
            first = frame.number;
            tramline_frame_release(&frame);
        }
    }
    CHECK_OK(tramline_stream_read(small, LIMIT, &frame));
    CHECK(frame.number >= last && frame.gap == (uint32_t)(frame.number - first - 1) && frame.gap >= 2);
    tramline_frame_release(&frame);
    tramline_stream_free(small);
    pair_end(&pair);
}

static void a_silence_is_told_once(void) {
    pair pair = pair_start("silence");
    tramline_subscribe_options options;
    CHECK_OK(tramline_subscribe_options_defaults(&options, sizeof options));
    options.deadline_ms = 5;
    options.max_age_ms = -1;
    tramline_stream *stream;
    CHECK_OK(tramline_remote_track_subscribe(pair.remote, &options, &stream));
    tramline_frame frame = empty_frame();
    CHECK_STATUS(tramline_stream_read(stream, LIMIT, &frame), TRAMLINE_DEADLINE_MISSED);
    CHECK(frame.owner == NULL && frame.len == 0);
    CHECK_STATUS(tramline_stream_read(stream, 20, &frame), TRAMLINE_TIMED_OUT);
    tramline_stream_free(stream);
    pair_end(&pair);
}

const test loop_tests[] = {
    {"the newest frame is given until a newer one comes", the_newest_frame_is_given_until_a_newer_one_comes},
    {"a frame says how many are missing before it", a_frame_says_how_many_are_missing_before_it},
    {"a silence is told once", a_silence_is_told_once},
    {NULL, NULL},
};
