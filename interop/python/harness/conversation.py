"""Official clients that talk beside their tracks: packets, calls, streams.

Both speak for a participant of the official Python client: `Talker` in this process, `WheelTalker` in one of its own, for runs in which
this process has the client on our library.
"""

import asyncio
import hashlib

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from .official import OfficialPeer
from .peer import Refused
from .programs import WheelPeer

PROBE = "probe"
"""Packets with this topic only find out whether a peer can be reached."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Talker(OfficialPeer):
    """What comes is kept until it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.packets = asyncio.Queue()
        self.talked = asyncio.Queue()
        self.calls = asyncio.Queue()
        self.reading: set[asyncio.Task] = set()
        self.is_heard = asyncio.Event()
        self.room.on("data_received", self._received)
        self.room.on("sip_dtmf_received", lambda tone: self.packets.put_nowait({"code": tone.code, "digit": tone.digit}))

    def _received(self, packet: rtc.DataPacket) -> None:
        if packet.topic == PROBE:
            self.is_heard.set()
            return
        seen = {"size": len(packet.data), "sha256": digest(packet.data), "topic": packet.topic}
        seen["reliable"] = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
        seen["sender"] = packet.participant and packet.participant.identity
        self.packets.put_nowait(seen)

    async def publish_data(self, size: int, reliable: bool, topic: str, to: list[str]) -> None:
        try:
            local = self.room.local_participant
            await local.publish_data(filler(size), reliable=reliable, topic=topic, destination_identities=to)
        except PublishDataError as error:
            raise Refused(error.message) from error

    async def publish_dtmf(self, code: int, digit: str) -> None:
        await self.room.local_participant.publish_dtmf(code=code, digit=digit)

    async def next_packet(self) -> dict:
        return await self.packets.get()

    async def heard(self) -> None:
        """Waits until a probe has come."""
        await self.is_heard.wait()

    # Calls. A handler answers with its payload, backwards or grown, fails, or never answers.

    async def answer(self, method: str) -> None:
        async def handler(data: rtc.RpcInvocationData) -> str:
            self.calls.put_nowait({"caller": data.caller_identity, "payload": len(data.payload)})
            if method == "reverse":
                return data.payload[::-1]
            if method == "grow":
                return data.payload * 2
            if method == "fail":
                raise rtc.RpcError(1234, "refused", "with data")
            if method == "crash":
                raise ValueError("a mistake of the handler")
            if method == "back":
                local = self.room.local_participant
                return await local.perform_rpc(
                    destination_identity=data.caller_identity, method="reverse", payload=data.payload
                )
            await asyncio.Event().wait()

        self.room.local_participant.register_rpc_method(method, handler)

    async def answer_no_more(self, method: str) -> None:
        self.room.local_participant.unregister_rpc_method(method)

    async def ask(self, to: str, method: str, payload: str, timeout: float | None = None) -> dict:
        try:
            options = {} if timeout is None else {"response_timeout": timeout}
            local = self.room.local_participant
            return {"answer": await local.perform_rpc(destination_identity=to, method=method, payload=payload, **options)}
        except rtc.RpcError as error:
            return {"code": error.code, "message": error.message, "data": error.data}

    async def next_call(self) -> dict:
        return await self.calls.get()

    # Streams.

    async def listen(self, topic: str) -> None:
        self.room.register_text_stream_handler(topic, lambda reader, who: self._spawn(self._read_text(reader, who)))
        self.room.register_byte_stream_handler(topic, lambda reader, who: self._spawn(self._read_bytes(reader, who)))

    def _spawn(self, job) -> None:
        task = asyncio.ensure_future(job)
        self.reading.add(task)
        task.add_done_callback(self.reading.discard)

    async def _read_text(self, reader: rtc.TextStreamReader, who: str) -> None:
        text = await reader.read_all()
        self._keep(reader.info, who, text.encode())

    async def _read_bytes(self, reader: rtc.ByteStreamReader, who: str) -> None:
        data = bytearray()
        async for part in reader:
            data += part
        self._keep(reader.info, who, bytes(data), name=reader.info.name)

    def _keep(self, info, who: str, data: bytes, **more) -> None:
        seen = {"topic": info.topic, "attributes": dict(info.attributes or {}), "sender": who, **more}
        self.talked.put_nowait({"size": len(data), "sha256": digest(data), "mime_type": info.mime_type, **seen})

    async def next_stream(self) -> dict:
        return await self.talked.get()

    async def say(self, text: str, topic: str, attributes: dict, to: list[str]) -> int:
        local = self.room.local_participant
        info = await local.send_text(text, topic=topic, attributes=attributes, destination_identities=to)
        return info.size

    async def write_text(self, parts: list[str], topic: str, attributes: dict) -> None:
        writer = await self.room.local_participant.stream_text(topic=topic, attributes=attributes)
        for part in parts:
            await writer.write(part)
        await writer.aclose()

    async def write_bytes(self, parts: list[int], topic: str, name: str) -> None:
        writer = await self.room.local_participant.stream_bytes(name, topic=topic)
        for part in parts:
            await writer.write(filler(part))
        await writer.aclose()

    async def hand_over(self, path: str, topic: str) -> None:
        await self.room.local_participant.send_file(path, topic=topic)


class WheelTalker(WheelPeer):
    """Each operation is carried out by a `Talker` in the program."""


def _by_name(op: str):
    async def perform(self, **fields):
        return await self._call(op, **fields)

    return perform


for op in [name for name, value in vars(Talker).items() if asyncio.iscoroutinefunction(value) and name[0] != "_"]:
    setattr(WheelTalker, op, _by_name(op))


async def until_heard(speaker, listener) -> None:
    """Sends probes until one arrives: from then on everything reliable arrives."""
    heard = asyncio.ensure_future(listener.heard())
    while not heard.done():
        await speaker.publish_data(size=1, reliable=True, topic=PROBE, to=[])
        await asyncio.wait({heard}, timeout=0.05)


def filler(size: int) -> bytes:
    """Bytes that can be told apart, and do not shrink."""
    block = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(256))
    return (block * (size // len(block) + 1))[:size]
