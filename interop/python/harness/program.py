"""The official client as a program: the other end of `WheelPeer`."""

import asyncio
import base64
import json
import os
import sys

from .conversation import Talker
from .peer import Encryption, Refused, RemoteTrack, Stream


class Program:
    def __init__(self) -> None:
        self.peer = Talker()
        self.streams: list[Stream] = []
        self.tracks: dict[str, RemoteTrack] = {}

    async def connect(self, url: str, token: str, encryption: dict | None, two_connections: bool) -> None:
        self.peer.two_connections = two_connections
        await self.peer.connect(url, token, encryption and Encryption(**encryption))

    async def push(self, sid: str, payload: str, user_timestamp: str | None) -> None:
        timestamp = None if user_timestamp is None else int(user_timestamp)
        await self.peer.push(sid, base64.b64decode(payload), timestamp)

    async def send(self, payload: str, topic: str | None, reliable: bool, destinations: list[str]) -> None:
        await self.peer.send(base64.b64decode(payload), topic, reliable, tuple(destinations))

    async def send_bytes(self, payload: str, topic: str, name: str) -> None:
        await self.peer.send_bytes(base64.b64decode(payload), topic, name)

    async def track(self, publisher: str, name: str) -> str:
        track = await self.peer.track(publisher, name)
        self.tracks[track.sid] = track
        return track.sid

    async def subscribe(self, sid: str, buffer_size: int | None) -> int:
        self.streams.append(await self.peer.subscribe(self.tracks[sid], buffer_size))
        return len(self.streams) - 1

    async def read(self, stream: int) -> dict | None:
        frame = await self.streams[stream].next()
        if frame is None:
            return None
        timestamp = None if frame.user_timestamp is None else str(frame.user_timestamp)
        return {"size": frame.size, "sha256": frame.sha256, "user_timestamp": timestamp, "is_probe": frame.is_probe}

    async def close_stream(self, stream: int) -> None:
        await self.streams[stream].close()

    async def perform(self, request: dict) -> None:
        number, op = request.pop("id"), request.pop("op")
        perform = getattr(self, op, None) or getattr(self.peer, op)
        try:
            answer = {"ok": await perform(**request)}
        except Refused as refused:
            answer = {"error": str(refused)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"id": number, **answer}), flush=True)


async def main() -> None:
    program = Program()
    loop = asyncio.get_running_loop()
    running = set()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        task = loop.create_task(program.perform(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


if __name__ == "__main__":
    asyncio.run(main())
    # The native library may not end in order, which is none of the cases' concern.
    sys.stdout.flush()
    os._exit(0)
