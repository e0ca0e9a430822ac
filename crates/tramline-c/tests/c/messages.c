/* Packets, calls, texts and bytes. */
#define _POSIX_C_SOURCE 200809L
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tramline_str as_text(const uint8_t *data, size_t len) {
    return (tramline_str){(const char *)data, len};
}

static tramline_data_packet packet_of(const char *text) {
    tramline_data_packet packet;
    CHECK_OK(tramline_data_packet_defaults(&packet, sizeof packet));
    packet.data = (const uint8_t *)text;
    packet.len = strlen(text);
    return packet;
}

static void packets_reach_those_whom_they_are_for(void) {
    tramline_room *robot = member("packets", "robot"), *desk = member("packets", "desk"), *other = member("packets", "other");
    tramline_data_packet packet = packet_of("close");
    CHECK(packet.reliable == 1);
    packet.topic = (tramline_str){"grip", 4};
    tramline_str desk_only = {"desk", 4};
    packet.destinations = &desk_only;
    packet.destination_count = 1;
    CHECK_OK(tramline_room_publish_data(robot, &packet));
    tramline_event *event = await_event(desk, TRAMLINE_EVENT_DATA_RECEIVED);
    CHECK_TEXT(as_text(event->data, event->len), "close");
    CHECK_TEXT(event->value, "grip");
    CHECK_TEXT(event->identity, "robot");
    CHECK_TEXT(tramline_participant_identity(event->participant), "robot");
    CHECK(event->flags == TRAMLINE_FLAG_RELIABLE);
    tramline_content_reader *reader = (tramline_content_reader *)event;
    CHECK_STATUS(tramline_event_take_reader(event, &reader), TRAMLINE_ERR_NOT_FOUND);
    CHECK(reader == NULL);
    tramline_event_free(event);

    /* Queued ones come in their order; the other one has seen nothing before. */
    packet = packet_of("one");
    CHECK_OK(tramline_room_try_publish_data(robot, &packet));
    packet = packet_of("");
    CHECK_OK(tramline_room_try_publish_data(robot, &packet));
    event = await_event(other, TRAMLINE_EVENT_DATA_RECEIVED);
    CHECK_TEXT(as_text(event->data, event->len), "one");
    CHECK_TEXT(event->value, "");
    tramline_event_free(event);
    event = await_event(other, TRAMLINE_EVENT_DATA_RECEIVED);
    CHECK(event->len == 0);
    tramline_event_free(event);

    CHECK_OK(tramline_room_publish_dtmf(robot, 5, "5", 1, NULL, 0));
    event = await_event(other, TRAMLINE_EVENT_DTMF_RECEIVED);
    CHECK(event->count == 5);
    CHECK_TEXT(event->value, "5");
    tramline_event_free(event);
    leave(other);
    leave(desk);
    leave(robot);
}

static void what_cannot_be_sent_says_why(void) {
    tramline_room *robot = member("refused", "robot");
    tramline_data_packet packet = packet_of("x");
    uint8_t *large = calloc(1, 100000);
    CHECK(large != NULL);
    packet.data = large;
    packet.len = 100000;
    CHECK_STATUS(tramline_room_publish_data(robot, &packet), TRAMLINE_ERR_DATA_TOO_LARGE);
    CHECK(strstr(tramline_last_error(), "64000") != NULL);
    free(large);
    packet.data = NULL;
    CHECK_STATUS(tramline_room_publish_data(robot, &packet), TRAMLINE_ERR_NULL);
    packet = packet_of("x");
    packet.destination_count = 1;
    CHECK_STATUS(tramline_room_try_publish_data(robot, &packet), TRAMLINE_ERR_NULL);
    CHECK_STATUS(tramline_room_publish_data(NULL, NULL), TRAMLINE_ERR_NULL);
    leave(robot);

    char *jwt = token("refused", "mute", "--no-publish-data");
    CHECK_OK(tramline_room_connect(shared_server.url, TRAMLINE_NUL_TERMINATED, jwt, TRAMLINE_NUL_TERMINATED, NULL, &robot));
    free(jwt);
    packet = packet_of("x");
    CHECK_STATUS(tramline_room_publish_data(robot, &packet), TRAMLINE_ERR_DATA_NOT_ALLOWED);
    leave(robot);
}

typedef struct method {
    atomic_int calls, released;
    tramline_room *room;
    tramline_rpc_call *kept;
    pthread_t answering;
} method;

static void release(void *user_data) {
    ((method *)user_data)->released++;
}

