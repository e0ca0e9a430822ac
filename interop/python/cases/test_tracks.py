"""Tracks over their life: unpublished, subscribed again, read by several, many at once, found by late joiners."""

import asyncio

import pytest

from harness.peer import Frame, until_flowing


async def test_unpublishing_ends_the_streams_of_the_others(room):
    publisher = await room.publisher()
    subscriber = await room.subscriber()
    sid = await publisher.publish("short")
    stream = await subscriber.subscribe(await subscriber.track("publisher", "short"))
    await until_flowing(publisher, sid, stream)
    await publisher.unpublish(sid)
    await subscriber.unpublished(sid)
    assert await stream.read() is None


async def test_a_publisher_that_leaves_takes_its_tracks_along(room):
    publisher = await room.publisher()
    subscriber = await room.subscriber()
    sid = await publisher.publish("left")
    stream = await subscriber.subscribe(await subscriber.track("publisher", "left"))
    await until_flowing(publisher, sid, stream)
    await publisher.close()
    room.peers.remove(publisher)
    await subscriber.unpublished(sid)
    assert await stream.read() is None


async def test_a_track_can_be_subscribed_again(room):
    publisher = await room.publisher()
    subscriber = await room.subscriber()
    sid = await publisher.publish("again")
    track = await subscriber.track("publisher", "again")
    for round in range(3):
        stream = await subscriber.subscribe(track)
        await until_flowing(publisher, sid, stream)
        payload = f"round {round}".encode()
        await publisher.push(sid, payload)
        assert await stream.read() == Frame.of(payload)
        await stream.close()


async def test_two_streams_of_one_track_get_every_frame(room):
    publisher = await room.publisher()
    subscriber = await room.subscriber()
    sid = await publisher.publish("shared")
    track = await subscriber.track("publisher", "shared")
    streams = [await subscriber.subscribe(track) for _ in range(2)]
    await until_flowing(publisher, sid, *streams)
    for number in range(20):
        payload = f"frame {number}".encode()
        await publisher.push(sid, payload)
        assert await asyncio.gather(*(stream.read() for stream in streams)) == [Frame.of(payload)] * 2
    await streams[0].close()
    await publisher.push(sid, b"for the other")
    assert await streams[1].read() == Frame.of(b"for the other")


async def test_three_subscribers_get_every_frame(room):
    publisher = await room.publisher()
    sid = await publisher.publish("wide")
    streams = []
    for number in range(3):
        subscriber = await room.subscriber(f"subscriber-{number}")
        streams.append(await subscriber.subscribe(await subscriber.track("publisher", "wide")))
    await until_flowing(publisher, sid, *streams)
    for number in range(20):
        payload = f"frame {number} ".encode() * 1000
        await publisher.push(sid, payload)
        assert await asyncio.gather(*(stream.read() for stream in streams)) == [Frame.of(payload)] * 3


async def test_a_late_joiner_finds_the_tracks_and_reads_what_comes_next(room):
    publisher = await room.publisher()
    sids = [await publisher.publish(f"early-{number}") for number in range(3)]
    for sid in sids:
        await publisher.push(sid, b"before anyone listens")
    late = await room.subscriber("late")
    for number, sid in enumerate(sids):
        track = await late.track("publisher", f"early-{number}")
        assert track.sid == sid
        stream = await late.subscribe(track)
        await until_flowing(publisher, sid, stream)
        payload = f"to the late joiner {number}".encode()
        await publisher.push(sid, payload)
        assert await stream.read() == Frame.of(payload)


@pytest.mark.limit(120)
async def test_256_tracks_of_one_publisher_do_not_mix(room):
    publisher = await room.publisher()
    subscriber = await room.subscriber()
    sids = await asyncio.gather(*(publisher.publish(f"track-{number}") for number in range(256)))
    tracks = [await subscriber.track("publisher", f"track-{number}") for number in range(256)]
    assert [track.sid for track in tracks] == sids
    streams = [await subscriber.subscribe(track) for track in tracks]
    for sid, stream in zip(sids, streams):
        await until_flowing(publisher, sid, stream)
    for number, (sid, stream) in enumerate(zip(sids, streams)):
        payload = f"only for {number}".encode()
        await publisher.push(sid, payload)
        assert await stream.read() == Frame.of(payload)
