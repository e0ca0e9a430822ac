"""What the library below the Python client costs: `python -m harness.measure` with the address and keys of a server.

Two rooms in this process, one track from one to the other. Prints CPU time per frame, of the whole process and of the threads that are not
Python's, and what is resident. `LIVEKIT_LIB_PATH` chooses the library.
"""

import argparse
import asyncio
import json
import os
import resource
import time
from pathlib import Path

from livekit import api, rtc

from .soak import resident_kib


def cpu_by_thread() -> dict[str, float]:
    """CPU seconds of each thread, by name and id."""
    tick = os.sysconf("SC_CLK_TCK")
    times = {}
    for stat in Path("/proc/self/task").glob("*/stat"):
        number, rest = stat.read_text().split(" (", 1)
        name, fields = rest.rsplit(") ", 1)
        fields = fields.split()
        times[f"{name} {number}"] = (int(fields[11]) + int(fields[12])) / tick
    return times


async def measure(arguments) -> dict:
    def token(identity: str) -> str:
        grants = api.VideoGrants(room_join=True, room=f"measure-{os.getpid()}")
        return api.AccessToken(arguments.key, arguments.secret).with_identity(identity).with_grants(grants).to_jwt()

    before = resident_kib()
    publisher, subscriber = rtc.Room(), rtc.Room()
    found = asyncio.get_running_loop().create_future()
    subscriber.on("data_track_published", lambda track: found.done() or found.set_result(track))
    await publisher.connect(arguments.url, token("publisher"))
    await subscriber.connect(arguments.url, token("subscriber"))
    track = await publisher.local_participant.publish_data_track(name="measure")
    stream = (await found).subscribe()
    connected = resident_kib()
    latencies = []
    payload = os.urandom(arguments.size - 8)

    async def read() -> None:
        while (frame := await stream.read()) is not None:
            latencies.append(time.monotonic_ns() - int.from_bytes(frame.payload[:8], "little"))

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(1)

    def push() -> None:
        track.try_push(rtc.DataTrackFrame(time.monotonic_ns().to_bytes(8, "little") + payload))

    push()
    await asyncio.sleep(0.2)
    latencies.clear()
    usage, threads = resource.getrusage(resource.RUSAGE_SELF), cpu_by_thread()
    start = time.monotonic()
    for number in range(arguments.frames):
        push()
        due = start + (number + 1) / arguments.rate
        if (left := due - time.monotonic()) > 0:
            await asyncio.sleep(left)
    await asyncio.sleep(0.2)
    after, after_threads = resource.getrusage(resource.RUSAGE_SELF), cpu_by_thread()
    reading.cancel()
    cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    others = {
        name: round((after_threads[name] - threads.get(name, 0)) / arguments.frames * 1e6, 1)
        for name in after_threads
    }
    latencies.sort()
    result = {
        "library": os.environ.get("LIVEKIT_LIB_PATH", "the wheel's own"),
        "frames": arguments.frames,
        "arrived": len(latencies),
        "cpu_us_per_frame": round(cpu / arguments.frames * 1e6, 1),
        "cpu_us_per_frame_by_thread": {name: us for name, us in others.items() if us >= 0.5},
        "p50_us": latencies[len(latencies) // 2] // 1000 if latencies else None,
        "p99_us": latencies[len(latencies) * 99 // 100] // 1000 if latencies else None,
        "rss_kib": {"before": before, "two rooms": connected, "end": resident_kib()},
    }
    await publisher.disconnect()
    await subscriber.disconnect()
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "key", "secret"):
        parser.add_argument(f"--{name}", required=True)
    for name, default in (("rate", 1000), ("frames", 10_000), ("size", 1024)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