/* Answers with what it was given, or fails as it is told. */
static void on_call(void *user_data, tramline_rpc_call *call) {
    method *method = user_data;
    method->calls++;
    tramline_rpc_call_info info = {.struct_size = sizeof info};
    CHECK_OK(tramline_rpc_call_read_info(call, &info));
    CHECK_TEXT(info.caller, "desk");
    CHECK_TEXT(info.method, "grip");
    CHECK(info.request_id.len > 0 && info.response_timeout_ms > 0);
    if (info.payload.len == 4 && memcmp(info.payload.data, "fail", 4) == 0) {
        CHECK_OK(tramline_rpc_call_fail(call, 42, "stuck", 5, "left finger", TRAMLINE_NUL_TERMINATED));
    } else if (info.payload.len != 6 || memcmp(info.payload.data, "forget", 6) != 0) {
        CHECK_OK(tramline_rpc_call_answer(call, info.payload.data, info.payload.len));
        CHECK_STATUS(tramline_rpc_call_answer(call, "again", 5), TRAMLINE_CLOSED);
    }
    tramline_rpc_call_free(call);
}

static tramline_status call(tramline_room *room, const char *payload, tramline_string *response, tramline_rpc_error *error) {
    return tramline_room_perform_rpc(room, "robot", 5, "grip", 4, payload, strlen(payload), LIMIT, response, error);
}

static void a_method_answers_fails_and_is_forgotten(void) {
    tramline_room *robot = member("calls", "robot"), *desk = member("calls", "desk");
    method method = {0};
    tramline_string response;
    tramline_rpc_error error;
    CHECK_STATUS(call(desk, "x", &response, &error), TRAMLINE_ERR_RPC);
    CHECK(error.code == 1400);
    tramline_string_free(error.message);
    tramline_string_free(error.data);

    CHECK_STATUS(tramline_room_register_rpc(robot, "grip", 4, NULL, NULL, NULL), TRAMLINE_ERR_NULL);
    CHECK_OK(tramline_room_register_rpc(robot, "grip", 4, on_call, &method, release));
    CHECK_OK(call(desk, "gently", &response, &error));
    CHECK_TEXT(response, "gently");
    CHECK(error.code == 0);
    tramline_string_free(response);

    /* More than a packet holds. */
    char *large = malloc(60001);
    CHECK(large != NULL);
    memset(large, 'x', 60000);
    large[60000] = 0;
    CHECK_OK(call(desk, large, &response, NULL));
    CHECK_TEXT(response, large);
    tramline_string_free(response);
    free(large);

    CHECK_STATUS(call(desk, "fail", &response, &error), TRAMLINE_ERR_RPC);
    CHECK(error.code == 42 && response.len == 0);
    CHECK_TEXT(error.message, "stuck");
    CHECK_TEXT(error.data, "left finger");
    tramline_string_free(error.message);
    tramline_string_free(error.data);
    CHECK_STATUS(call(desk, "forget", &response, &error), TRAMLINE_ERR_RPC);
    CHECK(error.code == 1500);
    tramline_string_free(error.message);
    tramline_string_free(error.data);
    CHECK(method.calls == 4 && method.released == 0);

    CHECK_OK(tramline_room_unregister_rpc(robot, "grip", 4));
    CHECK_STATUS(call(desk, "x", &response, NULL), TRAMLINE_ERR_RPC);
    CHECK(method.released == 1);
    CHECK_STATUS(tramline_room_perform_rpc(desk, "nobody", 6, "grip", 4, "", 0, LIMIT, &response, &error), TRAMLINE_ERR_RPC);
    CHECK(error.code == 1401);
    tramline_string_free(error.message);
    tramline_string_free(error.data);
    leave(desk);
    leave(robot);
}

static void *answer_later(void *argument) {
    method *method = argument;
    CHECK_OK(tramline_rpc_call_answer(method->kept, "later", 5));
    tramline_rpc_call_free(method->kept);
    return NULL;
}

/* Calls back its caller, and leaves the answer to another thread. */
static void on_call_nested(void *user_data, tramline_rpc_call *call) {
    method *method = user_data;
    tramline_string response;
    CHECK_OK(tramline_room_perform_rpc(method->room, "desk", 4, "who", 3, "", 0, LIMIT, &response, NULL));
    CHECK_TEXT(response, "desk");
    tramline_string_free(response);
    method->kept = call;
    CHECK(pthread_create(&method->answering, NULL, answer_later, method) == 0);
}

static void on_call_who(void *user_data, tramline_rpc_call *call) {
    CHECK_OK(tramline_rpc_call_answer(call, user_data, TRAMLINE_NUL_TERMINATED));
    tramline_rpc_call_free(call);
}

