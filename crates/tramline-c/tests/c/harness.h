/* What the C tests share: checks, a server of their own, tokens, members of a room. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tramline.h"

/* Longer than anything takes that works, in milliseconds; also under valgrind. */
#define LIMIT 60000

/* Ends the run, with the place, what was expected and the library's last words. */
#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)
#define CHECK_STATUS(call, expected) check_status((call), (expected), #call, __FILE__, __LINE__)
#define CHECK_OK(call) CHECK_STATUS(call, TRAMLINE_OK)
#define CHECK_TEXT(text, expected) check_text((text).data, (text).len, (expected), __FILE__, __LINE__)

void check(bool condition, const char *what, const char *file, int line);
void check_status(tramline_status status, tramline_status expected, const char *what, const char *file, int line);
void check_text(const char *data, size_t len, const char *expected, const char *file, int line);

/* A server process of its own. */
typedef struct server {
    pid_t pid;
    char url[128];
} server;

/* The server that most tests share. */
extern server shared_server;

server server_start(void);
/* TLS in front of the shared server, with a certificate of the root `tls/ca.pem`. */
server tls_proxy_start(void);
/* A file beside these sources; the caller frees its text. */
char *read_file(const char *name);
/* At once, as a crash would. */
void server_kill(server *server);

/* A token for a room; the caller frees it. `options` are more arguments for `tramline token`, or NULL. */
char *token(const char *room, const char *identity, const char *options);
tramline_status join(const server *server, const char *room, const char *identity, tramline_room **out);
/* As `join`, and it must work. */
tramline_room *member(const char *room, const char *identity);
/* Options with the time that a slow machine needs. */
tramline_room_options patient_options(void);
/* As `member`, with options. */
tramline_room *member_with(const char *room, const char *identity, const tramline_room_options *options);
void leave(tramline_room *room);

/* A track that gives nothing up on a slow machine. */
tramline_local_track *publish(tramline_room *room, const char *name);
/* Waits for the event that a track of that name was published; the caller frees the track. */
tramline_remote_track *await_track(tramline_room *room, const char *name);
/* A live stream with a patient queue. */
tramline_stream *subscribe(const tramline_remote_track *track);
/* Skips events up to one of that kind; the caller frees it. */
tramline_event *await_event(tramline_room *room, tramline_event_kind kind);

/* Two members of one room: one publishes `scan`, the other one reads it. */
typedef struct pair {
    tramline_room *publisher, *subscriber;
    tramline_local_track *local;
    tramline_remote_track *remote;
    tramline_stream *stream;
} pair;

pair pair_start(const char *room);
void pair_end(pair *pair);

/* Pushes `byte`, `len` times, again and again until the stream gives it: data tracks are lossy. Other frames are skipped. */
void pass(const tramline_local_track *track, const tramline_stream *stream, uint8_t byte, size_t len, tramline_frame *frame);

tramline_frame empty_frame(void);
/* What /proc says about the thread of that name of this process; false when there is none. */
bool thread_status(const char *name, char *out, size_t size);

typedef struct test {
    const char *name;
    void (*run)(void);
} test;

/* The tests of each file, ended by one without a name. */
extern const test value_tests[], room_tests[], track_tests[], guest_tests[], race_tests[], message_tests[], encryption_tests[], schema_tests[], loop_tests[];

#endif
