"""Runs async cases with a limit, and gives each its own room."""

import asyncio
import faulthandler
import itertools
import logging

import pytest

from harness.official import ON_OUR_LIBRARY, OfficialPeer
from harness.peer import Peer
from harness.programs import TramlinePeer, WheelPeer
from harness.server import Server

KINDS = {kind.kind: kind for kind in (OfficialPeer, TramlinePeer, WheelPeer)}
ROOMS = itertools.count(1)
CLOSE_LIMIT = 15

# The native library logs each subscription that ends while packets of it are on the way.
logging.getLogger("livekit").setLevel(logging.CRITICAL)


def pytest_pyfunc_call(pyfuncitem):
    """Runs an `async def` case; what hangs is cancelled, and what cannot be cancelled ends the run."""
    if not asyncio.iscoroutinefunction(pyfuncitem.obj):
        return None
    marker = pyfuncitem.get_closest_marker("limit")
    limit = marker.args[0] if marker else 60
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    faulthandler.dump_traceback_later(limit + 2 * CLOSE_LIMIT, exit=True)
    try:
        asyncio.run(within(limit, pyfuncitem.obj(**arguments), pyfuncitem.funcargs.get("room")))
    finally:
        faulthandler.cancel_dump_traceback_later()
    return True


async def within(limit, case, room):
    try:
        async with asyncio.timeout(limit):
            await case
    finally:
        if room is not None:
            async with asyncio.timeout(CLOSE_LIMIT):
                await room.close()


class Room:
    """One room of the server, and the peers that a case puts in it."""

    def __init__(self, server: Server, kinds: tuple[str, str]) -> None:
        self.server = server
        self.name = f"room-{next(ROOMS)}"
        self.publishing, self.subscribing = kinds
        self.peers: list[Peer] = []

    async def join(self, kind: str, identity: str, **options) -> Peer:
        peer = KINDS[kind]()
        self.peers.append(peer)
        await peer.connect(self.server.url, self.server.token(self.name, identity, **options))
        return peer

    async def publisher(self, identity: str = "publisher", **options) -> Peer:
        return await self.join(self.publishing, identity, **options)

    async def subscriber(self, identity: str = "subscriber", **options) -> Peer:
        return await self.join(self.subscribing, identity, **options)

    async def close(self) -> None:
        for peer in self.peers:
            await peer.close()


@pytest.fixture(scope="session")
def server():
    server = Server.start()
    yield server
    assert server.stop() in (0, None), "the server did not end in order"


if ON_OUR_LIBRARY:
    PAIRS = [("library", "library"), ("library", "wheel"), ("wheel", "library")]
else:
    PAIRS = [("official", "official"), ("official", "tramline"), ("tramline", "official")]


@pytest.fixture(params=PAIRS, ids=lambda pair: "-to-".join(pair))
def room(request, server):
    """A room for each pair of publishing and subscribing client."""
    return Room(server, request.param)
