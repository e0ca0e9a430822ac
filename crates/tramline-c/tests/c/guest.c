/* A guest in its host's process: panics, signals, forks, logs, a server that dies. */
#define _GNU_SOURCE
#include "harness.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Only in a library that was built for the tests. */
tramline_status tramline_test_panic(void);

static void a_panic_is_a_status(void) {
    CHECK_STATUS(tramline_test_panic(), TRAMLINE_ERR_PANIC);
    CHECK(strstr(tramline_last_error(), "on purpose") != NULL);
    CHECK_STATUS(tramline_test_panic(), TRAMLINE_ERR_PANIC);
}

static void a_killed_server_ends_the_session_and_not_the_process(void) {
    struct sigaction action;
    CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    server server = server_start();
    tramline_room *room;
    CHECK_OK(join(&server, "doomed", "anna", &room));
    tramline_local_track *track = publish(room, "scan");
    server_kill(&server);
    tramline_status status;
    do {
        status = tramline_local_track_try_push(track, (const uint8_t *)"x", 1);
    } while (status == TRAMLINE_OK && tramline_room_is_connected(room));
    tramline_event *event = await_event(room, TRAMLINE_EVENT_DISCONNECTED);
    CHECK(event->reason != 1 && event->detail.len > 0);
    tramline_event_free(event);
    tramline_local_track_free(track);
    leave(room);
    CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
}

static void a_session_over_tls_works_and_its_end_does_not_end_the_process(void) {
    server proxy = tls_proxy_start();
    char *jwt = token("secure", "anna", NULL), *root = read_file("tls/ca.pem");
    tramline_room_options options;
    CHECK_OK(tramline_room_options_defaults(&options, sizeof options));
    options.connect_timeout_ms = LIMIT;
    tramline_room *room;
    CHECK_STATUS(tramline_room_connect(proxy.url, TRAMLINE_NUL_TERMINATED, jwt, TRAMLINE_NUL_TERMINATED, &options, &room),
                 TRAMLINE_ERR_CONNECT_TLS);
    options.extra_roots_pem = (tramline_str){root, TRAMLINE_NUL_TERMINATED};
    options.system_roots = 0;
    CHECK_OK(tramline_room_connect(proxy.url, TRAMLINE_NUL_TERMINATED, jwt, TRAMLINE_NUL_TERMINATED, &options, &room));
    free(jwt);
    free(root);
    tramline_local_track *track = publish(room, "scan");
    CHECK_OK(tramline_local_track_try_push(track, (const uint8_t *)"x", 1));
    server_kill(&proxy);
    tramline_event_free(await_event(room, TRAMLINE_EVENT_DISCONNECTED));
    tramline_local_track_free(track);
    leave(room);
}

static void our_threads_take_no_signals(void) {
    const char *preloaded = getenv("LD_PRELOAD");
    /* valgrind runs threads under masks of its own; the other builds look. */
    if (preloaded != NULL && strstr(preloaded, "vgpreload")) return;
    tramline_room *room = member("signals", "anna");
    char status[4096];
    CHECK(thread_status("tramline-room", status, sizeof status));
    const char *blocked = strstr(status, "SigBlk:");
    CHECK(blocked != NULL);
    unsigned long long mask = strtoull(blocked + 7, NULL, 16);
    for (int number = 1; number <= 31; number++) {
        bool fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGTRAP ||
                     number == SIGPROF || number == SIGKILL || number == SIGSTOP;
        CHECK(fault || (mask >> (number - 1) & 1));
    }
    leave(room);
    CHECK(!thread_status("tramline-room", status, sizeof status));
}

