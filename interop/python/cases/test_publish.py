"""Publishing: which names are taken, and how a refusal reads."""

import pytest

from harness.peer import Refused

NAMES = ["a", "camera/front depth", "Größe 温度 🤖", "x" * 256, " ", "__proto__"]


async def test_any_name_up_to_256_bytes_is_published_and_seen(room):
    publisher = await room.publisher()
    subscriber = await room.subscriber()
    sids = [await publisher.publish(name) for name in NAMES]
    assert len(set(sids)) == len(NAMES)
    for sid, name in zip(sids, NAMES):
        assert sid.startswith("DTR_")
        assert (await subscriber.track("publisher", name)).sid == sid


@pytest.mark.parametrize("name", [pytest.param("", id="empty"), pytest.param("x" * 257, id="257-bytes")])
async def test_a_bad_name_is_refused(room, name):
    publisher = await room.publisher()
    with pytest.raises(Refused, match="(?i)name"):
        await publisher.publish(name)
    # The refusal leaves the session as it was.
    assert await publisher.publish("good")


async def test_a_name_is_taken_until_its_track_is_unpublished(room):
    publisher = await room.publisher()
    first = await publisher.publish("taken")
    with pytest.raises(Refused, match="(?i)same name|duplicate|already"):
        await publisher.publish("taken")
    subscriber = await room.subscriber()
    await subscriber.track("publisher", "taken")
    await publisher.unpublish(first)
    await subscriber.unpublished(first)
    second = await publisher.publish("taken")
    assert second != first
    assert (await subscriber.track("publisher", "taken")).sid == second


async def test_two_publishers_may_use_the_same_name(room):
    one = await room.publisher("one")
    two = await room.subscriber("two")
    sid_one, sid_two = await one.publish("same"), await two.publish("same")
    assert (await two.track("one", "same")).sid == sid_one
    assert (await one.track("two", "same")).sid == sid_two


async def test_publishing_without_the_grant_is_refused(room):
    publisher = await room.publisher(can_publish_data=False)
    with pytest.raises(Refused, match="(?i)unauthorized|permission|not allow"):
        await publisher.publish("forbidden")
