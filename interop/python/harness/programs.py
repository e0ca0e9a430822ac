"""Peers that are programs of their own, one participant per process.

`TramlinePeer` is our Rust SDK: the program `tramline-interop-peer` (`TRAMLINE_PEER`). `WheelPeer` is the official client on the library that
it comes with, for runs in which this process has it on ours.

Such a program takes one JSON object a line on stdin, `{"id", "op", …}`, and answers each with one line on stdout,
`{"id", "ok": …}` or `{"id", "error": text}`, in any order: an operation that waits holds up no other.
"""

import asyncio
import base64
import itertools
import json
import os
import sys
from dataclasses import asdict

from .official import LIBRARY
from .peer import Encryption, Frame, Peer, Refused, RemoteTrack, Stream

LINE_LIMIT = 4 * 1024 * 1024


class ProgramStream(Stream):
    def __init__(self, peer: "ProgramPeer", number: int, may_lose: bool) -> None:
        self.peer = peer
        self.number = number
        self.may_lose = may_lose

    async def next(self) -> Frame | None:
        frame = await self.peer._call("read", stream=self.number)
        if frame is None:
            return None
        timestamp = frame["user_timestamp"]
        return Frame(frame["size"], frame["sha256"], timestamp and int(timestamp), frame["is_probe"])

    async def close(self) -> None:
        await self.peer._call("close_stream", stream=self.number)


class ProgramPeer(Peer):
    may_lose = False
    """Whether streams of this client lose frames by themselves."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.answers: dict[int, asyncio.Future] = {}
        self.ids = itertools.count(1)
        self.reader: asyncio.Task | None = None

    async def _start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command(),
            env=self.environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
        )
        self.reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while line := await self.process.stdout.readline():
            answer = json.loads(line)
            waiting = self.answers.pop(answer["id"])
            if waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(Refused(answer["error"]))
            else:
                waiting.set_result(answer["ok"])
        for waiting in self.answers.values():
            if not waiting.done():
                waiting.set_exception(AssertionError("the peer program ended in the middle of an operation"))

    async def _call(self, op: str, **fields):
        number = next(self.ids)
        self.answers[number] = answer = asyncio.get_running_loop().create_future()
        self.process.stdin.write(json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        await self.process.stdin.drain()
        return await answer

    async def connect(self, url: str, token: str, encryption: Encryption | None = None) -> None:
        await self._start()
        await self._call(
            "connect",
            url=url,
            token=token,
            encryption=encryption and asdict(encryption),
            two_connections=self.two_connections,
        )

    async def set_key(self, key: str) -> None:
        await self._call("set_key", key=key)

    async def update(self, name: str, metadata: str, attributes: dict[str, str]) -> None:
        await self._call("update", name=name, metadata=metadata, attributes=attributes)

    async def publish(self, name: str) -> str:
        return await self._call("publish", name=name)

    async def push(self, sid: str, payload: bytes, user_timestamp: int | None = None) -> None:
        timestamp = None if user_timestamp is None else str(user_timestamp)
        payload64 = base64.b64encode(payload).decode()
        await self._call("push", sid=sid, payload=payload64, user_timestamp=timestamp)

    async def unpublish(self, sid: str) -> None:
        await self._call("unpublish", sid=sid)

    async def track(self, publisher: str, name: str) -> RemoteTrack:
        sid = await self._call("track", publisher=publisher, name=name)
        return RemoteTrack(sid, name, publisher)

    async def unpublished(self, sid: str) -> None:
        await self._call("unpublished", sid=sid)

    async def subscribe(self, track: RemoteTrack, buffer_size: int | None = None) -> Stream:
        number = await self._call("subscribe", sid=track.sid, buffer_size=buffer_size)
        return ProgramStream(self, number, self.may_lose)

    async def participant(self, identity: str, expected: dict | None = None) -> dict:
        return await self._call("participant", identity=identity, expected=expected)

    async def send(
        self, payload: bytes, topic: str | None = None, reliable: bool = True, destinations: tuple[str, ...] = ()
    ) -> None:
        payload64 = base64.b64encode(payload).decode()
        await self._call("send", payload=payload64, topic=topic, reliable=reliable, destinations=list(destinations))

    async def send_dtmf(self, code: int, digit: str) -> None:
        await self._call("send_dtmf", code=code, digit=digit)

    async def received(self) -> dict:
        return await self._call("received")

    async def register(self, method: str) -> None:
        await self._call("register", method=method)

    async def call(self, destination: str, method: str, payload: str, timeout: float | None = None) -> str:
        return await self._call("call", destination=destination, method=method, payload=payload, timeout=timeout)

    async def send_text(self, text: str, topic: str, attributes: dict[str, str] = {}, parts: int = 1) -> None:
        await self._call("send_text", text=text, topic=topic, attributes=attributes, parts=parts)

    async def send_bytes(self, payload: bytes, topic: str, name: str) -> None:
        await self._call("send_bytes", payload=base64.b64encode(payload).decode(), topic=topic, name=name)

    async def send_file(self, path: str, topic: str) -> None:
        await self._call("send_file", path=path, topic=topic)

    async def streamed(self) -> dict:
        return await self._call("streamed")

    async def departed(self, identity: str) -> None:
        await self._call("departed", identity=identity)

    async def disconnected(self) -> str:
        return await self._call("disconnected")

    async def close(self) -> None:
        if self.process is None:
            return
        try:
            await self._call("close")
        finally:
            self.process.stdin.close()
            status = await self.process.wait()
            await self.reader
        assert status == 0, f"the peer program ended with {status}"


class TramlinePeer(ProgramPeer):
    kind = "tramline"

    def command(self) -> list[str]:
        return [os.environ["TRAMLINE_PEER"]]


class TramlinePeerOfTwo(TramlinePeer):
    kind = "tramline-v0"
    two_connections = True


class WheelPeer(ProgramPeer):
    kind = "wheel"
    may_lose = True
    sends_empty_frames = False

    def command(self) -> list[str]:
        return [sys.executable, "-m", "harness.program"]

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name != LIBRARY}
