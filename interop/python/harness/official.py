"""The official Python client as a peer, with one peer connection or with two.

It loads the native library that it comes with, or the one that `LIVEKIT_LIB_PATH` names: ours.
"""

import asyncio
import hashlib
import os

from livekit import rtc
from livekit.rtc._proto.e2ee_pb2 import KeyDerivationFunction
from livekit.rtc.data_track import SubscribeDataTrackError
from livekit.rtc.e2ee import KeyProviderOptions

from .peer import Encryption, Frame, Peer, Refused, RemoteTrack, Stream


LIBRARY = "LIVEKIT_LIB_PATH"
ON_OUR_LIBRARY = LIBRARY in os.environ


EVENTS = [
    "participant_connected",
    "participant_disconnected",
    "participant_name_changed",
    "participant_metadata_changed",
    "participant_attributes_changed",
]
TOPIC = "t"
"""The topic of all streams in the cases."""

DERIVATIONS = {"pbkdf2": KeyDerivationFunction.PBKDF2, "hkdf": KeyDerivationFunction.HKDF}


class OfficialStream(Stream):
    may_lose = not ON_OUR_LIBRARY or "TRAMLINE_INTEROP_URL" in os.environ

    def __init__(self, inner: rtc.DataTrackStream) -> None:
        self.inner = inner

    async def next(self) -> Frame | None:
        try:
            frame = await self.inner.read()
        except SubscribeDataTrackError as error:
            raise Refused(error.message) from error
        return frame and Frame.of(frame.payload, frame.user_timestamp)

    async def close(self) -> None:
        self.inner.close()