static void a_handler_calls_back_and_answers_later(void) {
    tramline_room *robot = member("nested", "robot"), *desk = member("nested", "desk");
    /* Otherwise the call may come before the news that there is a caller. */
    tramline_event_free(await_event(robot, TRAMLINE_EVENT_PARTICIPANT_CONNECTED));
    method method = {.room = robot};
    CHECK_OK(tramline_room_register_rpc(robot, "grip", 4, on_call_nested, &method, release));
    CHECK_OK(tramline_room_register_rpc(desk, "who", 3, on_call_who, "desk", NULL));
    tramline_string response;
    CHECK_OK(call(desk, "", &response, NULL));
    CHECK_TEXT(response, "later");
    tramline_string_free(response);
    CHECK(pthread_join(method.answering, NULL) == 0);
    leave(robot);
    CHECK(method.released == 1);
    leave(desk);
}

static tramline_content_options options_for(const char *topic) {
    tramline_content_options options;
    CHECK_OK(tramline_content_options_defaults(&options, sizeof options));
    options.topic = (tramline_str){topic, TRAMLINE_NUL_TERMINATED};
    return options;
}

static tramline_content_reader *await_content(tramline_room *room, tramline_event_kind kind, const char *topic) {
    tramline_event *event = await_event(room, kind);
    CHECK_TEXT(event->value, topic);
    CHECK_TEXT(event->identity, "robot");
    tramline_content_reader *reader, *second;
    CHECK_OK(tramline_event_take_reader(event, &reader));
    CHECK_STATUS(tramline_event_take_reader(event, &second), TRAMLINE_ERR_NOT_FOUND);
    CHECK(second == NULL);
    tramline_event_free(event);
    return reader;
}

static void a_text_arrives_whole_with_all_that_belongs_to_it(void) {
    tramline_room *robot = member("texts", "robot"), *desk = member("texts", "desk");
    tramline_content_options options = options_for("chat");
    tramline_attribute attributes[] = {{{"mood", 4}, {"good", 4}}};
    tramline_str attachments[] = {{"one", 3}, {"two", 3}};
    options.attributes = attributes;
    options.attribute_count = 1;
    options.attachments = attachments;
    options.attachment_count = 2;
    options.reply_to_id = (tramline_str){"earlier", 7};
    options.operation = 4;
    tramline_string id;
    CHECK_STATUS(tramline_room_send_text(robot, "x", 1, &options, &id), TRAMLINE_ERR_INVALID_ARGUMENT);
    CHECK_TEXT(id, "");
    options.operation = 1;
    CHECK_OK(tramline_room_send_text(robot, "gr\xc3\xbc\xc3\x9f" "e", TRAMLINE_NUL_TERMINATED, &options, &id));
    CHECK(id.len > 0);
    tramline_content_reader *reader = await_content(desk, TRAMLINE_EVENT_TEXT_OPENED, "chat");
    tramline_bytes all;
    CHECK_OK(tramline_content_reader_read_all(reader, LIMIT, &all));
    CHECK_TEXT(as_text(all.data, all.len), "gr\xc3\xbc\xc3\x9f" "e");
    tramline_bytes_free(all);
    CHECK_STATUS(tramline_content_reader_next(reader, LIMIT, &all), TRAMLINE_ENDED);
    tramline_content_info info = {.struct_size = sizeof info};
    CHECK_OK(tramline_content_reader_info(reader, &info));
    CHECK_TEXT(info.id, id.data);
    CHECK_TEXT(info.mime_type, "text/plain");
    CHECK_TEXT(info.reply_to_id, "earlier");
    CHECK(info.is_text == 1 && info.operation == 1 && info.attachment_count == 2 && info.timestamp_ms > 0);
    CHECK_TEXT(info.attachments[1], "two");
    tramline_attributes *told;
    CHECK_OK(tramline_content_reader_attributes(reader, &told));
    CHECK(tramline_attributes_len(told) == 1);
    tramline_attributes_free(told);
    tramline_string path;
    CHECK_STATUS(tramline_content_reader_save(reader, ".", 1, "x", 1, &path), TRAMLINE_ERR_INVALID_ARGUMENT);
    tramline_content_reader_free(reader);
    tramline_string_free(id);
    leave(desk);
    leave(robot);
}

