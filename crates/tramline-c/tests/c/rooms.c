/* Joining, who is there, events, leaving. */
#define _GNU_SOURCE
#include "harness.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void what_cannot_be_joined_says_why(void) {
    tramline_room *room;
    CHECK_STATUS(tramline_room_connect("http:", 5, "x", 1, NULL, &room), TRAMLINE_ERR_CONNECT_URL);
    CHECK(room == NULL);

    /* A port that is taken and does not listen. */
    int taken = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    CHECK(bind(taken, (struct sockaddr *)&address, size) == 0);
    CHECK(getsockname(taken, (struct sockaddr *)&address, &size) == 0);
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%d", ntohs(address.sin_port));
    CHECK_STATUS(tramline_room_connect(url, strlen(url), "x", 1, NULL, &room), TRAMLINE_ERR_CONNECT_UNREACHABLE);
    CHECK(strstr(tramline_last_error(), "server is running there") != NULL);
    close(taken);

    CHECK_STATUS(tramline_room_connect(shared_server.url, TRAMLINE_NUL_TERMINATED, "no.token.this", TRAMLINE_NUL_TERMINATED,
                                       NULL, &room),
                 TRAMLINE_ERR_CONNECT_UNAUTHORIZED);
    CHECK(strstr(tramline_last_error(), "roomJoin") != NULL);

    /* The server's port speaks no TLS. */
    char *secure = strdup(shared_server.url);
    size_t prefix = strlen("ws://");
    char wss[160];
    snprintf(wss, sizeof wss, "wss://%s", secure + prefix);
    free(secure);
    CHECK_STATUS(tramline_room_connect(wss, TRAMLINE_NUL_TERMINATED, "x", 1, NULL, &room), TRAMLINE_ERR_CONNECT_TLS);
    tramline_room_options options;
    CHECK_OK(tramline_room_options_defaults(&options, sizeof options));
    options.extra_roots_pem = (tramline_str){"none", TRAMLINE_NUL_TERMINATED};
    CHECK_STATUS(tramline_room_connect(wss, TRAMLINE_NUL_TERMINATED, "x", 1, &options, &room), TRAMLINE_ERR_INVALID_ARGUMENT);
    CHECK(strstr(tramline_last_error(), "BEGIN CERTIFICATE") != NULL);
}

