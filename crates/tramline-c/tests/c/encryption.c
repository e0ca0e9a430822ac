/* End-to-end encryption: keys, and what is read with them. */
#define _GNU_SOURCE
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static tramline_keys *keys_of(int32_t derivation, const char *secret) {
    tramline_key_options options;
    CHECK_OK(tramline_key_options_defaults(&options, sizeof options));
    options.derivation = derivation;
    tramline_keys *keys;
    CHECK_OK(tramline_keys_new(&options, &keys));
    if (secret != NULL) {
        CHECK_OK(tramline_keys_set_shared(keys, (const uint8_t *)secret, strlen(secret), 0));
    }
    return keys;
}

static tramline_room *encrypted_member(const char *room, const char *identity, const tramline_keys *keys) {
    tramline_room_options options = patient_options();
    options.keys = keys;
    return member_with(room, identity, &options);
}

static void keys_are_set_exported_and_ratcheted(void) {
    tramline_keys *keys = keys_of(TRAMLINE_KEY_DERIVATION_HKDF, NULL);
    tramline_bytes key, next;
    CHECK_STATUS(tramline_keys_export_shared(keys, 0, &key), TRAMLINE_ERR_NOT_FOUND);
    CHECK(key.data == NULL && key.len == 0);
    CHECK_STATUS(tramline_keys_set_shared(keys, NULL, 0, 0), TRAMLINE_ERR_INVALID_ARGUMENT);
    CHECK(strstr(tramline_last_error(), "must not be empty") != NULL);
    CHECK_OK(tramline_keys_set_shared(keys, (const uint8_t *)"se\0cret", 7, 3));
    CHECK_OK(tramline_keys_export_shared(keys, 3, &key));
    CHECK(key.len == 7 && memcmp(key.data, "se\0cret", 7) == 0);
    tramline_bytes_free(key);
    CHECK_OK(tramline_keys_ratchet_shared(keys, 3, &next));
    CHECK(next.len > 7);
    CHECK_OK(tramline_keys_export_shared(keys, 3, &key));
    CHECK(key.len == next.len && memcmp(key.data, next.data, key.len) == 0);
    tramline_bytes_free(key);
    tramline_bytes_free(next);

    CHECK_OK(tramline_keys_set(keys, "anna", 4, (const uint8_t *)"own", 3, 1));
    CHECK_OK(tramline_keys_export(keys, "anna", 4, 1, &key));
    CHECK(key.len == 3);
    tramline_bytes_free(key);
    CHECK_OK(tramline_keys_ratchet(keys, "anna", TRAMLINE_NUL_TERMINATED, 1, &next));
    tramline_bytes_free(next);
    CHECK_OK(tramline_keys_remove(keys, "anna", 4));
    CHECK_STATUS(tramline_keys_export(keys, "anna", 4, 1, &key), TRAMLINE_ERR_NOT_FOUND);
    CHECK_STATUS(tramline_keys_export(keys, "\xff", 1, 1, &key), TRAMLINE_ERR_INVALID_UTF8);
    CHECK_OK(tramline_keys_set_sender_index(keys, 3));
    CHECK_OK(tramline_keys_set_sender_index(keys, -1));
    CHECK_STATUS(tramline_keys_set_sender_index(keys, 1ll << 40), TRAMLINE_ERR_INVALID_ARGUMENT);
    tramline_bytes_free((tramline_bytes){NULL, 0});
    tramline_keys_free(keys);
    tramline_keys_free(NULL);

    tramline_key_options options;
    CHECK_OK(tramline_key_options_defaults(&options, sizeof options));
    options.derivation = 9;
    CHECK_STATUS(tramline_keys_new(&options, &keys), TRAMLINE_ERR_INVALID_ARGUMENT);
    CHECK(keys == NULL);
}