static void bytes_are_written_little_by_little(void) {
    tramline_room *robot = member("bytes", "robot"), *desk = member("bytes", "desk");
    tramline_content_options options = options_for("log");
    options.mime_type = (tramline_str){"application/x-log", TRAMLINE_NUL_TERMINATED};
    options.name = (tramline_str){"robot.log", TRAMLINE_NUL_TERMINATED};
    options.total_length = 200000;
    tramline_content_writer *writer;
    CHECK_OK(tramline_room_open_bytes(robot, &options, &writer));
    tramline_content_reader *reader = await_content(desk, TRAMLINE_EVENT_BYTES_OPENED, "log");
    tramline_content_info info = {.struct_size = sizeof info};
    CHECK_OK(tramline_content_reader_info(reader, &info));
    CHECK_TEXT(info.name, "robot.log");
    CHECK_TEXT(info.mime_type, "application/x-log");
    CHECK(info.total_length == 200000 && info.is_text == 0);
    tramline_bytes part;
    CHECK_STATUS(tramline_content_reader_next(reader, 0, &part), TRAMLINE_TIMED_OUT);
    CHECK(part.data == NULL && part.len == 0);

    uint8_t *sent = malloc(200000);
    CHECK(sent != NULL);
    for (size_t at = 0; at < 200000; at++) {
        sent[at] = (uint8_t)(at * 7 + at / 256);
    }
    CHECK_OK(tramline_content_writer_write(writer, sent, 1));
    CHECK_OK(tramline_content_reader_next(reader, LIMIT, &part));
    CHECK(part.len == 1 && part.data[0] == sent[0]);
    tramline_bytes_free(part);
    CHECK_OK(tramline_content_writer_write(writer, sent + 1, 199999));
    tramline_attribute last[] = {{{"checked", 7}, {"yes", 3}}};
    CHECK_OK(tramline_content_writer_close(writer, NULL, 0, last, 1));
    CHECK_STATUS(tramline_content_writer_write(writer, sent, 1), TRAMLINE_ERR_CONTENT_CLOSED);
    CHECK_STATUS(tramline_content_writer_close(writer, NULL, 0, NULL, 0), TRAMLINE_ERR_CONTENT_CLOSED);
    /* What was read when the time was over is not lost. */
    tramline_status status = tramline_content_reader_read_all(reader, 0, &part);
    while (status == TRAMLINE_TIMED_OUT) {
        status = tramline_content_reader_read_all(reader, 1, &part);
    }
    CHECK(status == TRAMLINE_OK && part.len == 199999 && memcmp(part.data, sent + 1, part.len) == 0);
    tramline_bytes_free(part);
    tramline_attributes *told;
    CHECK_OK(tramline_content_reader_attributes(reader, &told));
    CHECK(tramline_attributes_len(told) == 1);
    tramline_attributes_free(told);
    tramline_content_reader_free(reader);
    tramline_content_writer_free(writer);
    free(sent);
    leave(desk);
    leave(robot);
}

static void what_is_given_up_says_so(void) {
    tramline_room *robot = member("given-up", "robot"), *desk = member("given-up", "desk");
    tramline_content_options options = options_for("note");
    tramline_content_writer *writer;
    CHECK_OK(tramline_room_open_text(robot, &options, &writer));
    CHECK_STATUS(tramline_content_writer_write(writer, (const uint8_t *)"\xff", 1), TRAMLINE_ERR_INVALID_UTF8);
    CHECK_OK(tramline_content_writer_write(writer, (const uint8_t *)"half", 4));
    tramline_content_reader *reader = await_content(desk, TRAMLINE_EVENT_TEXT_OPENED, "note");
    CHECK_OK(tramline_content_writer_close(writer, "out of ink", TRAMLINE_NUL_TERMINATED, NULL, 0));
    tramline_content_writer_free(writer);
    tramline_bytes all;
    CHECK_STATUS(tramline_content_reader_read_all(reader, LIMIT, &all), TRAMLINE_ERR_CONTENT_ABORTED);
    CHECK(strstr(tramline_last_error(), "out of ink") != NULL && all.len == 0);
    tramline_content_reader_free(reader);

    CHECK_OK(tramline_room_open_text(robot, &options, &writer));
    reader = await_content(desk, TRAMLINE_EVENT_TEXT_OPENED, "note");
    tramline_content_writer_free(writer);
    CHECK_STATUS(tramline_content_reader_read_all(reader, LIMIT, &all), TRAMLINE_ERR_CONTENT_ABORTED);
    tramline_content_reader_free(reader);

    CHECK_OK(tramline_room_open_text(robot, &options, &writer));
    reader = await_content(desk, TRAMLINE_EVENT_TEXT_OPENED, "note");
    leave(robot);
    CHECK_STATUS(tramline_content_reader_read_all(reader, LIMIT, &all), TRAMLINE_ERR_CONTENT_SENDER_GONE);
    CHECK_STATUS(tramline_content_writer_close(writer, NULL, 0, NULL, 0), TRAMLINE_ERR_DATA_DISCONNECTED);
    tramline_content_writer_free(writer);
    tramline_content_reader_free(reader);
    leave(desk);
}

