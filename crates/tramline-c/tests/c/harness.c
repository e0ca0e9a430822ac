#define _GNU_SOURCE
#include "harness.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

server shared_server;
static const char *running = "start";

void check(bool condition, const char *what, const char *file, int line) {
    if (!condition) {
        fprintf(stderr, "%s:%d: in %s: %s\n  last error: %s\n", file, line, running, what, tramline_last_error());
        abort();
    }
}

void check_status(tramline_status status, tramline_status expected, const char *what, const char *file, int line) {
    if (status != expected) {
        fprintf(stderr, "%s:%d: in %s: %s\n  is %s, expected %s\n  last error: %s\n", file, line, running, what,
                tramline_status_name(status), tramline_status_name(expected), tramline_last_error());
        abort();
    }
}

void check_text(const char *data, size_t len, const char *expected, const char *file, int line) {
    if (len != strlen(expected) || memcmp(data, expected, len) != 0) {
        fprintf(stderr, "%s:%d: in %s: `%.*s`, expected `%s`\n", file, line, running, (int)len, data, expected);
        abort();
    }
}

static const char *program(void) {
    const char *path = getenv("TRAMLINE_BIN");
    CHECK(path != NULL && "TRAMLINE_BIN is the path of the tramline program");
    return path;
}

static const char *sources(void) {
    const char *path = getenv("TRAMLINE_C_TESTS");
    CHECK(path != NULL && "TRAMLINE_C_TESTS is the folder of these sources");
    return path;
}

