"""Two peer connections, one for each direction (`/rtc`, LiveKit's older signalling), beside peers that have one."""

import pytest

from harness.official import ON_OUR_LIBRARY
from harness.peer import ONE_PACKET, Frame, Refused, delivered, until_flowing

if ON_OUR_LIBRARY:
    PAIRS = [("library-v0", "library-v0"), ("library-v0", "wheel"), ("wheel", "library-v0")]
else:
    PAIRS = [
        ("official-v0", "official-v0"),
        ("official-v0", "official"),
        ("official", "official-v0"),
        ("official-v0", "tramline"),
        ("tramline", "official-v0"),
        ("tramline-v0", "official"),
        ("official", "tramline-v0"),
    ]

pytestmark = pytest.mark.parametrize("room", PAIRS, indirect=True, ids=lambda pair: "-to-".join(pair))


async def test_peers_see_each_other_come_and_go(room):
    first = await room.publisher("first", name="The First", metadata="m1", attributes={"colour": "red"})
    second = await room.subscriber("second", metadata="m2")
    assert (await second.participant("first"))["attributes"] == {"colour": "red"}
    assert (await first.participant("second"))["metadata"] == "m2"
    await second.close()
    room.peers.remove(second)
    await first.departed("second")


async def test_frames_travel_in_both_directions_at_once(room):
    peers = [await room.publisher("a"), await room.subscriber("b")]
    sids = [await peer.publish("out") for peer in peers]
    tracks = [await peers[0].track("b", "out"), await peers[1].track("a", "out")]
    streams = [await peer.subscribe(track) for peer, track in zip(peers, tracks)]
    await until_flowing(peers[0], sids[0], streams[1])
    await until_flowing(peers[1], sids[1], streams[0])
    for size in (1, ONE_PACKET, ONE_PACKET + 1, 65_536, 250_000):
        for peer, sid, stream in zip(peers, sids, reversed(streams)):
            await delivered(peer, sid, stream, bytes([size % 251]) * size, size)


async def test_a_track_is_unpublished_published_again_and_subscribed_again(room):
    publisher = await room.publisher()
    subscriber = await room.subscriber()
    for life in range(3):
        sid = await publisher.publish("again")
        track = await subscriber.track("publisher", "again")
        assert track.sid == sid
        for _ in range(2):
            stream = await subscriber.subscribe(track)
            await until_flowing(publisher, sid, stream)
            await delivered(publisher, sid, stream, f"life {life}".encode())
            await stream.close()
        await publisher.unpublish(sid)
        await subscriber.unpublished(sid)


async def test_who_may_not_subscribe_publishes_all_the_same(room):
    publisher = await room.publisher(can_subscribe=False)
    subscriber = await room.subscriber()
    sid = await publisher.publish("out")
    stream = await subscriber.subscribe(await subscriber.track("publisher", "out"))
    await until_flowing(publisher, sid, stream)
    await publisher.push(sid, b"one way")
    assert await stream.read() == Frame.of(b"one way")


async def test_refusals_come_with_their_reason(room):
    with pytest.raises(Refused) as refused:
        await room.publisher("stranger", secret="x" * 32)
    room.peers.clear()
    assert "401" in str(refused.value), str(refused.value)
    publisher = await room.publisher(can_publish_data=False)
    with pytest.raises(Refused, match="(?i)unauthorized|permission|not allow"):
        await publisher.publish("forbidden")
