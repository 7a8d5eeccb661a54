"""
Loads that are meant to do harm, beside clients that behave.

    python -m tests.soak.hostile_loads [seconds] [load ...]

A healthy worker (heartbeat 10 s) reports every second; a long poll, a stream and a webhook follow
its job; a bystander asks for it five times a second, each time on a new connection. Beside them
each of L{tests.soak.loads} runs in a process of its own, and at last 100,000 jobs are past their
retention at once. Printed is, for each load and each kind of client, how late it was: from the
moment a report was sent until it was acknowledged or known. The worker's job must never be lost.
"""

from __future__ import annotations

import os
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from statusjob.failures import ExchangeFailed
from tests.helpers.inbox import Inbox
from tests.helpers.processes import Client, ServerProcess, reactor, start
from tests.soak.loads import LOADS

SECONDS = 20.0
#: Seconds between two reports, and between two questions of the bystander.
REPORT_EVERY, ASK_EVERY = 1.0, 0.2
#: Jobs that are past their retention at once.
OLD_JOBS = 100_000
SETTINGS = {"STATUSJOB_MAX_WEBHOOKS": "1000"}


class Clients:
    """
    Clients that behave, and how late each was.

    @ivar late: seconds, by kind of client.
    @ivar lost: the error that the job was ended with although its worker reported, or C{None}.
    """

    def __init__(self, url: str, receiver_port: int, inbox: Inbox) -> None:
        self.url = url
        self._inbox = inbox
        self._hook = f"http://127.0.0.1:{receiver_port}/"
        self._client, self._polling = Client(), Client()
        self._agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        self._sent: dict[int, float] = {}
        self.lost: dict[str, str] | None = None
        self.late: dict[str, list[float]] = defaultdict(list)

    async def start(self) -> None:
        """Create the job and begin to follow it."""
        hook = {"url": self._hook, "events": ["job.progress", "job.completed", "job.error"]}
        body = {"heartbeat": 10, "webhook": hook, "kind": "watched"}
        code, self.job = await self._client.ask("POST", f"{self.url}/jobs", body)
        assert code == 201, self.job
        self.path = f"{self.url}/jobs/{self.job['id']}"
        self._version = 1
        self._loops = [LoopingCall(self._report), LoopingCall(self._bystand)]
        self._running: list[Deferred[Any]] = [
            self._loops[0].start(REPORT_EVERY),
            self._loops[1].start(ASK_EVERY),
            Deferred.fromCoroutine(self._poll()),
        ]
        await self._stream()

    async def stop(self) -> dict[str, list[float]]:
        """End the job; how late each kind of client was."""
        for loop in self._loops:
            if loop.running:
                loop.stop()
        code, job = await self._finish()
        self.lost = None if code == 200 else job["job"]["error"]
        job = job if code == 200 else job["job"]
        await gatherResults(self._running)
        await self._inbox.received({job["id"]}).addTimeout(30, reactor)
        for arrival in self._inbox.arrivals:
            # The second report comes too soon after the first: progress waits half a second.
            if arrival.job == job["id"] and arrival.version in self._sent and arrival.version > 3:
                self.late["webhook"].append(arrival.at - self._sent[arrival.version])
        await gatherResults([self._client.close(), self._polling.close()])
        return self.late

    async def _finish(self) -> tuple[int, Any]:
        """Report the end until there is an answer."""
        while True:
            with suppress(ExchangeFailed):
                return await self._client.ask("PATCH", self.path, {"result": "completed"})

    async def _report(self) -> None:
        self._version += 1
        sent = self._sent[self._version] = time.monotonic()
        report = {"message": f"report {self._version}"}
        try:
            code, job = await self._client.ask("PATCH", self.path, report)
        except ExchangeFailed:
            # It counts as late as it was given up.
            self._version -= 1
        else:
            if code == 409:
                # The job is lost, which is found again in the end.
                self._loops[0].stop()
                return
            assert code == 200 and job["version"] == self._version, (code, job)
        self.late["report"].append(time.monotonic() - sent)

    async def _bystand(self) -> None:
        asked = time.monotonic()
        response = await self._agent.request(b"GET", f"{self.path}/status".encode())
        done: Deferred[None] = Deferred()
        response.deliverBody(_Whole(done))
        await done
        self.late["bystander"].append(time.monotonic() - asked)

    async def _poll(self) -> None:
        version = 1
        while True:
            headers = {"Prefer": "wait=30", "If-None-Match": f'"{version}"'}
            try:
                code, job = await self._polling.ask("GET", self.path, headers=headers)
            except ExchangeFailed:
                # No answer within 20 s: there was no news, or it is late and comes with the next.
                continue
            assert code == 200, (code, job)
            if job["result"] != "pending":
                return
            version = job["version"]
            self.late["long poll"].append(time.monotonic() - self._sent[version])

    async def _stream(self) -> None:
        response = await self._agent.request(b"GET", f"{self.path}/events".encode(), Headers())
        ended: Deferred[None] = Deferred()
        response.deliverBody(_Events(self._event, ended))
        self._running.append(ended)

    def _event(self, version: int) -> None:
        if version in self._sent:
            self.late["stream"].append(time.monotonic() - self._sent[version])


