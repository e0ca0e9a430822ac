"""Joining and leaving: who is let in, and what the others see of it."""

from datetime import timedelta

import pytest

from harness.peer import Refused


async def test_peers_see_who_is_there_before_and_after_they_join(room):
    first = await room.publisher("first", name="The First", metadata="m1", attributes={"colour": "red"})
    second = await room.subscriber("second", name="Zweite ä", metadata='{"a":1}', attributes={"b": "2", "c": ""})

    seen_by_second = await second.participant("first")
    assert seen_by_second == {"name": "The First", "metadata": "m1", "attributes": {"colour": "red"}}
    seen_by_first = await first.participant("second")
    assert seen_by_first["name"] == "Zweite ä"
    assert seen_by_first["metadata"] == '{"a":1}'
    assert seen_by_first["attributes"]["b"] == "2"


async def test_a_peer_that_leaves_is_gone_for_the_others(room):
    stays = await room.publisher("stays")
    leaves = await room.subscriber("leaves")
    await stays.participant("leaves")
    await leaves.close()
    room.peers.remove(leaves)
    await stays.departed("leaves")


async def test_a_second_peer_of_the_same_identity_takes_the_place_of_the_first(room):
    first = await room.publisher("twin")
    second = await room.subscriber("twin")
    assert await first.disconnected() == "DUPLICATE_IDENTITY"
    witness = await room.publisher("witness")
    await witness.participant("twin")
    await second.participant("witness")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"secret": "x" * 32}, id="foreign-secret"),
        pytest.param({"valid_for": timedelta(minutes=-5)}, id="expired"),
        pytest.param({"room_join": False}, id="no-join-grant"),
    ],
)
async def test_a_bad_token_is_refused(room, options):
    with pytest.raises(Refused) as refused:
        await room.publisher("stranger", **options)
    room.peers.clear()
    assert "401" in str(refused.value), str(refused.value)


async def test_what_a_peer_changes_of_itself_is_seen_by_the_other(room):
    changing = await room.publisher("changing", name="before", can_update_own_metadata=True)
    watching = await room.subscriber("watching")
    await watching.participant("changing")
    after = {"name": "nachher ä", "metadata": '{"battery": 97}', "attributes": {"colour": "red", "zone": "7"}}
    await changing.update(**after)
    assert await watching.participant("changing", after) == after
