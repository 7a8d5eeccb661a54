"""
Check that the npm package C{eventsource} follows a job through a restart of the server, and stops.

    python -m tests.end_to_end.eventsource.run

This needs C{node}, C{npm} and a package index. It installs into a temporary directory.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.helpers.processes import Client, reactor, start

HERE = Path(__file__).parent
#: The seconds that everything but the installation may take.
TIMEOUT = 60


class Follower(ProcessProtocol):
    """
    The program that follows the job.

    @ivar lines: the lines that it has printed.
    @ivar ended: fires with its exit code.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ended: Deferred[int] = Deferred()
        self._rest = ""
        self._awaited: tuple[str, Deferred[None]] | None = None

    def until(self, line: str) -> Deferred[None]:
        """A Deferred that fires when a line is printed, and fails if the program ends before."""
        printed: Deferred[None] = Deferred()
        self._awaited = (line, printed)
        self._check()
        return printed

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data.decode()).split("\n")
        self.lines += [line.strip() for line in lines]
        self._check()

    def errReceived(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    def processEnded(self, reason: Failure) -> None:
        if self._awaited is not None:
            self._awaited[1].errback(reason)
        ended: Any = reason.value
        self.ended.callback(ended.exitCode)

    def _check(self) -> None:
        if self._awaited is not None and self._awaited[0] in self.lines:
            (_, printed), self._awaited = self._awaited, None
            printed.callback(None)


def install(directory: Path) -> Path:
    """Install the program, and return its path."""
    for name in ("package.json", "follow.js"):
        shutil.copy(HERE / name, directory)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    subprocess.run(command, cwd=directory, check=True)
    return directory / "follow.js"


async def follow(program: Path, directory: Path) -> None:
    """
    Follow a job.

    @raise AssertionError: if the program prints other events than were reported.
    """
    client = Client()
    server = await start(directory, {})
    port = server.url.rsplit(":", 1)[1]
    _, job = await client.ask("POST", f"{server.url}/jobs", {})
    url = f"{server.url}/jobs/{job['id']}"
    follower = Follower()
    reactor.spawnProcess(follower, "node", ["node", str(program), f"{url}/events"], env=None)
    try:
        await follower.until("job.progress 1")
        await client.ask("PATCH", url, {"progress": 0.1})
        await follower.until("job.progress 2")
        await client.close()
        server.kill(signal.SIGTERM)
        await server.ended
        await follower.until("reconnecting")
        server = await start(directory, {"PORT": port})
        await client.ask("PATCH", url, {"progress": 0.2})
        await follower.until("job.progress 3")
        await client.ask("PATCH", url, {"result": "completed"})
        await follower.until("job.completed 4")
        code = await follower.ended
    finally:
        await client.close()
        server.kill()
        await server.ended
    print("\n".join(follower.lines))
    heard = [line for line in follower.lines if line != "reconnecting"]
    versions = ["job.progress 1", "job.progress 2", "job.progress 3", "job.completed 4"]
    assert (code, heard) == (0, [*versions, "closed 204"]), (code, heard)


def main() -> None:
    """Install the program, and follow a job with it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        program = install(directory)

        def following(_: object) -> Deferred[None]:
            return Deferred.fromCoroutine(follow(program, directory)).addTimeout(TIMEOUT, reactor)

        task.react(following)


if __name__ == "__main__":
    main()
