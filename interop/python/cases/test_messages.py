"""Beside the tracks: packets, calls and streams."""

import hashlib
import random

import pytest

from harness.peer import Encryption, Refused


def of(content: bytes) -> dict:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


async def pair(room, **options):
    first, second = await room.publisher("first", **options), await room.subscriber("second", **options)
    await first.participant("second")
    await second.participant("first")
    return first, second


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def text(length: int) -> str:
    """Words that compress a little, with characters of one to four bytes."""
    source = random.Random(length)
    return "".join(source.choice("abc ßé€漢🤖") for _ in range(length))


async def test_packets_arrive_in_order_with_topic_and_sender(room):
    first, second = await pair(room)
    for number in range(50):
        await first.send(str(number).encode(), topic=f"t{number % 3}")
    for number in range(50):
        expected = {**of(str(number).encode()), "topic": f"t{number % 3}", "reliable": True, "sender": "first"}
        assert await second.received() == expected
    await second.send(b"back")
    assert await first.received() == {**of(b"back"), "topic": None, "reliable": True, "sender": "second"}


async def test_a_lossy_packet_arrives_and_says_so(room):
    first, second = await pair(room)
    await first.send(b"quick", topic="q", reliable=False)
    assert await second.received() == {**of(b"quick"), "topic": "q", "reliable": False, "sender": "first"}


@pytest.mark.parametrize("size", [1, 1_300, 15_000, 60_000])
async def test_a_packet_of_any_size_arrives(room, size):
    first, second = await pair(room)
    await first.send(noise(size))
    received = await second.received()
    assert {key: received[key] for key in ("size", "sha256")} == of(noise(size))


async def test_a_packet_reaches_those_whom_it_names_alone(room):
    first, second = await pair(room)
    third = await room.publisher("third")
    await first.participant("third")
    await first.send(b"secret", destinations=("third", "first"))
    await first.send(b"public")
    assert (await third.received())["sha256"] == of(b"secret")["sha256"]
    assert (await third.received())["sha256"] == of(b"public")["sha256"]
    assert (await second.received())["sha256"] == of(b"public")["sha256"]


async def test_a_tone_arrives(room):
    first, second = await pair(room)
    await first.send_dtmf(11, "#")
    assert await second.received() == {"code": 11, "digit": "#", "sender": "first"}


async def test_packets_of_an_encrypted_room_are_read(room):
    encryption = Encryption("open sesame", "pbkdf2")
    first, second = await pair(room, encryption=encryption)
    await first.send(b"hidden", topic="h")
    assert await second.received() == {**of(b"hidden"), "topic": "h", "reliable": True, "sender": "first"}
    await second.register("echo")
    assert await first.call("second", "echo", "hidden") == "hidden"
    await first.send_text("hidden text", "t")
    assert (await second.streamed())["sha256"] == of(b"hidden text")["sha256"]


@pytest.mark.parametrize("size", [0, 1, 64, 15_360, 65_536])
async def test_a_call_of_any_size_is_answered(room, size):
    first, second = await pair(room)
    await second.register("echo")
    assert await first.call("second", "echo", "x" * size) == "x" * size


async def test_calls_run_in_both_directions_and_at_once(room):
    import asyncio

    first, second = await pair(room)
    await first.register("echo")
    await second.register("echo")
    calls = [first.call("second", "echo", f"a{number}") for number in range(40)]
    calls += [second.call("first", "echo", f"b{number}") for number in range(40)]
    answers = await asyncio.gather(*calls)
    assert answers == [f"a{number}" for number in range(40)] + [f"b{number}" for number in range(40)]


async def test_what_a_call_fails_with_has_its_number(room):
    first, second = await pair(room)
    await second.register("fail")
    with pytest.raises(Refused, match="^101 mine"):
        await first.call("second", "fail", "")
    with pytest.raises(Refused, match="^1400 "):
        await first.call("second", "missing", "")


@pytest.mark.parametrize("length, parts", [(0, 1), (5, 1), (20_000, 1), (300_000, 1), (50_000, 7)])
async def test_a_text_of_any_length_arrives(room, length, parts):
    first, second = await pair(room)
    await first.send_text(text(length), "t", {"k": "v", "ä": "ö"}, parts)
    stream = await second.streamed()
    content = of(text(length).encode())
    assert stream == {**content, "topic": "t", "sender": "first", "name": None, "attributes": {"k": "v", "ä": "ö"}}


@pytest.mark.parametrize("size", [0, 100, 20_000, 1_048_576])
async def test_bytes_of_any_number_arrive(room, size):
    first, second = await pair(room)
    await first.send_bytes(noise(size), "t", "noise.bin")
    stream = await second.streamed()
    assert stream == {**of(noise(size)), "topic": "t", "sender": "first", "name": "noise.bin", "attributes": {}}


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_file_arrives_under_its_name(room, tmp_path, size):
    first, second = await pair(room)
    path = tmp_path / "map.pgm"
    path.write_bytes(noise(size) + b"\0" * size)
    await first.send_file(str(path), "t")
    stream = await second.streamed()
    assert (stream["name"], stream["size"], stream["sha256"]) == ("map.pgm", 2 * size, of(path.read_bytes())["sha256"])
