"""Frames: every size, in order, unchanged, with their time stamps."""

import random

import pytest

from harness.peer import ONE_PACKET, Frame, delivered, until_flowing

SIZES = [1, 2, 100, 1_000]
SIZES += [ONE_PACKET - 1, ONE_PACKET, ONE_PACKET + 1, 2 * ONE_PACKET, 2 * ONE_PACKET + 1]
SIZES += [65_536, 250_000, 1_048_576]


def payload_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


async def flowing(room, name: str = "frames"):
    publisher = await room.publisher()
    subscriber = await room.subscriber()
    sid = await publisher.publish(name)
    stream = await subscriber.subscribe(await subscriber.track("publisher", name))
    await until_flowing(publisher, sid, stream)
    return publisher, sid, stream


@pytest.mark.parametrize("size", SIZES)
async def test_a_frame_of_any_size_arrives_whole(room, size):
    publisher, sid, stream = await flowing(room)
    await delivered(publisher, sid, stream, payload_of(size))


async def test_frames_arrive_in_order_and_unchanged(room):
    publisher, sid, stream = await flowing(room)
    for number in range(300):
        await delivered(publisher, sid, stream, payload_of(number % 7 * 5_000 + 1), number)


@pytest.mark.parametrize("timestamp", [0, 1, 1_700_000_000_000, 2**53 + 1, 2**63, 2**64 - 1])
async def test_a_user_timestamp_arrives_as_it_was_sent(room, timestamp):
    publisher, sid, stream = await flowing(room)
    for payload in (b"x", b"y" * 3 * ONE_PACKET):
        await delivered(publisher, sid, stream, payload, timestamp)


async def test_a_frame_without_a_timestamp_has_none(room):
    publisher, sid, stream = await flowing(room)
    await delivered(publisher, sid, stream, b"plain")


async def test_an_empty_frame_is_delivered_by_us_and_never_sent_by_livekit(room):
    publisher, sid, stream = await flowing(room)
    await publisher.push(sid, b"")
    if publisher.sends_empty_frames:
        assert await stream.read() == Frame.of(b"")
    await delivered(publisher, sid, stream, b"after it")