static void *read_content(void *reader) {
    tramline_bytes part;
    CHECK_STATUS(tramline_content_reader_next(reader, -1, &part), TRAMLINE_CLOSED);
    return NULL;
}

static void a_close_wakes_those_who_read_a_content(void) {
    tramline_room *robot = member("wakes", "robot"), *desk = member("wakes", "desk");
    tramline_content_options options = options_for("quiet");
    tramline_content_writer *writer;
    CHECK_OK(tramline_room_open_bytes(robot, &options, &writer));
    tramline_content_reader *reader = await_content(desk, TRAMLINE_EVENT_BYTES_OPENED, "quiet");
    pthread_t threads[3];
    for (size_t at = 0; at < 3; at++) {
        CHECK(pthread_create(&threads[at], NULL, read_content, reader) == 0);
    }
    CHECK_OK(tramline_content_reader_close(reader));
    CHECK_OK(tramline_content_reader_close(reader));
    for (size_t at = 0; at < 3; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    tramline_content_reader_free(reader);
    tramline_content_writer_free(writer);
    leave(desk);
    leave(robot);
}

static void a_file_is_sent_and_saved(void) {
    tramline_room *robot = member("files", "robot"), *desk = member("files", "desk");
    char folder[] = "/tmp/tramline-c-XXXXXX", source[64], saved[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(source, sizeof source, "%s/map.bin", folder);
    snprintf(saved, sizeof saved, "%s/copy.bin", folder);
    FILE *file = fopen(source, "wb");
    CHECK(file != NULL);
    for (int at = 0; at < 100000; at++) {
        CHECK(fputc(at * 31 + at / 256, file) != EOF);
    }
    CHECK(fclose(file) == 0);
    tramline_content_options options = options_for("maps");
    CHECK_STATUS(tramline_room_send_file(robot, "/none", 5, &options, NULL), TRAMLINE_ERR_CONTENT_FILE);
    CHECK_OK(tramline_room_send_file(robot, source, TRAMLINE_NUL_TERMINATED, &options, NULL));
    tramline_content_reader *reader = await_content(desk, TRAMLINE_EVENT_BYTES_OPENED, "maps");
    tramline_content_info info = {.struct_size = sizeof info};
    CHECK_OK(tramline_content_reader_info(reader, &info));
    CHECK_TEXT(info.name, "map.bin");
    CHECK(info.total_length == 100000);
    tramline_string path;
    CHECK_OK(tramline_content_reader_save(reader, folder, TRAMLINE_NUL_TERMINATED, "copy.bin", TRAMLINE_NUL_TERMINATED, &path));
    CHECK_TEXT(path, saved);
    tramline_string_free(path);
    file = fopen(saved, "rb");
    CHECK(file != NULL);
    for (int at = 0; at < 100000; at++) {
        CHECK(fgetc(file) == (uint8_t)(at * 31 + at / 256));
    }
    CHECK(fgetc(file) == EOF && fclose(file) == 0);
    CHECK_STATUS(tramline_content_reader_save(reader, folder, TRAMLINE_NUL_TERMINATED, NULL, 0, NULL), TRAMLINE_CLOSED);
    tramline_content_reader_free(reader);
    CHECK(unlink(source) == 0 && unlink(saved) == 0 && rmdir(folder) == 0);
    leave(desk);
    leave(robot);
}

const test message_tests[] = {
    {"packets reach those whom they are for", packets_reach_those_whom_they_are_for},
    {"what cannot be sent says why", what_cannot_be_sent_says_why},
    {"a method answers, fails and is forgotten", a_method_answers_fails_and_is_forgotten},
    {"a handler calls back and answers later", a_handler_calls_back_and_answers_later},
    {"a text arrives whole with all that belongs to it", a_text_arrives_whole_with_all_that_belongs_to_it},
    {"bytes are written little by little", bytes_are_written_little_by_little},
    {"what is given up says so", what_is_given_up_says_so},
    {"a close wakes those who read a content", a_close_wakes_those_who_read_a_content},
    {"a file is sent and saved", a_file_is_sent_and_saved},
    {NULL, NULL},
};
