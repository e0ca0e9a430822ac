"""Runs async cases with a limit, and gives each its own room."""

import asyncio
import faulthandler
import itertools
import logging
import os
import sys

import pytest

from harness.conversation import Talker, WheelTalker
from harness.official import ON_OUR_LIBRARY, OfficialPeer, OfficialPeerOfTwo
from harness.peer import Encryption, Peer
from harness.programs import TramlinePeer, TramlinePeerOfTwo, WheelPeer
from harness.server import Server

KINDS = {
    kind.kind: kind for kind in (OfficialPeer, OfficialPeerOfTwo, TramlinePeer, TramlinePeerOfTwo, WheelPeer)
}
ROOMS = itertools.count(1)
EXIT_STATUS = pytest.StashKey[int]()
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
        rooms = (pyfuncitem.funcargs.get(name) for name in ("room", "talk_room", "library_room"))
        room = next(filter(None, rooms), None)
        asyncio.run(within(limit, pyfuncitem.obj(**arguments), room))
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

    def __init__(self, server: Server, kinds: tuple[str, str], classes: dict[str, type[Peer]] = KINDS) -> None:
        self.server = server
        self.classes = classes
        self.name = f"room-{next(ROOMS)}"
        self.publishing, self.subscribing = kinds
        self.peers: list[Peer] = []

    def unconnected(self) -> Peer:
        """A peer of the publishing kind, for `connect`."""
        peer = self.classes[self.publishing]()
        self.peers.append(peer)
        return peer

    async def connect(self, peer: Peer, identity: str, encryption: Encryption | None = None, **options) -> None:
        await peer.connect(self.server.url, self.server.token(self.name, identity, **options), encryption)

    async def join(self, kind: str, identity: str, **options) -> Peer:
        peer = self.classes[kind]()
        self.peers.append(peer)
        await self.connect(peer, identity, **options)
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


TALKERS = {Talker.kind: Talker, WheelTalker.kind: WheelTalker}


@pytest.fixture(params=[pair for pair in PAIRS if set(pair) <= TALKERS.keys()], ids=lambda pair: "-to-".join(pair))
def talk_room(request, server):
    """A room for each pair of clients that talk beside their tracks."""
    return Room(server, request.param, TALKERS)


@pytest.fixture
def library_room(server):
    """A room for peers on our library alone."""
    return Room(server, ("library", "library"), TALKERS)


# What lies below the wrapper is looked at only when that is ours.
collect_ignore = [] if ON_OUR_LIBRARY else ["cases/test_library.py"]


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Ends the process before the interpreter takes itself apart: threads of LiveKit's library that call back then abort it."""
    status = config.stash.get(EXIT_STATUS, None)
    if status is not None and not ON_OUR_LIBRARY:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
