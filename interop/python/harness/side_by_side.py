"""Two native libraries in one process, in one room: `python -m harness.side_by_side --other PATH` with the address and keys of a server.

The official client is on the library that `LIVEKIT_LIB_PATH` names. The other one is loaded beside it and driven by hand, below any wrapper.
Each publishes a track and reads the other's, and each calls a method of the other.
"""

import argparse
import asyncio
import ctypes
import os

from livekit import api, rtc
from livekit.rtc._proto.ffi_pb2 import FfiEvent, FfiRequest, FfiResponse

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t)


class OtherLibrary:
    """A native library by its four functions."""

    def __init__(self, path: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.events: list[FfiEvent] = []
        self.changed = asyncio.Condition()
        self.library = ctypes.CDLL(path)
        self.library.livekit_ffi_request.restype = ctypes.c_uint64
        self.library.livekit_ffi_drop_handle.argtypes = [ctypes.c_uint64]
        self.callback = CALLBACK(self._called)
        self.library.livekit_ffi_initialize(self.callback, ctypes.c_bool(False), b"by-hand", b"1")

    def _called(self, data, length: int) -> None:
        """On a thread of the library's."""
        event = FfiEvent.FromString(ctypes.string_at(data, length))
        asyncio.run_coroutine_threadsafe(self._keep(event), self.loop)

    async def _keep(self, event: FfiEvent) -> None:
        async with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    async def until(self, find):
        """What `find` makes of the first event that it makes something of."""
        async with self.changed:
            found = lambda: next(filter(None, map(find, self.events)), None)
            return await self.changed.wait_for(found)

    def request(self, name: str, **fields):
        request = FfiRequest()
        message = getattr(request, name)
        message.SetInParent()
        for key, value in fields.items():
            parts = key.split("__")
            target = message
            for part in parts[:-1]:
                target = getattr(target, part)
            setattr(target, parts[-1], value)
        data = request.SerializeToString()
        pointer, length = ctypes.POINTER(ctypes.c_uint8)(), ctypes.c_size_t()
        source = ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_uint8))
        size = ctypes.c_size_t(len(data))
        handle = self.library.livekit_ffi_request(source, size, ctypes.byref(pointer), ctypes.byref(length))
        assert handle != 0, name
        response = FfiResponse.FromString(ctypes.string_at(pointer, length.value))
        assert self.library.livekit_ffi_drop_handle(handle)
        return getattr(response, response.WhichOneof("message"))

    async def call(self, name: str, **fields):
        """A request that an event answers; the event's message."""
        async_id = self.request(name, **fields).async_id

        def answer(event: FfiEvent):
            if event.WhichOneof("message") == name and getattr(event, name).async_id == async_id:
                return getattr(event, name)

        return await self.until(answer)

    def dispose(self) -> None:
        self.library.livekit_ffi_dispose()


async def main(arguments) -> None:
    def token(identity: str) -> str:
        grants = api.VideoGrants(room_join=True, room=f"both-{os.getpid()}")
        return api.AccessToken(arguments.key, arguments.secret).with_identity(identity).with_grants(grants).to_jwt()

    room, tracks = rtc.Room(), asyncio.Queue()
    room.on("data_track_published", tracks.put_nowait)
    await room.connect(arguments.url, token("wrapped"))
    local = room.local_participant
    own = await local.publish_data_track(name="wrapped")
    local.register_rpc_method("reverse", lambda call: call.payload[::-1])

    other = OtherLibrary(arguments.other)
    joined = await other.call("connect", url=arguments.url, token=token("by-hand"), options__single_peer_connection=True)
    assert not joined.error, joined.error
    by_hand = joined.result.local_participant.handle.id
    other.request("ready_for_room_event", room_handle=joined.result.room.handle.id)
    published = await other.call("publish_data_track", local_participant_handle=by_hand, options__name="by-hand")

    # Frames from the other library to the wrapper.
    stream = (await tracks.get()).subscribe()
    reading = asyncio.ensure_future(stream.read())
    while not reading.done():
        pushed = other.request(
            "local_data_track_try_push", track_handle=published.track.handle.id, frame__payload=b"by hand"
        )
        assert not pushed.HasField("error"), pushed.error
        await asyncio.wait({reading}, timeout=0.05)
    assert reading.result().payload == b"by hand"

    # And the other way.
    def remote(event: FfiEvent):
        if event.room_event.HasField("data_track_published"):
            return event.room_event.data_track_published.track.handle.id

    handle = await other.until(remote)
    stream_handle = other.request("subscribe_data_track", track_handle=handle, options__buffer_size=16).stream.handle.id
    other.request("data_track_stream_read", stream_handle=stream_handle)

    def frame(event: FfiEvent):
        told = event.data_track_stream_event
        if told.stream_handle == stream_handle and told.HasField("frame_received"):
            return told.frame_received.frame.payload

    arrived = asyncio.ensure_future(other.until(frame))
    while not arrived.done():
        own.try_push(rtc.DataTrackFrame(b"wrapped"))
        await asyncio.wait({arrived}, timeout=0.05)
    assert arrived.result() == b"wrapped"

    # Calls, both ways.
    answered = await other.call(
        "perform_rpc", local_participant_handle=by_hand, destination_identity="wrapped", method="reverse", payload="abc"
    )
    assert answered.payload == "cba", answered
    other.request("register_rpc_method", local_participant_handle=by_hand, method="twice")
    calling = asyncio.ensure_future(
        local.perform_rpc(destination_identity="by-hand", method="twice", payload="ab")
    )
    asked = await other.until(lambda event: event.HasField("rpc_method_invocation") and event.rpc_method_invocation)
    responded = other.request(
        "rpc_method_invocation_response",
        local_participant_handle=by_hand,
        invocation_id=asked.invocation_id,
        payload=asked.payload * 2,
    )
    assert not responded.error, responded.error
    assert await calling == "abab"

    # One ends, the other one goes on.
    gone = asyncio.get_running_loop().create_future()
    room.on("participant_disconnected", lambda participant: gone.set_result(participant.identity))
    await asyncio.to_thread(other.dispose)
    assert await gone == "by-hand"
    await local.publish_data(b"still here")
    await room.disconnect()
    print("both libraries work beside each other", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("url", "key", "secret", "other"):
        parser.add_argument(f"--{name}", required=True)
    asyncio.run(asyncio.wait_for(main(parser.parse_args()), 50))
    # Threads of LiveKit's library do not end in order.
    os._exit(0)
