"""Measures how a server treats a healthy origin, and what resources it uses meanwhile."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from tests.helpers.inbox import Inbox
from tests.helpers.processes import Client, ServerProcess, reactor
from tests.helpers.sockets import open_sockets
from tests.soak.metered import worst

#: Seconds between two updates for the healthy origin, and between two measurements of the server.
EVERY = 0.05
LOOK = 0.1


@dataclass(frozen=True)
class Seen:
    """
    What was measured for a while.

    @ivar latencies: the seconds from the answer to a worker until the healthy origin received the
        update.
    @ivar sockets: the greatest number of connections to the other origins.
    @ivar resident: the memory of the server in MiB: first, greatest and last.
    @ivar lag: how late the reactor was in the worst second.
    """

    latencies: list[float]
    sockets: int
    resident: tuple[float, float, float]
    lag: str

    @property
    def p99(self) -> float:
        """The 99th percentile of the latencies, in seconds."""
        return statistics.quantiles(self.latencies, n=100)[98]

    def __str__(self) -> str:
        first, most, last = self.resident
        return (
            f"healthy n {len(self.latencies)},"
            f" p50 {statistics.median(self.latencies) * 1000:.0f}, p99 {self.p99 * 1000:.0f},"
            f" max {max(self.latencies) * 1000:.0f} ms; sockets to others at most"
            f" {self.sockets}; memory {first:.0f}, at most {most:.0f}, last {last:.0f} MiB;"
            f" lag in the worst second {self.lag}"
        )


class Watch:
    """Ends jobs for a healthy origin, and measures the server."""

    def __init__(self, server: ServerProcess, client: Client, inbox: Inbox, port: int) -> None:
        """
        @param inbox: the healthy origin, which is registered for jobs of the kind C{healthy}.
        @param port: the port of the other origins.
        """
        self._server = server
        transport: Any = server.transport
        self._pid: int = transport.pid
        self._client = client
        self._inbox = inbox
        self._port = port
        self._answered: dict[str, float] = {}
        self._looks: list[tuple[int, float]] = []
        self._said = 0
        self._looking = LoopingCall(self._look)
        self._looking.start(LOOK)
        self._running = True
        self._work = Deferred.fromCoroutine(self._working())

    async def stop(self) -> None:
        """Stop."""
        self._running = False
        await self._work
        self._looking.stop()

    async def seen(self) -> Seen:
        """Return what was measured since the last call."""
        answered, self._answered = self._answered, {}
        looks, self._looks = self._looks, []
        while len(self._server.errors) == self._said:
            await deferLater(reactor, LOOK)
        said, self._said = self._server.errors[self._said :], len(self._server.errors)
        await self._inbox.received(set(answered)).addTimeout(30, reactor)
        resident = [mib for _, mib in looks]
        return Seen(
            [
                # The origin may receive the update before the worker receives its answer.
                max(0.0, arrival.at - answered[arrival.job])
                for arrival in self._inbox.arrivals
                if arrival.job in answered
            ],
            max(sockets for sockets, _ in looks),
            (resident[0], max(resident), resident[-1]),
            str(worst(said)),
        )

    async def _working(self) -> None:
        url = f"{self._server.url}/jobs"
        while self._running:
            _, job = await self._client.ask("POST", url, {"kind": "healthy"})
            await self._client.ask("PATCH", f"{url}/{job['id']}", {"result": "completed"})
            self._answered[job["id"]] = time.monotonic()
            await deferLater(reactor, EVERY)

    def _look(self) -> None:
        self._looks.append((open_sockets(self._port), resident(self._pid)))


def resident(pid: int) -> float:
    """Return the memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages / 256