static void members_see_each_other(void) {
    char *jwt = token("meeting", "anna", "--name Anna --metadata busy --attribute role=arm --attribute site=yard");
    tramline_room *anna;
    CHECK_OK(tramline_room_connect(shared_server.url, TRAMLINE_NUL_TERMINATED, jwt, strlen(jwt), NULL, &anna));
    free(jwt);
    CHECK(tramline_room_is_connected(anna));
    tramline_room *bert = member("meeting", "bert");

    tramline_string text;
    CHECK_OK(tramline_room_name(anna, &text));
    CHECK_TEXT(text, "meeting");
    CHECK(text.data[text.len] == 0);
    tramline_string_free(text);
    CHECK_OK(tramline_room_sid(anna, &text));
    CHECK(strncmp(text.data, "RM_", 3) == 0);
    tramline_string_free(text);
    CHECK_OK(tramline_room_metadata(anna, &text));
    CHECK_TEXT(text, "");
    tramline_string_free(text);

    tramline_participant *self, *other, *nobody;
    CHECK_OK(tramline_room_local_participant(anna, &self));
    CHECK(tramline_participant_is_local(self));
    CHECK_TEXT(tramline_participant_identity(self), "anna");
    CHECK_OK(tramline_room_remote_participant(bert, "anna", 4, &other));
    CHECK(!tramline_participant_is_local(other));
    CHECK_STATUS(tramline_room_remote_participant(bert, "carl", 4, &nobody), TRAMLINE_ERR_NOT_FOUND);
    CHECK(nobody == NULL);
    CHECK_OK(tramline_participant_name(other, &text));
    CHECK_TEXT(text, "Anna");
    tramline_string_free(text);
    CHECK_OK(tramline_participant_metadata(other, &text));
    CHECK_TEXT(text, "busy");
    tramline_string_free(text);
    tramline_string sid;
    CHECK_OK(tramline_participant_sid(other, &text));
    CHECK_OK(tramline_participant_sid(self, &sid));
    CHECK(strncmp(text.data, "PA_", 3) == 0);
    CHECK_TEXT(text, sid.data);
    tramline_string_free(text);
    tramline_string_free(sid);
    CHECK(tramline_participant_kind_of(other) == TRAMLINE_PARTICIPANT_STANDARD);
    tramline_permissions permissions = {.struct_size = sizeof permissions};
    CHECK_OK(tramline_participant_permissions(self, &permissions));
    CHECK(permissions.can_publish_data == 1 && permissions.can_subscribe == 1 && permissions.hidden == 0);

    tramline_attributes *attributes;
    CHECK_OK(tramline_participant_attributes(other, &attributes));
    CHECK(tramline_attributes_len(attributes) == 2);
    tramline_str key, value;
    CHECK_OK(tramline_attributes_at(attributes, 1, &key, &value));
    CHECK_TEXT(key, "site");
    CHECK_TEXT(value, "yard");
    CHECK_STATUS(tramline_attributes_at(attributes, 2, &key, &value), TRAMLINE_ERR_NOT_FOUND);
    tramline_attributes_free(attributes);

    CHECK(tramline_participant_disconnect_reason(other) == -1);
    tramline_room_info info = {.struct_size = sizeof info};
    CHECK_OK(tramline_room_read_info(anna, &info));
    CHECK(info.created_at_ms > 1500000000000 && info.is_recorded == 0);

    tramline_participant_list *list;
    CHECK_OK(tramline_room_remote_participants(bert, &list));
    CHECK(tramline_participant_list_len(list) == 1);
    const tramline_participant *listed = tramline_participant_list_at(list, 0);
    CHECK(tramline_participant_same(listed, other));
    CHECK(!tramline_participant_same(listed, self));
    CHECK(tramline_participant_list_at(list, 1) == NULL);
    tramline_participant *kept = tramline_participant_clone(listed);
    tramline_participant_list_free(list);
    CHECK_TEXT(tramline_participant_identity(kept), "anna");

    leave(anna);
    tramline_event *gone = await_event(bert, TRAMLINE_EVENT_PARTICIPANT_DISCONNECTED);
    CHECK(tramline_participant_same(gone->participant, kept));
    CHECK(tramline_participant_disconnect_reason(kept) == 1);
    tramline_event_free(gone);
    /* Handles outlive whom they stand for, and the room. */
    leave(bert);
    CHECK_TEXT(tramline_participant_identity(kept), "anna");
    tramline_participant_free(kept);
    tramline_participant_free(other);
    tramline_participant_free(self);
}

static void events_are_polled_up_to_the_end(void) {
    tramline_room *room = member("polling", "anna");
    tramline_event *event;
    /* The server tells of the room, and of this participant, when it likes. */
    tramline_status status;
    while ((status = tramline_room_poll_event(room, 20, &event)) == TRAMLINE_OK) {
        tramline_event_free(event);
    }
    CHECK_STATUS(status, TRAMLINE_TIMED_OUT);
    CHECK(event == NULL);
    CHECK_OK(tramline_room_disconnect(room));
    CHECK_OK(tramline_room_disconnect(room));
    CHECK(!tramline_room_is_connected(room));
    event = await_event(room, TRAMLINE_EVENT_DISCONNECTED);
    CHECK(event->reason == 1 && event->struct_size == sizeof *event);
    tramline_event_free(event);
    CHECK_STATUS(tramline_room_poll_event(room, -1, &event), TRAMLINE_ENDED);
    tramline_room_stats stats = {.struct_size = sizeof stats};
    CHECK_STATUS(tramline_room_read_stats(room, &stats), TRAMLINE_ERR_DISCONNECTED);
    tramline_room_free(room);
}

typedef struct heard {
    tramline_room *room;
    atomic_int published, ended;
    char thread[16];
    pthread_mutex_t lock;
    pthread_cond_t changed;
} heard;