class _Whole(Protocol):
    def __init__(self, done: Deferred[None]) -> None:
        self._done = done

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._done.callback(None)


class _Events(Protocol):
    """Reads which version each event of a stream brings."""

    def __init__(self, told: Any, ended: Deferred[None]) -> None:
        self._told, self._ended, self._rest = told, ended, b""

    def dataReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if match := re.fullmatch(rb"id: ?(\d+)", line):
                self._told(int(match[1]))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended.callback(None)


class _Load(ProcessProtocol):
    """
    A load in a process of its own.

    @ivar ended: fires when it has ended.
    """

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.output = b""

    def outReceived(self, data: bytes) -> None:
        self.output += data

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


async def run_load(name: str, url: str, seconds: float, argument: str) -> str:
    """Run one of L{LOADS} to its end; what it printed."""
    port = url.rpartition(":")[2]
    load = _Load()
    arguments = [sys.executable, "-m", "tests.soak.loads", name, port, str(seconds), argument]
    reactor.spawnProcess(load, sys.executable, arguments, os.environ)
    await load.ended
    return load.output.decode(errors="replace").strip()


async def scenario(name: str, seconds: float) -> None:
    """One load beside the clients, on a server of its own."""
    inbox = Inbox()
    port = reactor.listenTCP(0, Site(inbox), interface="127.0.0.1")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        settings = dict(SETTINGS)
        if name == "retention":
            await _prepare_old_jobs(path)
            settings["STATUSJOB_RETENTION"] = "60"
        server = await start(path, settings)
        try:
            clients = Clients(server.url, port.getHost().port, inbox)
            await clients.start()
            large = await _large_job(server)
            said = ""
            if name in LOADS:
                said = await run_load(name, server.url, seconds, large)
            else:
                await deferLater(reactor, seconds)
            late = await clients.stop()
        finally:
            server.kill()
        _print(name, late, said)
        if clients.lost is not None:
            print(f"  THE JOB WAS LOST: {clients.lost}")
        if name == "retention":
            database = sqlite3.connect(path / "statusjob.sqlite")
            print(f"  old jobs left: {database.execute(_COUNT_OLD).fetchone()[0]}")
    await port.stopListening()


async def _large_job(server: ServerProcess) -> str:
    client = Client()
    _, job = await client.ask("POST", f"{server.url}/jobs", {"kind": "large"})
    end = {"result": "completed", "output": "x" * 250_000}
    code, _ = await client.ask("PATCH", f"{server.url}/jobs/{job['id']}", end)
    assert code == 200
    await client.close()
    return str(job["id"])


_COUNT_OLD = "SELECT COUNT(*) FROM jobs WHERE kind = 'old'"


async def _prepare_old_jobs(directory: Path) -> None:
    """Write jobs that ended long ago, on a database that a server has made."""
    server = await start(directory, SETTINGS)
    server.kill()
    await server.ended
    database = sqlite3.connect(directory / "statusjob.sqlite")
    ended = time.time() - 3600
    with database:
        database.executemany(
            "INSERT INTO jobs (id, kind, result, version, created_at, updated_at, finished_at)"
            " VALUES (?, 'old', 'completed', 2, ?, ?, ?)",
            (
                (f"01900000-0000-7000-8000-{number:012x}", ended - 9, ended, ended)
                for number in range(OLD_JOBS)
            ),
        )
    database.close()


def _print(name: str, late: dict[str, list[float]], said: str) -> None:
    parts = []
    for client in ("report", "bystander", "long poll", "stream", "webhook"):
        times = sorted(late[client]) or [float("nan")]
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        parts.append(
            f"{client} n {len(times)} p50 {statistics.median(times) * 1000:.0f}"
            f" p99 {p99 * 1000:.0f} max {times[-1] * 1000:.0f}"
        )
    print(f"{name} (ms): " + "; ".join(parts), flush=True)
    if said:
        print("  " + said[:500].replace("\n", "\n  "), flush=True)


async def main(_: object, seconds: str = str(SECONDS), *names: str) -> None:
    """Every load, or those named."""
    for name in names or ("nothing", *LOADS, "retention"):
        await scenario(name, float(seconds))


if __name__ == "__main__":
    react(main, sys.argv[1:])
