"""The server under test: our own program, or one that already runs.

`TRAMLINE_BIN` is the path of our `tramline`. With `TRAMLINE_INTEROP_URL` (and `LIVEKIT_API_KEY`,
`LIVEKIT_API_SECRET`) the cases run against any server that speaks the protocol, to tell whether a case or the
server is wrong.
"""

import json
import os
import select
import subprocess
from dataclasses import dataclass
from datetime import timedelta

from livekit import api

START_LIMIT = 20
STOP_LIMIT = 10


@dataclass
class Server:
    url: str
    api_key: str
    api_secret: str
    process: subprocess.Popen | None = None

    @classmethod
    def start(cls) -> "Server":
        if url := os.environ.get("TRAMLINE_INTEROP_URL"):
            return cls(url, os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"])
        process = subprocess.Popen(
            [os.environ["TRAMLINE_BIN"], "serve", "--dev", "--port", "0", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready, _, _ = select.select([process.stdout], [], [], START_LIMIT)
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            raise RuntimeError(f"the server said nothing within {START_LIMIT} s (exit {process.wait()})")
        said = json.loads(line)
        return cls(said["url"], said["api_key"], said["api_secret"], process)

    def stop(self) -> int | None:
        """Asks our server to end and returns its exit status; a server that was running already is left alone."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(STOP_LIMIT)
        finally:
            self.process.kill()

    def token(
        self,
        room: str,
        identity: str,
        *,
        secret: str | None = None,
        valid_for: timedelta = timedelta(hours=1),
        name: str = "",
        metadata: str = "",
        attributes: dict[str, str] | None = None,
        **grants,
    ) -> str:
        """A token made by the official token builder."""
        grants = {"room_join": True, "room": room, **grants}
        token = (
            api.AccessToken(self.api_key, secret or self.api_secret)
            .with_identity(identity)
            .with_ttl(valid_for)
            .with_grants(api.VideoGrants(**grants))
        )
        if name:
            token = token.with_name(name)
        if metadata:
            token = token.with_metadata(metadata)
        if attributes:
            token = token.with_attributes(attributes)
        return token.to_jwt()