class OfficialPeer(Peer):
    kind = "library" if ON_OUR_LIBRARY else "official"
    sends_empty_frames = ON_OUR_LIBRARY

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.local: dict[str, rtc.LocalDataTrack] = {}
        self.remote: dict[str, rtc.RemoteDataTrack] = {}
        self.reason: str | None = None
        self.messages: asyncio.Queue[dict] = asyncio.Queue()
        self.streams: asyncio.Queue[dict | Exception] = asyncio.Queue()
        self.reading: set[asyncio.Task] = set()
        self.changed = asyncio.Condition()
        self.room.on("data_track_published", self._published)
        self.room.on("data_track_unpublished", lambda sid: self.remote.pop(sid, None) and self._notify())
        self.room.on("disconnected", self._disconnected)
        self.room.on("data_received", self._packet)
        self.room.on("sip_dtmf_received", self._tone)
        self.room.register_text_stream_handler(TOPIC, self._text_opened)
        self.room.register_byte_stream_handler(TOPIC, self._bytes_opened)
        for event in EVENTS:
            self.room.on(event, lambda *_: self._notify())

    def _published(self, track: rtc.RemoteDataTrack) -> None:
        self.remote[track.info.sid] = track
        self._notify()

    def _disconnected(self, reason) -> None:
        self.reason = rtc.DisconnectReason.Name(reason)
        self._notify()

    def _packet(self, packet: rtc.DataPacket) -> None:
        sender = packet.participant and packet.participant.identity
        reliable = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
        seen = {"size": len(packet.data), "sha256": hashlib.sha256(packet.data).hexdigest()}
        self.messages.put_nowait({**seen, "topic": packet.topic or None, "reliable": reliable, "sender": sender})

    def _tone(self, tone: rtc.SipDTMF) -> None:
        sender = tone.participant and tone.participant.identity
        self.messages.put_nowait({"code": tone.code, "digit": tone.digit, "sender": sender})

    def _text_opened(self, reader: rtc.TextStreamReader, sender: str) -> None:
        self._read(reader, sender, None)

    def _bytes_opened(self, reader: rtc.ByteStreamReader, sender: str) -> None:
        self._read(reader, sender, reader.info.name)

    def _read(self, reader, sender: str, name: str | None) -> None:
        async def read() -> None:
            try:
                parts = [part async for part in reader]
            except Exception as error:
                return self.streams.put_nowait(Refused(str(error)))
            content = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
            self.streams.put_nowait(
                {
                    "topic": reader.info.topic,
                    "sender": sender,
                    "name": name,
                    "attributes": dict(reader.info.attributes or {}),
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
            )

        task = asyncio.ensure_future(read())
        self.reading.add(task)
        task.add_done_callback(self.reading.discard)

    def _notify(self) -> None:
        async def notify() -> None:
            async with self.changed:
                self.changed.notify_all()

        asyncio.ensure_future(notify())

    async def _until(self, found):
        async with self.changed:
            return await self.changed.wait_for(found)

    async def connect(self, url: str, token: str, encryption: Encryption | None = None) -> None:
        options = rtc.RoomOptions(single_peer_connection=not self.two_connections)
        if encryption:
            derivation = DERIVATIONS[encryption.derivation]
            keys = KeyProviderOptions(shared_key=encryption.key.encode(), key_derivation_function=derivation)
            options.encryption = rtc.E2EEOptions(key_provider_options=keys)
        try:
            await self.room.connect(url, token, options)
        except rtc.ConnectError as error:
            raise Refused(error.message) from error

    async def set_key(self, key: str) -> None:
        self.room.e2ee_manager.key_provider.set_shared_key(key.encode(), 0)

    async def update(self, name: str, metadata: str, attributes: dict[str, str]) -> None:
        local = self.room.local_participant
        # LiveKit's client sends the values that it knows along with the new one: each change must have come back first.
        await local.set_name(name)
        await self._until(lambda: local.name == name)
        await local.set_metadata(metadata)
        await self._until(lambda: local.metadata == metadata)
        await local.set_attributes(attributes)

    async def publish(self, name: str) -> str:
        try:
            track = await self.room.local_participant.publish_data_track(name=name)
        except Exception as error:
            raise Refused(getattr(error, "message", str(error))) from error
        assert track.info.name == name
        self.local[track.info.sid] = track
        return track.info.sid

    async def push(self, sid: str, payload: bytes, user_timestamp: int | None = None) -> None:
        try:
            self.local[sid].try_push(rtc.DataTrackFrame(payload, user_timestamp))
        except rtc.PushFrameError as error:
            raise Refused(error.message) from error

    async def unpublish(self, sid: str) -> None:
        await self.local[sid].unpublish()

    async def track(self, publisher: str, name: str) -> RemoteTrack:
        def find() -> rtc.RemoteDataTrack | None:
            fits = lambda track: (track.publisher_identity, track.info.name) == (publisher, name)
            return next(filter(fits, self.remote.values()), None)

        found = await self._until(find)
        return RemoteTrack(found.info.sid, found.info.name, found.publisher_identity)

    async def unpublished(self, sid: str) -> None:
        await self._until(lambda: sid not in self.remote)

    async def subscribe(self, track: RemoteTrack, buffer_size: int | None = None) -> Stream:
        return OfficialStream(self.remote[track.sid].subscribe(buffer_size=buffer_size))

    async def participant(self, identity: str, expected: dict | None = None) -> dict:
        def find() -> dict | None:
            if (found := self.room.remote_participants.get(identity)) is None:
                return None
            seen = {"name": found.name, "metadata": found.metadata, "attributes": dict(found.attributes)}
            return seen if expected in (None, seen) else None

        return await self._until(find)

    async def send(
        self, payload: bytes, topic: str | None = None, reliable: bool = True, destinations: tuple[str, ...] = ()
    ) -> None:
        local = self.room.local_participant
        try:
            await local.publish_data(
                payload, reliable=reliable, destination_identities=list(destinations), topic=topic or ""
            )
        except Exception as error:
            raise Refused(getattr(error, "message", str(error))) from error

    async def send_dtmf(self, code: int, digit: str) -> None:
        await self.room.local_participant.publish_dtmf(code=code, digit=digit)

    async def received(self) -> dict:
        return await self.messages.get()

    async def register(self, method: str) -> None:
        async def handle(data: rtc.RpcInvocationData) -> str:
            if method == "echo":
                return data.payload
            raise rtc.RpcError(101, "mine", "d")

        self.room.local_participant.register_rpc_method(method, handle)

    async def call(self, destination: str, method: str, payload: str, timeout: float | None = None) -> str:
        try:
            return await self.room.local_participant.perform_rpc(
                destination_identity=destination, method=method, payload=payload, response_timeout=timeout
            )
        except rtc.RpcError as error:
            raise Refused(f"{error.code} {error.message}") from error

    async def send_text(self, text: str, topic: str, attributes: dict[str, str] = {}, parts: int = 1) -> None:
        local = self.room.local_participant
        if parts == 1:
            await local.send_text(text, topic=topic, attributes=attributes)
            return
        writer = await local.stream_text(topic=topic, attributes=attributes)
        step = -(-len(text) // parts)
        for start in range(0, len(text), step):
            await writer.write(text[start : start + step])
        await writer.aclose()

    async def send_bytes(self, payload: bytes, topic: str, name: str) -> None:
        await self.room.local_participant.send_bytes(payload, topic=topic, name=name)

    async def send_file(self, path: str, topic: str) -> None:
        await self.room.local_participant.send_file(path, topic=topic)

    async def streamed(self) -> dict:
        if isinstance(stream := await self.streams.get(), Exception):
            raise stream
        return stream

    async def departed(self, identity: str) -> None:
        await self._until(lambda: identity not in self.room.remote_participants)

    async def disconnected(self) -> str:
        return await self._until(lambda: self.reason)

    async def close(self) -> None:
        await self.room.disconnect()


class OfficialPeerOfTwo(OfficialPeer):
    kind = f"{OfficialPeer.kind}-v0"
    two_connections = True
