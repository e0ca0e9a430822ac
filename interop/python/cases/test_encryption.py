"""End-to-end encryption: the same key opens what another client has sealed, and no other key does."""

import contextlib

import pytest

from harness.peer import ONE_PACKET, Encryption, Frame, Refused, delivered, until_flowing

DERIVATIONS = ["pbkdf2", "hkdf"]


@pytest.mark.parametrize("derivation", DERIVATIONS)
async def test_frames_arrive_when_both_have_the_key(room, derivation):
    encryption = Encryption("a secret of many", derivation)
    publisher = await room.publisher(encryption=encryption)
    subscriber = await room.subscriber(encryption=encryption)
    sid = await publisher.publish("sealed")
    stream = await subscriber.subscribe(await subscriber.track("publisher", "sealed"))
    await until_flowing(publisher, sid, stream)
    for size in (1, 1_000, ONE_PACKET - 32, ONE_PACKET, 65_536, 250_000):
        await delivered(publisher, sid, stream, bytes(size), size)


@pytest.mark.parametrize("derivation", DERIVATIONS)
async def test_a_wrong_key_gives_no_frame_until_it_is_replaced(room, derivation):
    right, wrong = Encryption("right", derivation), Encryption("wrong", derivation)
    publisher = await room.publisher(encryption=right)
    reader = await room.publisher("reader", encryption=right)
    mistaken = await room.subscriber("mistaken", encryption=wrong)
    sid = await publisher.publish("sealed")
    readable = await reader.subscribe(await reader.track("publisher", "sealed"))
    sealed = await mistaken.subscribe(await mistaken.track("publisher", "sealed"))
    await until_flowing(publisher, sid, readable)
    early = [f"only for the reader {number}".encode() for number in range(3)]
    for payload in early:
        await delivered(publisher, sid, readable, payload)
    await mistaken.set_key("right")
    await until_flowing(publisher, sid, sealed)
    await publisher.push(sid, b"for both")
    # A slow client may open what came before with the key that it has by now; it never sees ciphertext.
    while (frame := await sealed.read()) != Frame.of(b"for both"):
        assert frame in [Frame.of(payload) for payload in early]


async def test_another_derivation_of_the_same_key_is_another_key(room):
    publisher = await room.publisher(encryption=Encryption("same", "pbkdf2"))
    reader = await room.publisher("reader", encryption=Encryption("same", "pbkdf2"))
    mistaken = await room.subscriber("mistaken", encryption=Encryption("same", "hkdf"))
    sid = await publisher.publish("sealed")
    readable = await reader.subscribe(await reader.track("publisher", "sealed"))
    sealed = await mistaken.subscribe(await mistaken.track("publisher", "sealed"))
    await until_flowing(publisher, sid, readable)
    for number in range(20):
        await delivered(publisher, sid, readable, f"only for the reader {number}".encode())
    await publisher.unpublish(sid)
    # What it could not open it never saw: its stream ends without a frame, in whatever way. LiveKit's client takes it for an error when its
    # subscription has not come about yet, which nothing tells.
    with contextlib.suppress(Refused):
        assert await sealed.next() is None
