"""What peers say beside their tracks: packets, calls, text and byte streams."""

import asyncio

import pytest

from harness.conversation import digest, filler, until_heard
from harness.peer import Encryption

pytestmark = pytest.mark.limit(60)


async def talking(room, **options):
    speaker = await room.publisher("speaker", **options)
    listener = await room.subscriber("listener", **options)
    await listener.participant("speaker")
    await speaker.participant("listener")
    await until_heard(speaker, listener)
    await until_heard(listener, speaker)
    return speaker, listener


def packet(size: int, reliable: bool, topic: str) -> dict:
    return {"size": size, "sha256": digest(filler(size)), "topic": topic, "reliable": reliable, "sender": "speaker"}


async def test_packets_arrive_with_their_topic_and_kind(talk_room):
    speaker, listener = await talking(talk_room)
    for size, reliable in [(0, True), (1, True), (1_000, False), (1_000, True), (15_000, True), (60_000, True)]:
        await speaker.publish_data(size=size, reliable=reliable, topic=f"of {size}", to=[])
        assert await listener.next_packet() == packet(size, reliable, f"of {size}")


async def test_reliable_packets_arrive_in_order(talk_room):
    speaker, listener = await talking(talk_room)
    sizes = [number * 37 % 1_500 for number in range(200)]
    sending = [speaker.publish_data(size=size, reliable=True, topic="row", to=[]) for size in sizes]
    await asyncio.gather(*sending)
    assert [(await listener.next_packet())["size"] for _ in sizes] == sizes


async def test_a_packet_goes_to_those_that_it_names(talk_room):
    speaker, listener = await talking(talk_room)
    other = await talk_room.publisher("other")
    await until_heard(speaker, other)
    await speaker.publish_data(size=1, reliable=True, topic="for one", to=["listener"])
    await speaker.publish_data(size=2, reliable=True, topic="for all", to=[])
    assert await listener.next_packet() == packet(1, True, "for one")
    assert await listener.next_packet() == packet(2, True, "for all")
    assert await other.next_packet() == packet(2, True, "for all")


async def test_tones_arrive(talk_room):
    speaker, listener = await talking(talk_room)
    await speaker.publish_dtmf(code=11, digit="#")
    assert await listener.next_packet() == {"code": 11, "digit": "#"}


@pytest.mark.parametrize("size", [1, 1_000, 15_360, 65_536])
async def test_a_call_is_answered(talk_room, size):
    speaker, listener = await talking(talk_room)
    await listener.answer(method="reverse")
    payload = "".join(chr(97 + number % 26) for number in range(size))
    assert await speaker.ask(to="listener", method="reverse", payload=payload) == {"answer": payload[::-1]}
    assert await listener.next_call() == {"caller": "speaker", "payload": size}


async def test_calls_fail_with_the_code_of_what_went_wrong(talk_room):
    speaker, listener = await talking(talk_room)
    for method in ("fail", "crash", "forever"):
        await listener.answer(method=method)
    assert await speaker.ask(to="listener", method="fail", payload="") == {
        "code": 1234,
        "message": "refused",
        "data": "with data",
    }
    assert (await speaker.ask(to="listener", method="crash", payload=""))["code"] == 1500
    assert (await speaker.ask(to="listener", method="nothing", payload=""))["code"] == 1400
    await listener.answer(method="reverse")
    await listener.answer_no_more(method="reverse")
    assert (await speaker.ask(to="listener", method="reverse", payload=""))["code"] == 1400
    late = await speaker.ask(to="listener", method="forever", payload="", timeout=1.0)
    assert late["code"] == 1502
    if speaker.kind == "library":
        # LiveKit's library waits for seven seconds.
        assert (await speaker.ask(to="nobody", method="reverse", payload=""))["code"] == 1401