/* Starts a program that ends with this one; its stdout, up to the first line's end, goes into `line`. */
static pid_t start(char *const argv[], char *line, size_t size) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        /* Not even a test that fails leaves it behind. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    size_t len = 0;
    while (len + 1 < size && memchr(line, '\n', len) == NULL) {
        ssize_t got = read(ends[0], line + len, size - 1 - len);
        CHECK(got > 0 && "the program starts and says so");
        len += (size_t)got;
    }
    line[len] = 0;
    close(ends[0]);
    return pid;
}

server server_start(void) {
    char line[8192];
    server server;
    char *argv[] = {(char *)program(), "serve", "--dev", "--port", "0", "--json", "--log", "off", NULL};
    server.pid = start(argv, line, sizeof line);
    const char *url = strstr(line, "\"url\":\"");
    CHECK(url != NULL);
    CHECK(sscanf(url, "\"url\":\"%127[^\"]", server.url) == 1);
    return server;
}

server tls_proxy_start(void) {
    char line[64], script[512], certificate[512];
    const char *port = strrchr(shared_server.url, ':');
    CHECK(port != NULL);
    snprintf(script, sizeof script, "%s/tls_proxy.py", sources());
    snprintf(certificate, sizeof certificate, "%s/tls/server.pem", sources());
    char *argv[] = {"python3", script, certificate, (char *)port + 1, NULL};
    server proxy;
    proxy.pid = start(argv, line, sizeof line);
    snprintf(proxy.url, sizeof proxy.url, "wss://localhost:%d", atoi(line));
    return proxy;
}

char *read_file(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", sources(), name);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    char *text = calloc(1, 65536);
    CHECK(text != NULL && fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

void server_kill(server *server) {
    kill(server->pid, SIGKILL);
    CHECK(waitpid(server->pid, NULL, 0) == server->pid);
    server->pid = 0;
}

char *token(const char *room, const char *identity, const char *options) {
    char command[1024];
    snprintf(command, sizeof command, "'%s' token --room %s --identity %s %s", program(), room, identity, options ? options : "");
    FILE *output = popen(command, "r");
    CHECK(output != NULL);
    char *text = calloc(1, 4096);
    CHECK(fgets(text, 4096, output) != NULL);
    CHECK(pclose(output) == 0);
    text[strcspn(text, "\n")] = 0;
    return text;
}

tramline_room_options patient_options(void) {
    tramline_room_options options;
    CHECK_OK(tramline_room_options_defaults(&options, sizeof options));
    options.connect_timeout_ms = LIMIT;
    return options;
}

static tramline_status join_with(const server *server, const char *room, const char *identity,
                                 const tramline_room_options *options, tramline_room **out) {
    char *jwt = token(room, identity, "--can-update-own-metadata");
    tramline_status status =
        tramline_room_connect(server->url, TRAMLINE_NUL_TERMINATED, jwt, TRAMLINE_NUL_TERMINATED, options, out);
    free(jwt);
    return status;
}

tramline_status join(const server *server, const char *room, const char *identity, tramline_room **out) {
    tramline_room_options options = patient_options();
    return join_with(server, room, identity, &options, out);
}

tramline_room *member_with(const char *room, const char *identity, const tramline_room_options *options) {
    tramline_room *joined;
    CHECK_OK(join_with(&shared_server, room, identity, options, &joined));
    CHECK(joined != NULL);
    return joined;
}

tramline_room *member(const char *room, const char *identity) {
    tramline_room_options options = patient_options();
    return member_with(room, identity, &options);
}

void leave(tramline_room *room) {
    CHECK_OK(tramline_room_disconnect(room));
    tramline_room_free(room);
}

tramline_local_track *publish(tramline_room *room, const char *name) {
    tramline_publish_options options;
    CHECK_OK(tramline_publish_options_defaults(&options, sizeof options));
    options.name = (tramline_str){name, strlen(name)};
    options.max_age_ms = -1;
    options.max_queued_bytes = 64 << 20;
    tramline_local_track *track;
    CHECK_OK(tramline_room_publish(room, &options, &track));
    return track;
}

tramline_event *await_event(tramline_room *room, tramline_event_kind kind) {
    for (;;) {
        tramline_event *event;
        CHECK_OK(tramline_room_poll_event(room, LIMIT, &event));
        if (event->kind == kind) {
            return event;
        }
        tramline_event_free(event);
    }
}

tramline_remote_track *await_track(tramline_room *room, const char *name) {
    for (;;) {
        tramline_event *event = await_event(room, TRAMLINE_EVENT_TRACK_PUBLISHED);
        tramline_track_info info = {.struct_size = sizeof info};
        CHECK_OK(tramline_remote_track_info(event->track, &info));
        tramline_remote_track *track = NULL;
        if (info.name.len == strlen(name) && memcmp(info.name.data, name, info.name.len) == 0) {
            track = tramline_remote_track_clone(event->track);
            CHECK(track != NULL);
        }
        tramline_event_free(event);
        if (track != NULL) {
            return track;
        }
    }
}

tramline_stream *subscribe(const tramline_remote_track *track) {
    tramline_subscribe_options options;
    CHECK_OK(tramline_subscribe_options_defaults(&options, sizeof options));
    options.max_age_ms = -1;
    tramline_stream *stream;
    CHECK_OK(tramline_remote_track_subscribe(track, &options, &stream));
    CHECK_OK(tramline_stream_wait_subscribed(stream, LIMIT));
    return stream;
}

pair pair_start(const char *room) {
    pair pair;
    pair.publisher = member(room, "publisher");
    pair.subscriber = member(room, "subscriber");
    pair.local = publish(pair.publisher, "scan");
    pair.remote = await_track(pair.subscriber, "scan");
    pair.stream = subscribe(pair.remote);
    return pair;
}

void pair_end(pair *pair) {
    tramline_stream_free(pair->stream);
    tramline_remote_track_free(pair->remote);
    tramline_local_track_free(pair->local);
    leave(pair->subscriber);
    leave(pair->publisher);
}

void pass(const tramline_local_track *track, const tramline_stream *stream, uint8_t byte, size_t len, tramline_frame *frame) {
    uint8_t *payload = malloc(len + 1);
    CHECK(payload != NULL);
    memset(payload, byte, len);
    for (int attempt = 0; attempt < 200; attempt++) {
        CHECK_OK(tramline_local_track_try_push(track, payload, len));
        *frame = empty_frame();
        tramline_status status = tramline_stream_read(stream, 500, frame);
        while (status == TRAMLINE_OK) {
            if (frame->len == len && memcmp(frame->data, payload, len) == 0) {
                free(payload);
                return;
            }
            tramline_frame_release(frame);
            status = tramline_stream_try_read(stream, frame);
        }
        CHECK(status == TRAMLINE_TIMED_OUT || status == TRAMLINE_EMPTY);
    }
    CHECK(false && "a frame arrives");
}

tramline_frame empty_frame(void) {
    tramline_frame frame;
    CHECK_OK(tramline_frame_defaults(&frame, sizeof frame));
    return frame;
}

bool thread_status(const char *name, char *out, size_t size) {
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(tasks)) != NULL;) {
        char path[512];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        size_t len = fread(out, 1, size - 1, file);
        out[len] = 0;
        fclose(file);
        char expected[64];
        snprintf(expected, sizeof expected, "Name:\t%s\n", name);
        found = strncmp(out, expected, strlen(expected)) == 0;
    }
    closedir(tasks);
    return found;
}

int main(int argc, char **argv) {
    const test *suites[] = {value_tests, room_tests, track_tests, encryption_tests, schema_tests, loop_tests, message_tests, guest_tests, race_tests};
    shared_server = server_start();
    int passed = 0;
    for (size_t suite = 0; suite < sizeof suites / sizeof *suites; suite++) {
        for (const test *test = suites[suite]; test->name != NULL; test++) {
            bool wanted = argc < 2;
            for (int arg = 1; arg < argc; arg++) {
                wanted = wanted || strstr(test->name, argv[arg]) != NULL;
            }
            if (wanted) {
                running = test->name;
                test->run();
                printf("ok %s\n", test->name);
                fflush(stdout);
                passed++;
            }
        }
    }
    server_kill(&shared_server);
    printf("%d C tests passed\n", passed);
    return passed > 0 ? 0 : 1;
}
