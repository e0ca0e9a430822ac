"""What the README shows of Python."""

import asyncio
import re
from pathlib import Path

from harness.peer import Frame, until_flowing

README = Path(__file__).parents[3] / "README.md"


async def test_the_example_of_the_readme_sends_frames_back_until_the_track_ends(room):
    (source,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    example = {}
    exec(compile(source, str(README), "exec"), example)
    robot = await room.publisher("robot")
    sid = await robot.publish("ping")
    echo = asyncio.create_task(example["echo"](room.server.url, room.server.token(room.name, "echo")))
    stream = await robot.subscribe(await robot.track("echo", "pong"))
    await until_flowing(robot, sid, stream)
    await robot.push(sid, b"hello")
    assert await stream.read() == Frame.of(b"hello")
    await robot.unpublish(sid)
    await echo
    assert await stream.read() is None
