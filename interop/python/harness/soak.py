"""Connects, sends, disposes and begins again, and looks whether anything is left behind.

By hand, for longer: `LIVEKIT_LIB_PATH=… python -m harness.soak --url … --key … --secret … --rounds 100 --frames 10000`.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from livekit import api, rtc
from livekit.rtc._ffi_client import FfiClient


def threads() -> list[str]:
    """The names of our threads."""
    names = (path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    return sorted(name for name in names if name.startswith("tramline"))


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


async def one_round(arguments, frames: int) -> None:
    def token(identity: str) -> str:
        grants = api.VideoGrants(room_join=True, room=f"soak-{os.getpid()}")
        return api.AccessToken(arguments.key, arguments.secret).with_identity(identity).with_grants(grants).to_jwt()

    publisher, subscriber = rtc.Room(), rtc.Room()
    found = asyncio.get_running_loop().create_future()
    subscriber.on("data_track_published", lambda track: found.done() or found.set_result(track))
    await publisher.connect(arguments.url, token("publisher"))
    await subscriber.connect(arguments.url, token("subscriber"))
    track = await publisher.local_participant.publish_data_track(name="soak")
    stream = (await found).subscribe()
    payload = os.urandom(1024)
    read = 0
    while read < frames:
        track.try_push(rtc.DataTrackFrame(payload))
        try:
            async with asyncio.timeout(0.2):
                frame = await stream.read()
        except TimeoutError:
            # Before the subscription is up, frames go nowhere; afterwards each one arrives.
            continue
        assert frame.payload == payload
        read += 1
    stream.close()
    # One room leaves in order, the other one is left to the dispose.
    await publisher.disconnect()


def dispose() -> None:
    FfiClient.instance._dispose()
    FfiClient._instance = None


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("url", "key", "secret"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("rounds", "frames"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    for number in range(arguments.rounds):
        asyncio.run(one_round(arguments, arguments.frames))
        during = threads()
        dispose()
        after = threads()
        print(f"round {number}: {resident_kib()} KiB, threads {during} then {after}", flush=True)
        if "tramline-ffi" not in during or after:
            print("threads are missing, or left behind", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