async def test_a_hundred_calls_at_once_and_calls_within_calls(talk_room):
    speaker, listener = await talking(talk_room)
    await speaker.answer(method="reverse")
    await listener.answer(method="reverse")
    await listener.answer(method="back")
    calls = [speaker.ask(to="listener", method="reverse", payload=f"call {number}") for number in range(100)]
    assert await asyncio.gather(*calls) == [{"answer": f"call {number}"[::-1]} for number in range(100)]
    calls = [speaker.ask(to="listener", method="back", payload=f"call {number}") for number in range(20)]
    assert await asyncio.gather(*calls) == [{"answer": f"call {number}"[::-1]} for number in range(20)]


async def test_a_call_that_waits_holds_up_no_packet_and_no_other_call(talk_room):
    speaker, listener = await talking(talk_room)
    await listener.answer(method="forever")
    await listener.answer(method="reverse")
    waiting = asyncio.ensure_future(speaker.ask(to="listener", method="forever", payload="", timeout=10.0))
    await listener.next_call()
    await speaker.publish_data(size=3, reliable=True, topic="meanwhile", to=[])
    assert await listener.next_packet() == packet(3, True, "meanwhile")
    assert await speaker.ask(to="listener", method="reverse", payload="ab") == {"answer": "ba"}
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize("size", [0, 1, 15_000, 200_000])
async def test_a_text_arrives_whole(talk_room, size):
    speaker, listener = await talking(talk_room)
    await listener.listen(topic="notes")
    text = ("Größe 温度 🤖 " * (size // 5 + 1))[:size]
    await speaker.say(text=text, topic="notes", attributes={"colour": "red"}, to=["listener"])
    seen = await listener.next_stream()
    assert (seen["size"], seen["sha256"]) == (len(text.encode()), digest(text.encode()))
    assert (seen["topic"], seen["attributes"], seen["sender"]) == ("notes", {"colour": "red"}, "speaker")
    assert seen["mime_type"] == "text/plain"


async def test_texts_and_bytes_can_be_written_little_by_little(talk_room):
    speaker, listener = await talking(talk_room)
    await listener.listen(topic="parts")
    parts = ["one ", "zwei ä ", "三" * 6_000, "", "🤖"]
    await speaker.write_text(parts=parts, topic="parts", attributes={"a": "b"})
    assert (await listener.next_stream())["sha256"] == digest("".join(parts).encode())
    await speaker.write_bytes(parts=[1, 70_000, 3], topic="parts", name="scan.bin")
    seen = await listener.next_stream()
    assert seen["sha256"] == digest(filler(1) + filler(70_000) + filler(3))
    assert (seen["name"], seen["mime_type"]) == ("scan.bin", "application/octet-stream")


async def test_a_file_arrives_with_its_name(talk_room, tmp_path):
    speaker, listener = await talking(talk_room)
    await listener.listen(topic="files")
    path = tmp_path / "map.png"
    path.write_bytes(filler(1_048_576))
    await speaker.hand_over(path=str(path), topic="files")
    seen = await listener.next_stream()
    assert (seen["size"], seen["sha256"]) == (1_048_576, digest(filler(1_048_576)))
    assert (seen["name"], seen["mime_type"]) == ("map.png", "image/png")


@pytest.mark.parametrize("derivation", ["pbkdf2", "hkdf"])
async def test_with_keys_packets_calls_and_streams_are_encrypted(talk_room, derivation):
    speaker, listener = await talking(talk_room, encryption=Encryption("a secret of many", derivation))
    await speaker.publish_data(size=1_000, reliable=True, topic="sealed", to=[])
    assert await listener.next_packet() == packet(1_000, True, "sealed")
    await listener.answer(method="reverse")
    assert await speaker.ask(to="listener", method="reverse", payload="abc") == {"answer": "cba"}
    await listener.listen(topic="sealed")
    await speaker.say(text="x" * 50_000, topic="sealed", attributes={}, to=[])
    assert (await listener.next_stream())["sha256"] == digest(b"x" * 50_000)
