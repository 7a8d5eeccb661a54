"""
A real job: compress a file in a child process, report on it, and follow it.

    python examples/compress_file.py FILE [http://localhost:8080]

Kill the child and the job ends as an error; cancel the job (C{curl -X DELETE}
on the URL that is printed) and the child is stopped. Kill this program and the
server finds out: it hears no heartbeat.
"""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall, react
from twisted.python.failure import Failure

from statusjob import JobCancelled, JobFinished, Status, StatusClient, StatusjobError, WorkerClient

CHUNK = 1024 * 1024
#: Seconds between two reports, and the silence after which the server gives the job up.
REPORT_SECONDS = 0.5
HEARTBEAT_SECONDS = 15.0


def compress(source: str, target: str) -> None:
    """What the child does: compress, and print how many bytes are done."""
    done = 0
    with open(source, "rb") as original, gzip.open(target, "wb") as compressed:
        while chunk := original.read(CHUNK):
            compressed.write(chunk)
            done += len(chunk)
            print(done, flush=True)


class Child(ProcessProtocol):
    """
    The child process.

    @ivar done: how many bytes it has compressed.
    @ivar ended: fires when it has ended; fails if that was not in good order.
    """

    def __init__(self) -> None:
        self.done = 0
        self.ended: Deferred[None] = Deferred()
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        """Only the newest line counts."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self.done = int(lines[-1])

    def processEnded(self, reason: Failure) -> None:
        """Tell how it ended."""
        if reason.check(ProcessDone):
            self.ended.callback(None)
        else:
            self.ended.errback(reason)

    def kill(self) -> None:
        """Stop it, if it still runs."""
        if self.transport is not None and not self.ended.called:
            self.transport.signalProcess("KILL")


class Worker:
    """Does one job and reports on it."""

    def __init__(self, reactor: Any, client: WorkerClient, source: Path) -> None:
        self._reactor = reactor
        self._client = client
        self._source = source
        self._target = source.with_name(source.name + ".gz")
        self._child = Child()
        self._finished: JobFinished | None = None

    async def run(self, job_id: str) -> None:
        """Compress; however that ends, the job ends with it."""
        part = self._target.with_name(self._target.name + ".part")
        command = [sys.executable, os.path.abspath(__file__), "--child", str(self._source), part]
        process = self._reactor.spawnProcess(self._child, command[0], command, env=None)
        print(f"process {process.pid} compresses {self._source}", flush=True)
        size = self._source.stat().st_size
        reports = LoopingCall(lambda: self._report(job_id, size))
        reports.clock = self._reactor
        reporting = reports.start(REPORT_SECONDS, now=False)
        try:
            await self._child.ended
        except Exception as error:
            problem: str | None = f"the compressing process failed: {error}"
        else:
            problem = None
        if reports.running:
            reports.stop()
        await reporting
        if self._finished is not None:
            part.unlink(missing_ok=True)
            raise self._finished
        if problem is not None:
            part.unlink(missing_ok=True)
            await self._client.fail(job_id, code="compressor-failed", message=problem)
            return
        part.replace(self._target)
        await self._client.progress(job_id, 1.0)
        await self._client.complete(
            job_id,
            output={
                "file": self._target.name,
                "bytes": size,
                "compressed": self._target.stat().st_size,
            },
        )

    async def _report(self, job_id: str, size: int) -> None:
        """Report progress; if the job has ended meanwhile, stop the child."""
        progress = round(self._child.done / size, 3) if size else 0.0
        try:
            await self._client.progress(
                job_id, progress, message=f"{self._child.done >> 20} of {size >> 20} MiB"
            )
            print(f"{progress:6.1%}", flush=True)
        except JobFinished as error:
            self._finished = error
            self._child.kill()


async def main(reactor: Any, file: str, base_url: str = "http://localhost:8080") -> None:
    """Create the job, do it, and follow it as anybody else could."""
    source = Path(file)
    client = WorkerClient(base_url, reactor=reactor)
    try:
        job = await client.create(
            kind="compression", metadata={"file": source.name}, heartbeat=HEARTBEAT_SECONDS
        )
        url = f"{base_url.rstrip('/')}/jobs/{job.id}"
        print(f"follow or cancel it at {url}", flush=True)
        watcher = StatusClient(url, on_update=print, reactor=reactor)
        watching = watcher.start_monitoring()
        try:
            await Worker(reactor, client, source).run(job.id)
        except JobCancelled:
            print("it was cancelled: the compression is stopped", flush=True)
        except JobFinished as error:
            print(f"it has ended without us: {error.job.error}", flush=True)
        status = await watching
    except StatusjobError as error:
        sys.exit(f"gave up: {error}")
    if status is not Status.COMPLETED:
        sys.exit(1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        compress(*sys.argv[2:])
    elif not sys.argv[1:] or not Path(sys.argv[1]).is_file():
        sys.exit("usage: compress_file.py FILE [URL of the server]")
    else:
        react(main, sys.argv[1:])
