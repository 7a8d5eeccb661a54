"""
A real job: compress a file in a child process, report on it, and follow it.

    python examples/compress_file.py FILE [http://localhost:8080]

Try what can go wrong with a large file. Kill the child process, and the job ends as
C{error}. Cancel the job (C{curl -X DELETE} with the URL that is printed), and the child
is stopped. Kill this program, and the server ends the job when no heartbeat has come for
15 seconds.
"""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import react
from twisted.python.failure import Failure

from statusjob import (
    JobCancelled,
    JobFailed,
    JobFinished,
    JobHandle,
    Status,
    StatusjobError,
    WorkerClient,
    wait_for,
)

CHUNK = 1024 * 1024
#: Seconds without a report after which the server ends the job as C{error}.
HEARTBEAT_SECONDS = 15.0


def compress(source: str, target: str) -> None:
    """Compress a file, in the child process, and print how many bytes are done."""
    done = 0
    with open(source, "rb") as original, gzip.open(target, "wb") as compressed:
        while chunk := original.read(CHUNK):
            compressed.write(chunk)
            done += len(chunk)
            print(done, flush=True)


class Child(ProcessProtocol):
    """
    The child process.

    @ivar ended: fires when the child has ended, and fails if its exit code was not 0. Cancelling
        it kills the child.
    """

    def __init__(self, on_progress: Callable[[int], object]) -> None:
        """
        @param on_progress: is called with the number of bytes that are done.
        """
        self.ended: Deferred[None] = Deferred(lambda _: self._kill())
        self._on_progress = on_progress
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        """Read the output of the child, of which only the newest line counts."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self._on_progress(int(lines[-1]))

    def processEnded(self, reason: Failure) -> None:
        """Fire C{ended}."""
        if self.ended.called:
            return
        if reason.check(ProcessDone):
            self.ended.callback(None)
        else:
            self.ended.errback(reason)

    def _kill(self) -> None:
        if self.transport is not None:
            self.transport.signalProcess("KILL")


class Compression:
    """The compression of one file."""

    def __init__(self, reactor: Any, source: Path) -> None:
        self._reactor = reactor
        self._source = source
        self._size = source.stat().st_size
        self._target = source.with_name(source.name + ".gz")
        self._part = source.with_name(source.name + ".gz.part")

    async def work(self, job: JobHandle) -> dict[str, Any]:
        """
        Compress the file, and report the progress.

        @return: the output of the job.
        """

        def on_progress(done: int) -> None:
            job.progress(done / self._size, message=f"{done >> 20} of {self._size >> 20} MiB")

        child = Child(on_progress)
        command = [sys.executable, os.path.abspath(__file__), "--child", self._source, self._part]
        process = self._reactor.spawnProcess(child, command[0], command, env=None)
        print(f"process {process.pid} compresses {self._source}", flush=True)
        try:
            await child.ended
            self._part.replace(self._target)
        except ProcessTerminated as error:
            raise JobFailed("compressor-failed", f"the compressing process: {error}") from error
        finally:
            self._part.unlink(missing_ok=True)
        compressed = self._target.stat().st_size
        return {"file": self._target.name, "bytes": self._size, "compressed": compressed}


async def main(reactor: Any, file: str, base_url: str = "http://localhost:8080") -> None:
    """Create the job, do it, and follow it as anybody else could do."""
    source = Path(file)
    worker = WorkerClient(base_url, reactor=reactor)
    try:
        job = await worker.create(
            kind="compression", metadata={"file": source.name}, heartbeat=HEARTBEAT_SECONDS
        )
        print(f"follow or cancel it at {job.url}", flush=True)
        watching = wait_for(job, on_update=print, reactor=reactor)
        try:
            await worker.run(job, Compression(reactor, source).work)
        except JobCancelled:
            print("the job was cancelled, and the compression is stopped", flush=True)
        except JobFinished as error:
            print(f"the server has ended the job: {error.job.error}", flush=True)
        except JobFailed as error:
            print(f"the job failed: {error}", flush=True)
        end = await watching
    except StatusjobError as error:
        sys.exit(f"gave up: {error}")
    if end.result is not Status.COMPLETED:
        sys.exit(1)
    print(f"it ended with {end.output}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        compress(*sys.argv[2:])
    elif not sys.argv[1:] or not Path(sys.argv[1]).is_file():
        sys.exit("usage: compress_file.py FILE [URL of the server]")
    else:
        react(main, sys.argv[1:])