static void in_child(pair *pair, tramline_event *event, tramline_participant_list *list) {
    /* Every call on what is the parent's returns at once, and freeing does nothing. */
    tramline_frame frame = empty_frame();
    tramline_stream *stream;
    tramline_local_track *track;
    tramline_event *polled;
    tramline_participant *participant;
    tramline_room_stats stats = {.struct_size = sizeof stats};
    tramline_publish_options options;
    size_t count;
    CHECK_OK(tramline_publish_options_defaults(&options, sizeof options));
    options.name = (tramline_str){"child", 5};
    CHECK_STATUS(tramline_room_publish(pair->publisher, &options, &track), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_local_track_try_push(pair->local, (const uint8_t *)"x", 1), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_local_track_push(pair->local, &frame, -1), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_local_track_unpublish(pair->local), TRAMLINE_ERR_FORKED);
    CHECK(!tramline_local_track_is_published(pair->local));
    CHECK_STATUS(tramline_remote_track_subscribe(pair->remote, NULL, &stream), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_stream_read(pair->stream, -1, &frame), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_stream_read_batch(pair->stream, -1, &frame, 1, &count), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_stream_close(pair->stream), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_room_poll_event(pair->subscriber, -1, &polled), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_room_local_participant(pair->subscriber, &participant), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_room_read_stats(pair->subscriber, &stats), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_room_set_event_callback(pair->subscriber, NULL, NULL), TRAMLINE_ERR_FORKED);
    CHECK_STATUS(tramline_room_disconnect(pair->subscriber), TRAMLINE_ERR_FORKED);
    CHECK_TEXT(tramline_participant_identity(event->participant), "");
    CHECK(strstr(tramline_last_error(), "forked") != NULL);
    tramline_stream_free(pair->stream);
    tramline_remote_track_free(pair->remote);
    tramline_local_track_free(pair->local);
    tramline_event_free(event);
    tramline_participant_list_free(list);
    tramline_room_free(pair->publisher);
    tramline_room_free(pair->subscriber);

    /* A room of the child's own works. */
    struct pair own = pair_start("child");
    pass(own.local, own.stream, 4, 4, &frame);
    tramline_frame_release(&frame);
    pair_end(&own);
}

static void a_forked_child_is_told_so_and_may_connect_itself(void) {
    pair pair = pair_start("fork");
    tramline_room *third = member("fork", "third");
    tramline_event *event = await_event(pair.publisher, TRAMLINE_EVENT_PARTICIPANT_CONNECTED);
    tramline_participant_list *list;
    CHECK_OK(tramline_room_remote_participants(pair.publisher, &list));
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        in_child(&pair, event, list);
        /* What it freed stays allocated on purpose: another program has no leaks that valgrind could find. */
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* The parent noticed nothing. */
    tramline_frame frame;
    pass(pair.local, pair.stream, 6, 6, &frame);
    tramline_frame_release(&frame);
    tramline_event_free(event);
    tramline_participant_list_free(list);
    leave(third);
    pair_end(&pair);
}

typedef struct log {
    atomic_int messages, nested, other_levels;
    atomic_bool running;
} log;

static void on_log(void *user_data, tramline_log_level level, const char *logger, const char *message) {
    log *log = user_data;
    CHECK(!atomic_exchange(&log->running, true));
    CHECK(strlen(message) > 0);
    CHECK(level >= TRAMLINE_LOG_WARN || strncmp(logger, "tramline", 8) == 0);
    log->messages++;
    log->other_levels += level < TRAMLINE_LOG_DEBUG;
    /* Calls in it work, and do not come back here. */
    CHECK_STATUS(tramline_room_disconnect(NULL), TRAMLINE_ERR_NULL);
    atomic_store(&log->running, false);
}

static void messages_go_to_the_callback_and_nowhere_when_it_is_gone(void) {
    static log log;
    CHECK_STATUS(tramline_set_log_callback(on_log, &log, 5), TRAMLINE_ERR_INVALID_ARGUMENT);
    CHECK_OK(tramline_set_log_callback(on_log, &log, TRAMLINE_LOG_DEBUG));
    tramline_room *room = member("logging", "anna");
    CHECK(log.messages > 0 && log.other_levels == 0);
    CHECK_OK(tramline_set_log_callback(on_log, &log, TRAMLINE_LOG_OFF));
    leave(room);
    CHECK_OK(tramline_set_log_callback(NULL, NULL, TRAMLINE_LOG_TRACE));
    int before = log.messages;
    leave(member("logging", "bert"));
    CHECK(log.messages == before);
}

static void on_own_log(void *user_data, tramline_log_level level, const char *logger, const char *message) {
    (void)level, (void)logger, (void)message;
    atomic_int *count = user_data;
    ++*count;
    /* It takes itself away. */
    CHECK_OK(tramline_set_log_callback(NULL, NULL, TRAMLINE_LOG_OFF));
}

