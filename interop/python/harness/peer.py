"""What a case needs of a peer. `official.py` and `tramline.py` implement it."""

import abc
import asyncio
import hashlib
from dataclasses import dataclass

PROBE = b"probe:"
"""Frames that begin like this only find out whether a subscription is up; a stream never shows them to a case."""


class Refused(Exception):
    """An operation that the peer or the server refused; the text is the peer's own."""


@dataclass(frozen=True)
class Frame:
    """A received frame. Its content is compared by checksum, so that large ones need not cross a pipe."""

    size: int
    sha256: str
    user_timestamp: int | None = None
    is_probe: bool = False

    @classmethod
    def of(cls, payload: bytes, user_timestamp: int | None = None) -> "Frame":
        digest = hashlib.sha256(payload).hexdigest()
        return cls(len(payload), digest, user_timestamp, payload.startswith(PROBE))


@dataclass(frozen=True)
class Encryption:
    """A key for everybody in the room, in slot 0."""

    key: str
    derivation: str
    """`pbkdf2` or `hkdf`."""


@dataclass(frozen=True)
class RemoteTrack:
    sid: str
    name: str
    publisher: str


class Stream(abc.ABC):
    """One subscription to a remote track."""

    may_lose = False
    """Whether the client is known to lose frames of several packets by itself."""

    @abc.abstractmethod
    async def next(self) -> Frame | None:
        """The next frame, probes included; `None` when the stream has ended; raises `Refused` when there was no subscription."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Ends the subscription."""

    async def read(self) -> Frame | None:
        """The next frame that is no probe."""
        while (frame := await self.next()) is not None:
            if not frame.is_probe:
                return frame
        return None

    async def read_many(self, count: int) -> list[Frame]:
        frames = []
        while len(frames) < count:
            frame = await self.read()
            if frame is None:
                raise AssertionError(f"the stream ended after {len(frames)} of {count} frames")
            frames.append(frame)
        return frames


class Peer(abc.ABC):
    """One participant in one room."""

    sends_empty_frames = True

    two_connections = False
    """One for each direction (LiveKit's older signalling) instead of one for both."""

    @abc.abstractmethod
    async def connect(self, url: str, token: str, encryption: Encryption | None = None) -> None: ...

    @abc.abstractmethod
    async def set_key(self, key: str) -> None:
        """Replaces the key that it joined with."""

    @abc.abstractmethod
    async def update(self, name: str, metadata: str, attributes: dict[str, str]) -> None:
        """Changes what the others see of it."""

    @abc.abstractmethod
    async def publish(self, name: str) -> str:
        """Publishes a track and returns its SID; raises `Refused`."""

    @abc.abstractmethod
    async def push(self, sid: str, payload: bytes, user_timestamp: int | None = None) -> None:
        """Queues one frame on a published track; raises `Refused`."""

    @abc.abstractmethod
    async def unpublish(self, sid: str) -> None: ...

    @abc.abstractmethod
    async def track(self, publisher: str, name: str) -> RemoteTrack:
        """Waits until `publisher` has a track of this name."""

    @abc.abstractmethod
    async def unpublished(self, sid: str) -> None:
        """Waits until the remote track with this SID is gone."""

    @abc.abstractmethod
    async def subscribe(self, track: RemoteTrack, buffer_size: int | None = None) -> Stream: ...

    @abc.abstractmethod
    async def participant(self, identity: str, expected: dict | None = None) -> dict:
        """Waits until `identity` is in the room, and like `expected`: its name, metadata and attributes."""

    @abc.abstractmethod
    async def send(
        self, payload: bytes, topic: str | None = None, reliable: bool = True, destinations: tuple[str, ...] = ()
    ) -> None:
        """Sends a packet; raises `Refused`."""

    @abc.abstractmethod
    async def send_dtmf(self, code: int, digit: str) -> None: ...

    @abc.abstractmethod
    async def received(self) -> dict:
        """The next packet (size, sha256, topic, reliable, sender) or tone (code, digit, sender) that came."""

    @abc.abstractmethod
    async def register(self, method: str) -> None:
        """Lets others call `echo`, which answers with the payload, or any other name, which fails with error 101."""

    @abc.abstractmethod
    async def call(self, destination: str, method: str, payload: str, timeout: float | None = None) -> str:
        """Calls a method; raises `Refused` with the number of the error in front."""

    @abc.abstractmethod
    async def send_text(self, text: str, topic: str, attributes: dict[str, str] = {}, parts: int = 1) -> None:
        """Sends a text at once, or little by little."""

    @abc.abstractmethod
    async def send_bytes(self, payload: bytes, topic: str, name: str) -> None: ...

    @abc.abstractmethod
    async def send_file(self, path: str, topic: str) -> None: ...

    @abc.abstractmethod
    async def streamed(self) -> dict:
        """The next stream with the topic `t` that came whole: topic, sender, name, attributes, size, sha256."""

    @abc.abstractmethod
    async def departed(self, identity: str) -> None:
        """Waits until `identity` has left."""

    @abc.abstractmethod
    async def disconnected(self) -> str:
        """Waits until this peer is put out of the room; returns the reason as LiveKit names it."""

    @abc.abstractmethod
    async def close(self) -> None: ...


async def until_flowing(publisher: Peer, sid: str, *streams: Stream) -> None:
    """Pushes probes until each stream has got one: from then on every stream gets every frame.

    A subscription comes up in its own time and nothing tells the publisher, so the only honest sign is a frame
    that arrives.
    """
    waiting = {asyncio.ensure_future(stream.next()): stream for stream in streams}
    number = 0
    try:
        while waiting:
            await publisher.push(sid, PROBE + str(number).encode())
            number += 1
            done, _ = await asyncio.wait(waiting, timeout=0.05)
            for task in done:
                stream = waiting.pop(task)
                if task.result() is None:
                    raise AssertionError("a stream ended before its first frame")
                del stream
    finally:
        for task in waiting:
            task.cancel()


ONE_PACKET = 16_000 - 12
"""The largest payload that travels in one packet."""

ATTEMPTS = 30


async def delivered(
    publisher: Peer, sid: str, stream: Stream, payload: bytes, user_timestamp: int | None = None
) -> None:
    """Pushes a frame and waits until it is read; whatever is read must be the frame.

    LiveKit's client holds at most 16 packets of a track between its network thread and its reassembly and drops what is
    too much, whole frames with it. To such a reader a frame of several packets is pushed again each second.
    """
    attempts = ATTEMPTS if stream.may_lose and len(payload) > ONE_PACKET else 1
    reading = asyncio.ensure_future(stream.read())
    try:
        for attempt in range(1, attempts + 1):
            await publisher.push(sid, payload, user_timestamp)
            # The last attempt ends with the frame, or with the limit of the case.
            done, _ = await asyncio.wait({reading}, timeout=1 if attempt < attempts else None)
            if done:
                assert reading.result() == Frame.of(payload, user_timestamp)
                return
    finally:
        reading.cancel()