static void on_event(void *user_data, const tramline_event *event) {
    heard *heard = user_data;
    pthread_mutex_lock(&heard->lock);
    pthread_getname_np(pthread_self(), heard->thread, sizeof heard->thread);
    if (event->kind == TRAMLINE_EVENT_TRACK_PUBLISHED) {
        tramline_track_info info = {.struct_size = sizeof info};
        CHECK_OK(tramline_remote_track_info(event->track, &info));
        CHECK_TEXT(info.name, "scan");
        CHECK_TEXT(tramline_remote_track_publisher(event->track), "bert");
        heard->published++;
    }
    if (event->kind == TRAMLINE_EVENT_DISCONNECTED) {
        heard->ended++;
    }
    pthread_cond_broadcast(&heard->changed);
    pthread_mutex_unlock(&heard->lock);
}

static void events_go_to_a_callback_on_a_named_thread(void) {
    heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    tramline_room *room = member("calling", "anna");
    CHECK_OK(tramline_room_set_event_callback(room, on_event, &heard));
    tramline_event *event;
    CHECK_STATUS(tramline_room_poll_event(room, 0, &event), TRAMLINE_ERR_BUSY);
    tramline_room *other = member("calling", "bert");
    tramline_local_track *track = publish(other, "scan");
    pthread_mutex_lock(&heard.lock);
    while (heard.published == 0) {
        pthread_cond_wait(&heard.changed, &heard.lock);
    }
    pthread_mutex_unlock(&heard.lock);
    CHECK(strcmp(heard.thread, "tramline-event") == 0);
    char status[4096];
    CHECK(thread_status("tramline-event", status, sizeof status));
    const char *blocked = strstr(status, "SigBlk:");
    CHECK(blocked != NULL);
    unsigned long long mask = strtoull(blocked + 7, NULL, 16);
    CHECK((mask >> 1 & 1) && (mask >> 14 & 1) && (mask >> 12 & 1)); /* SIGINT, SIGTERM, SIGPIPE */

    /* Taken away, it hears nothing any more; given again, it hears the end before the room is freed. */
    CHECK_OK(tramline_room_set_event_callback(room, NULL, NULL));
    tramline_local_track_free(track);
    event = await_event(room, TRAMLINE_EVENT_TRACK_UNPUBLISHED);
    tramline_event_free(event);
    CHECK_OK(tramline_room_set_event_callback(room, on_event, &heard));
    CHECK_OK(tramline_room_disconnect(room));
    tramline_room_free(room);
    CHECK(heard.ended == 1);
    CHECK(!thread_status("tramline-event", status, sizeof status));
    leave(other);
}

static void on_event_leave(void *user_data, const tramline_event *event) {
    heard *heard = user_data;
    if (event->kind != TRAMLINE_EVENT_PARTICIPANT_CONNECTED) {
        return;
    }
    /* Waits for completions in the callback, and takes the room from under itself. */
    tramline_local_track *track = publish(heard->room, "answer");
    tramline_local_track_free(track);
    CHECK_OK(tramline_room_disconnect(heard->room));
    tramline_room_free(heard->room);
    pthread_mutex_lock(&heard->lock);
    heard->ended = 1;
    pthread_cond_broadcast(&heard->changed);
    pthread_mutex_unlock(&heard->lock);
}

static void a_callback_may_publish_leave_and_free_its_room(void) {
    heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    heard.room = member("inside", "anna");
    CHECK_OK(tramline_room_set_event_callback(heard.room, on_event_leave, &heard));
    tramline_room *other = member("inside", "bert");
    pthread_mutex_lock(&heard.lock);
    while (heard.ended == 0) {
        pthread_cond_wait(&heard.changed, &heard.lock);
    }
    pthread_mutex_unlock(&heard.lock);
    leave(other);
}

const test room_tests[] = {
    {"what cannot be joined says why", what_cannot_be_joined_says_why},
    {"members see each other", members_see_each_other},
    {"events are polled up to the end", events_are_polled_up_to_the_end},
    {"events go to a callback on a named thread", events_go_to_a_callback_on_a_named_thread},
    {"a callback may publish, leave and free its room", a_callback_may_publish_leave_and_free_its_room},
    {NULL, NULL},
};
