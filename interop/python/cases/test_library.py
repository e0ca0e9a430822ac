"""Our library below the official wrapper, where the wrapper itself does not look: numbers, refusals, requests by hand."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto import data_track_pb2, ffi_pb2, handle_pb2, participant_pb2, room_pb2, stats_pb2

from harness.official import LIBRARY
from harness.conversation import until_heard
from harness.peer import Encryption, Refused, until_flowing

DESCRIPTIONS = Path(__file__).parents[3] / "crates/tramline-livekit-ffi/proto"
LABELS = {FieldDescriptor.LABEL_OPTIONAL: "optional", FieldDescriptor.LABEL_REQUIRED: "required"}
LABELS[FieldDescriptor.LABEL_REPEATED] = "repeated"
TYPES = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def our_descriptions():
    """Our messages and enums by full name: `{name: {field: (number, label, type, oneof)}}`, `{name: {value: number}}`."""
    messages, enums = {}, {}
    for path in sorted(DESCRIPTIONS.glob("*.proto")):
        scopes = []
        for line in path.read_text().splitlines():
            line = line.split("//")[0].strip()
            if opened := re.fullmatch(r"(message|enum|oneof) (\w+) \{(\})?", line):
                kind, name, empty = opened.groups()
                full = ".".join([scope for kind, scope in scopes if kind == "message"] + [name])
                if kind == "message":
                    messages[full] = {}
                elif kind == "enum":
                    enums[full] = {}
                if not empty:
                    scopes.append((kind, name))
            elif line == "}":
                scopes.pop()
            elif value := re.fullmatch(r"(\w+) = (\d+);", line):
                full = ".".join(name for _, name in scopes)
                enums[full][value[1]] = int(value[2])
            elif field := re.fullmatch(r"(?:(optional|required|repeated) )?([\w.]+) (\w+) = (\d+);", line):
                label, kind, name, number = field.groups()
                full = ".".join(name for kind, name in scopes if kind == "message")
                oneof = scopes[-1][1] if scopes[-1][0] == "oneof" else None
                messages[full][name] = (int(number), label or "optional", kind, oneof)
    return messages, enums


def wheel_descriptions():
    messages, enums = {}, {}

    def add(message):
        name = message.full_name.removeprefix("livekit.proto.")
        fields = messages[name] = {}
        for field in message.fields:
            named = field.message_type or field.enum_type
            kind = named.name if named else TYPES.get(field.type, str(field.type))
            oneof = field.containing_oneof.name if field.containing_oneof else None
            label = "required" if field.is_required else "repeated" if field.is_repeated else "optional"
            fields[field.name] = (field.number, label, kind, oneof)
        for nested in message.nested_types:
            add(nested)
        for enum in message.enum_types:
            enums[enum.full_name.removeprefix("livekit.proto.")] = dict(enum.values_by_name)

    files, todo = set(), [ffi_pb2.DESCRIPTOR, handle_pb2.DESCRIPTOR, participant_pb2.DESCRIPTOR, stats_pb2.DESCRIPTOR]
    while todo:
        file = todo.pop()
        if file.name not in files:
            files.add(file.name)
            todo.extend(file.dependencies)
            for message in file.message_types_by_name.values():
                add(message)
            for enum in file.enum_types_by_name.values():
                enums[enum.full_name.removeprefix("livekit.proto.")] = dict(enum.values_by_name)
    return messages, enums


def test_our_descriptions_have_the_numbers_of_the_wheel():
    (ours, our_enums), (theirs, their_enums) = our_descriptions(), wheel_descriptions()
    assert len(ours) > 100 and len(our_enums) > 15
    for message, fields in ours.items():
        for name, described in fields.items():
            number, label, kind, oneof = described
            assert (number, label, kind.split(".")[-1], oneof) == theirs[message][name], f"{message}.{name}"
        # Events and responses are made here, so nothing that is required may be missing.
        required = {name for name, (_, label, _, _) in theirs[message].items() if label == "required"}
        if not message.endswith("Request"):
            assert required <= fields.keys(), message
    for enum, values in our_enums.items():
        for name, number in values.items():
            assert their_enums[enum][name].number == number, f"{enum}.{name}"


def filled(message, depth=0):
    """Fills what is required, with something."""
    for field in message.DESCRIPTOR.fields:
        if not field.is_required:
            continue
        if field.message_type:
            filled(getattr(message, field.name), depth + 1)
            getattr(message, field.name).SetInParent()
        elif field.enum_type:
            setattr(message, field.name, field.enum_type.values[0].number)
        else:
            text = {FieldDescriptor.CPPTYPE_STRING: b"x" if field.type == FieldDescriptor.TYPE_BYTES else "x"}
            setattr(message, field.name, text.get(field.cpp_type, 0))
    return message


OURS = our_descriptions()[0]["FfiRequest"]
UNKNOWN = [field.name for field in ffi_pb2.FfiRequest.DESCRIPTOR.fields if field.name not in OURS]
NO_PLACE_FOR_AN_ERROR = {
    "apm_new",
    "audio_stream_from_participant",
    "capture_encoded_video_frame",
    "capture_video_frame",
    "clear_audio_buffer",
    "create_audio_track",
    "create_video_track",
    "enable_remote_track",
    "enable_remote_track_publication",
    "local_track_mute",
    "new_apm",
    "new_audio_resampler",
    "new_audio_source",
    "new_audio_stream",
    "new_video_source",
    "new_video_stream",
    "remix_and_resample",
    "set_data_channel_buffered_amount_low_threshold",
    "set_remote_track_publication_quality",
    "set_subscribed",
    "take_encoded_video_source_feedback",
    "update_remote_track_publication_dimension",
    "video_stream_from_participant",
}
"""Their responses have no field for an error, so the request fails as a whole."""


@pytest.mark.parametrize("name", UNKNOWN)
async def test_a_request_that_we_do_not_serve_gets_its_own_error(name):
    request = ffi_pb2.FfiRequest()
    filled(getattr(request, name)).SetInParent()
    own_id = 4_000_000_000 + getattr(ffi_pb2.FfiRequest, name.upper() + "_FIELD_NUMBER")
    has_id = "request_async_id" in getattr(request, name).DESCRIPTOR.fields_by_name
    if has_id:
        getattr(request, name).request_async_id = own_id
    queue = FfiClient.instance.queue.subscribe()
    try:
        if name in NO_PLACE_FOR_AN_ERROR:
            with pytest.raises(AssertionError):
                FfiClient.instance.request(request)
            return
        response = FfiClient.instance.request(request)
        answered = response.WhichOneof("message")
        assert answered == name
        answer = getattr(response, answered)
        assert answer.IsInitialized()
        if has_id:
            assert answer.async_id == own_id
            told = await queue.wait_for(lambda event: id_of(event) == own_id)
            answer = getattr(told, told.WhichOneof("message"))
            assert answer.IsInitialized()
        assert name in text_of(answer.error), answer
    finally:
        FfiClient.instance.queue.unsubscribe(queue)


def id_of(event):
    message = getattr(event, event.WhichOneof("message"))
    return getattr(message, "async_id", None)


def text_of(error) -> str:
    if isinstance(error, str):
        return error
    return getattr(error, "description", None) or error.message


def raw_request(data: bytes) -> int:
    import ctypes

    library = FfiClient.instance._ffi_lib
    pointer, length = ctypes.POINTER(ctypes.c_ubyte)(), ctypes.c_size_t()
    source = ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_ubyte))
    handle = library.livekit_ffi_request(source, len(data), ctypes.byref(pointer), ctypes.byref(length))
    if handle:
        assert length.value > 0
        assert library.livekit_ffi_drop_handle(handle)
        assert not library.livekit_ffi_drop_handle(handle)
    return handle


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x1a", b"\x1a\xff\xff\xff\xff\x0f", b"\xda\x3e\x00", b"garbage" * 99])
def test_garbage_is_a_failed_request_and_nothing_worse(data):
    assert raw_request(data) == 0


def test_handles_that_nobody_has_are_harmless():
    library = FfiClient.instance._ffi_lib
    for handle in (0, 2**63, 2**64 - 1):
        assert not library.livekit_ffi_drop_handle(handle)
    for name in ("local_data_track_is_published", "remote_data_track_is_published"):
        request = ffi_pb2.FfiRequest()
        getattr(request, name).track_handle = 2**63
        assert not getattr(FfiClient.instance.request(request), name).is_published
    request = ffi_pb2.FfiRequest()
    request.local_data_track_try_push.track_handle = 2**63
    request.local_data_track_try_push.frame.payload = b"x"
    error = FfiClient.instance.request(request).local_data_track_try_push.error
    assert error.code == data_track_pb2.LOCAL_DATA_TRACK_TRY_PUSH_ERROR_CODE_INVALID_HANDLE
    # An encryption request without a message, which LiveKit's C++ SDK sends.
    request = ffi_pb2.FfiRequest()
    request.e2ee.room_handle = 2**63
    assert FfiClient.instance.request(request).WhichOneof("message") == "e2ee"


async def call(name: str, event: str | None = None, response: str | None = None, /, **fields):
    """An asynchronous request by hand, with an id of our own; returns the message of its event.

    Response and event have the name of the request unless they are given.
    """
    call.last_id += 1
    request = ffi_pb2.FfiRequest()
    message = getattr(request, name)
    for key, value in fields.items():
        if hasattr(value, "DESCRIPTOR"):
            getattr(message, key).CopyFrom(value)
        else:
            setattr(message, key, value)
    message.request_async_id = call.last_id
    queue = FfiClient.instance.queue.subscribe()
    try:
        own_id = call.last_id
        assert getattr(FfiClient.instance.request(request), response or name).async_id == own_id
        told = await queue.wait_for(lambda event: id_of(event) == own_id)
        assert told.WhichOneof("message") == (event or name)
        return getattr(told, event or name)
    finally:
        FfiClient.instance.queue.unsubscribe(queue)


call.last_id = 9_000_000


def schema(name: str, **encoding):
    return data_track_pb2.DataTrackSchemaId(name=name, encoding=data_track_pb2.DataTrackSchemaEncoding(**encoding))


Known = data_track_pb2.DataTrackSchemaEncoding
Frames = data_track_pb2.DataTrackFrameEncoding


async def test_schemas_are_defined_found_and_carried_by_tracks(library_room):
    publisher = await library_room.publisher()
    subscriber = await library_room.subscriber()
    local = publisher.room.local_participant._ffi_handle.handle
    reader = subscriber.room.local_participant._ffi_handle.handle
    pose = schema("Pose", well_known=Known.WELL_KNOWN_SCHEMA_ENCODING_ROS2_MSG)
    own = schema("Pose", custom="our-own")
    for schema_id, definition in ((pose, "float64 x\n" * 1000), (own, "ä")):
        defined = await call(
            "define_schema", local_participant_handle=local, schema_id=schema_id, definition=definition
        )
        assert not defined.HasField("error"), defined.error
        found = await call(
            "get_schema", local_participant_handle=reader, schema_id=schema_id, participant_identity="publisher"
        )
        assert found.definition == definition and not found.HasField("error")
    missing = await call(
        "get_schema", local_participant_handle=reader, schema_id=schema("Twist"), participant_identity="publisher"
    )
    assert missing.error and not missing.HasField("definition")

    cdr = Frames(well_known=Frames.WELL_KNOWN_FRAME_ENCODING_CDR)
    options = data_track_pb2.DataTrackOptions(name="pose", schema=pose, frame_encoding=cdr)
    published = await call("publish_data_track", local_participant_handle=local, options=options)
    assert (published.track.info.schema, published.track.info.frame_encoding) == (pose, cdr)
    protobuf = Frames(well_known=Frames.WELL_KNOWN_FRAME_ENCODING_PROTOBUF)
    options = data_track_pb2.DataTrackOptions(name="misfit", schema=pose, frame_encoding=protobuf)
    refused = await call("publish_data_track", local_participant_handle=local, options=options)
    assert refused.error.code == data_track_pb2.PUBLISH_DATA_TRACK_ERROR_CODE_INVALID_SCHEMA


async def test_the_ends_of_a_stream_are_those_of_the_contract(library_room):
    publisher = await library_room.publisher()
    subscriber = await library_room.subscriber()
    sid = await publisher.publish("ending")
    track = await subscriber.track("publisher", "ending")
    stream = await subscriber.subscribe(track)
    await until_flowing(publisher, sid, stream)
    await publisher.unpublish(sid)
    await subscriber.unpublished(sid)
    assert await stream.next() is None

    # The stream has ended, so each further request says so in its response.
    request = ffi_pb2.FfiRequest()
    request.data_track_stream_read.stream_handle = stream.inner._ffi_handle.handle
    assert FfiClient.instance.request(request).data_track_stream_read.HasField("eos_event")

    # Pushing on a track that has ended.
    request = ffi_pb2.FfiRequest()
    request.local_data_track_try_push.track_handle = publisher.local[sid]._ffi_handle.handle
    request.local_data_track_try_push.frame.payload = b"late"
    error = FfiClient.instance.request(request).local_data_track_try_push.error
    assert error.code == data_track_pb2.LOCAL_DATA_TRACK_TRY_PUSH_ERROR_CODE_TRACK_UNPUBLISHED


async def test_the_state_statistics_and_numbers_of_a_room_are_told(library_room):
    publisher = library_room.unconnected()
    states = []
    publisher.room.on("connection_state_changed", states.append)
    await library_room.connect(publisher, "publisher")
    await library_room.subscriber()
    await publisher.participant("subscriber")
    assert states == [room_pb2.CONN_CONNECTED]
    assert (await publisher.room.sid).startswith("RM_")
    assert publisher.room.creation_time.year > 2020
    stats = await publisher.room.get_rtc_stats()
    kinds = [entry.WhichOneof("stats") for entry in stats.publisher_stats]
    assert {"transport", "data_channel", "peer_connection"} <= set(kinds)
    transport = next(entry.transport.transport for entry in stats.publisher_stats if entry.HasField("transport"))
    assert transport.packets_sent > 0 and transport.bytes_received > 0
    await publisher.close()
    assert states == [room_pb2.CONN_CONNECTED, room_pb2.CONN_DISCONNECTED]


async def test_a_participant_whose_tracks_are_all_encrypted_is_told_as_encrypted(library_room):
    encryption = Encryption("a secret of many", "pbkdf2")
    subscriber = library_room.unconnected()
    told = asyncio.Queue()
    subscriber.room.on(
        "participant_encryption_status_changed",
        lambda participant, is_encrypted: told.put_nowait((participant.identity, is_encrypted)),
    )
    await library_room.connect(subscriber, "subscriber", encryption)
    publisher = await library_room.publisher(encryption=encryption)
    await publisher.publish("sealed")
    assert await told.get() == ("publisher", True)
    publisher.room.e2ee_manager.set_enabled(False)
    plain = await publisher.publish("plain")
    assert await told.get() == ("publisher", False)
    await publisher.unpublish(plain)
    assert await told.get() == ("publisher", True)


async def test_each_change_of_a_participant_is_told_with_its_new_state(library_room):
    watching = await library_room.subscriber("watching")
    changing = await library_room.publisher("changing", can_update_own_metadata=True)
    await watching.participant("changing")
    queue = FfiClient.instance.queue.subscribe()
    try:
        await changing.room.local_participant.set_metadata("new")

        def is_told(event):
            if event.room_event.room_handle != watching.room._ffi_handle.handle:
                return False
            updated = event.room_event.participants_updated.participants
            return [(info.identity, info.metadata) for info in updated] == [("changing", "new")]

        told = await queue.wait_for(is_told)
        assert told.IsInitialized()
    finally:
        FfiClient.instance.queue.unsubscribe(queue)


async def test_whoever_leaves_with_a_reason_is_told_that_reason(library_room):
    leaving = await library_room.publisher("leaving")
    reason = participant_pb2.DisconnectReason.USER_REJECTED
    await call("disconnect", room_handle=leaving.room._ffi_handle.handle, reason=reason)
    assert await leaving.disconnected() == "USER_REJECTED"


async def test_a_packet_that_cannot_be_sent_is_refused_with_the_reason(library_room):
    silent = await library_room.publisher("silent", can_publish_data=False)
    with pytest.raises(Refused, match="may not send"):
        await silent.publish_data(size=1, reliable=True, topic="", to=[])
    speaker = await library_room.publisher("speaker")
    with pytest.raises(Refused, match="64,?000"):
        await speaker.publish_data(size=70_000, reliable=True, topic="", to=[])


async def test_chat_messages_are_sent_edited_and_received(library_room):
    speaker = await library_room.publisher("speaker")
    listener = await library_room.subscriber("listener")
    await speaker.participant("listener")
    await until_heard(speaker, listener)
    queue = FfiClient.instance.queue.subscribe()
    try:
        local = speaker.room.local_participant._ffi_handle.handle
        sent = await call("send_chat_message", "chat_message", local_participant_handle=local, message="helo")
        received = (await queue.wait_for(is_chat)).room_event.chat_message
        assert (received.participant_identity, received.message) == ("speaker", sent.chat_message)
        assert sent.chat_message.message == "helo"
        edited = await call(
            "edit_chat_message",
            "chat_message",
            "send_chat_message",
            local_participant_handle=local,
            edit_text="hello",
            original_message=sent.chat_message,
        )
        received = (await queue.wait_for(is_chat)).room_event.chat_message
        assert (received.message.id, received.message.message) == (sent.chat_message.id, "hello")
        assert received.message == edited.chat_message
    finally:
        FfiClient.instance.queue.unsubscribe(queue)


def is_chat(event) -> bool:
    return event.room_event.WhichOneof("message") == "chat_message"


def test_a_forked_child_calls_in_vain_and_ends(server):
    """Our threads do not exist in the child: every call there returns at once."""
    library = FfiClient.instance._ffi_lib
    child = os.fork()
    if child == 0:
        in_vain = raw_request(filled_connect()) == 0 and not library.livekit_ffi_drop_handle(1)
        library.livekit_ffi_dispose()
        os._exit(0 if in_vain else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def filled_connect() -> bytes:
    request = ffi_pb2.FfiRequest()
    filled(request.connect)
    return request.SerializeToString()


async def test_the_library_can_be_disposed_of_and_started_again(server):
    """In a process of its own, since there is one library in a process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "harness.soak", "--url", server.url, "--key", server.api_key, "--secret", server.api_secret),
        *("--rounds", "4", "--frames", "200"),
        env=dict(os.environ, PYTHONFAULTHANDLER="1"),
    )
    assert await process.wait() == 0
    assert os.environ[LIBRARY]


@pytest.mark.parametrize("other", ["a copy of ours", "the wheel's own"])
async def test_two_libraries_work_beside_each_other_in_one_process(server, tmp_path, other):
    if other == "a copy of ours":
        # Under another name, so that the loader takes it for another library.
        path = tmp_path / "second-copy.so"
        shutil.copy(os.environ[LIBRARY], path)
    else:
        path = Path(rtc.__file__).parent / "resources/liblivekit_ffi.so"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "harness.side_by_side", "--url", server.url, "--key", server.api_key, "--secret", server.api_secret),
        *("--other", str(path)),
        env=dict(os.environ, PYTHONFAULTHANDLER="1"),
    )
    assert await process.wait() == 0