static void encrypted_frames_are_read_with_the_same_key(void) {
    for (int32_t derivation = TRAMLINE_KEY_DERIVATION_PBKDF2; derivation <= TRAMLINE_KEY_DERIVATION_HKDF; derivation++) {
        tramline_keys *keys = keys_of(derivation, "secret");
        tramline_room *publisher = encrypted_member("encrypted", "publisher", keys);
        /* The room keeps what it needs. */
        tramline_keys_free(keys);
        keys = keys_of(derivation, "secret");
        tramline_room *subscriber = encrypted_member("encrypted", "subscriber", keys);
        tramline_local_track *local = publish(publisher, "scan");
        tramline_remote_track *remote = await_track(subscriber, "scan");
        tramline_track_info info = {.struct_size = sizeof info};
        CHECK_OK(tramline_remote_track_info(remote, &info));
        CHECK(info.uses_e2ee == 1);
        tramline_stream *stream = subscribe(remote);
        tramline_frame frame;
        pass(local, stream, 3, 50 * 1000, &frame);
        tramline_frame_release(&frame);
        tramline_stream_free(stream);
        tramline_remote_track_free(remote);
        tramline_local_track_free(local);
        leave(subscriber);
        leave(publisher);
        tramline_keys_free(keys);
    }
}

static void a_wrong_key_is_told_once_and_mended_by_the_right_one(void) {
    tramline_keys *ours = keys_of(TRAMLINE_KEY_DERIVATION_HKDF, "secret");
    tramline_keys *theirs = keys_of(TRAMLINE_KEY_DERIVATION_HKDF, "another");
    tramline_room *publisher = encrypted_member("wrong", "publisher", ours);
    tramline_room *subscriber = encrypted_member("wrong", "subscriber", theirs);
    tramline_local_track *local = publish(publisher, "scan");
    tramline_remote_track *remote = await_track(subscriber, "scan");
    tramline_stream *stream = subscribe(remote);
    tramline_remote_track_stats stats = {.struct_size = sizeof stats};
    for (int attempt = 0; attempt < 1000 && stats.dropped[TRAMLINE_DROP_WRONG_KEY] == 0; attempt++) {
        CHECK_OK(tramline_local_track_try_push(local, (const uint8_t *)"x", 1));
        tramline_frame frame = empty_frame();
        CHECK_STATUS(tramline_stream_read(stream, 20, &frame), TRAMLINE_TIMED_OUT);
        CHECK_OK(tramline_remote_track_read_stats(remote, &stats));
    }
    tramline_event *event = await_event(subscriber, TRAMLINE_EVENT_DECRYPTION_FAILED);
    CHECK(event->track != NULL && event->reason == TRAMLINE_DROP_WRONG_KEY);
    CHECK(memmem(event->detail.data, event->detail.len, "HKDF", 4) != NULL);
    tramline_event_free(event);
    CHECK_OK(tramline_keys_set_shared(theirs, (const uint8_t *)"secret", 6, 0));
    tramline_frame frame;
    pass(local, stream, 5, 5, &frame);
    tramline_frame_release(&frame);
    tramline_stream_free(stream);
    tramline_remote_track_free(remote);
    tramline_local_track_free(local);
    leave(subscriber);
    leave(publisher);
    tramline_keys_free(ours);
    tramline_keys_free(theirs);
}

static void nothing_is_sent_without_a_key(void) {
    tramline_keys *keys = keys_of(TRAMLINE_KEY_DERIVATION_HKDF, NULL);
    tramline_room *room = encrypted_member("keyless", "anna", keys);
    tramline_local_track *track = publish(room, "scan");
    CHECK_STATUS(tramline_local_track_try_push(track, (const uint8_t *)"x", 1), TRAMLINE_ERR_PUSH_NO_KEY);
    CHECK(tramline_status_livekit_code(TRAMLINE_ERR_PUSH_NO_KEY) == 4);
    CHECK_OK(tramline_keys_set(keys, "anna", 4, (const uint8_t *)"own", 3, 0));
    CHECK_OK(tramline_local_track_try_push(track, (const uint8_t *)"x", 1));
    tramline_local_track_free(track);
    leave(room);
    tramline_keys_free(keys);
}

const test encryption_tests[] = {
    {"keys are set, exported and ratcheted", keys_are_set_exported_and_ratcheted},
    {"encrypted frames are read with the same key", encrypted_frames_are_read_with_the_same_key},
    {"a wrong key is told once and mended by the right one", a_wrong_key_is_told_once_and_mended_by_the_right_one},
    {"nothing is sent without a key", nothing_is_sent_without_a_key},
    {NULL, NULL},
};