static void a_log_callback_may_take_itself_away(void) {
    static atomic_int count;
    CHECK_OK(tramline_set_log_callback(on_own_log, &count, TRAMLINE_LOG_DEBUG));
    leave(member("logging", "carl"));
    CHECK(count == 1);
}

/* A second copy of the library, loaded beside the one that the test is linked with. */
typedef struct copy {
    void *handle;
    log *log;
} copy;

static void *use_copy(void *argument) {
    copy *copy = argument;
    tramline_status (*connect)(const char *, size_t, const char *, size_t, const tramline_room_options *, tramline_room **);
    tramline_status (*disconnect)(const tramline_room *);
    void (*release)(tramline_room *);
    const char *(*last_error)(void);
    *(void **)&connect = dlsym(copy->handle, "tramline_room_connect");
    *(void **)&disconnect = dlsym(copy->handle, "tramline_room_disconnect");
    *(void **)&release = dlsym(copy->handle, "tramline_room_free");
    *(void **)&last_error = dlsym(copy->handle, "tramline_last_error");
    CHECK(connect != NULL && connect != tramline_room_connect && disconnect != NULL && release != NULL && last_error != NULL);

    CHECK_STATUS(tramline_room_disconnect(NULL), TRAMLINE_ERR_NULL);
    CHECK(strcmp(last_error(), "") == 0);
    char *jwt = token("copies", "second", NULL);
    tramline_room *room;
    CHECK_OK(connect(shared_server.url, TRAMLINE_NUL_TERMINATED, jwt, TRAMLINE_NUL_TERMINATED, NULL, &room));
    free(jwt);
    CHECK(copy->log->messages == 0);
    tramline_room *ours = member("copies", "first");
    CHECK(copy->log->messages > 0);
    leave(ours);
    CHECK_OK(disconnect(room));
    release(room);
    return NULL;
}

static bool is_loaded(const char *path) {
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        found = found || strstr(line, path) != NULL;
    }
    fclose(maps);
    return found;
}

static void a_second_copy_of_the_library_is_on_its_own_and_can_be_unloaded(void) {
    const char *path = getenv("TRAMLINE_SECOND_COPY");
    CHECK(path != NULL && "TRAMLINE_SECOND_COPY is the path of a copy of libtramline.so");
    static log log;
    /* What a library made once for itself is lost when it is unloaded: whoever looks for leaks keeps it. */
    const int stays = getenv("TRAMLINE_KEEP_COPY") != NULL ? RTLD_NODELETE : 0;
    copy copy = {dlopen(path, RTLD_NOW | RTLD_LOCAL | stays), &log};
    CHECK(copy.handle != NULL);
    CHECK_OK(tramline_set_log_callback(on_log, &log, TRAMLINE_LOG_DEBUG));
    /* On a thread of its own: what a thread has of the library's is gone with the thread only. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use_copy, &copy) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_OK(tramline_set_log_callback(NULL, NULL, TRAMLINE_LOG_OFF));
    CHECK(is_loaded(path));
    CHECK(dlclose(copy.handle) == 0);
    CHECK(is_loaded(path) == (stays != 0));
    /* Nothing of it is called when the process forks. */
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
}

const test guest_tests[] = {
    {"a panic is a status", a_panic_is_a_status},
    {"a killed server ends the session and not the process", a_killed_server_ends_the_session_and_not_the_process},
    {"a session over TLS works and its end does not end the process", a_session_over_tls_works_and_its_end_does_not_end_the_process},
    {"our threads take no signals", our_threads_take_no_signals},
    {"a forked child is told so and may connect itself", a_forked_child_is_told_so_and_may_connect_itself},
    {"messages go to the callback and nowhere when it is gone", messages_go_to_the_callback_and_nowhere_when_it_is_gone},
    {"a log callback may take itself away", a_log_callback_may_take_itself_away},
    {"a second copy of the library is on its own and can be unloaded", a_second_copy_of_the_library_is_on_its_own_and_can_be_unloaded},
    {NULL, NULL},
};
