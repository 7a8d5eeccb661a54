"""
A dead origin with a long backlog beside a healthy one.

    python -m tests.soak.dead_origin [count]

This runs twice: first the origin refuses connections, then it accepts them and never answers. Jobs
end until C{count} deliveries (10,000) are pending. Meanwhile, and for a minute after that, a
healthy origin must receive its deliveries within a second, the dead one must not have more
connections than it may, and the memory of the server must not grow. Then the dead origin revives:
one probe must come and, once that is answered, all other deliveries within a minute, in order, and
never more at the same time than is allowed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.web.server import Site

from statusjob.server.store.origins import MAX_SLOTS
from statusjob.testing import HostileReceiver, modes
from tests.helpers.inbox import Inbox, disordered
from tests.helpers.processes import Client, ServerProcess, reactor, start
from tests.helpers.sockets import Refusing
from tests.soak.metered import PROGRAM
from tests.soak.watching import Seen, Watch

COUNT = 10_000
WORKERS = 8
#: Seconds for which the origin stays dead with its backlog.
DEAD_SECONDS = 60.0
#: Seconds after which the probe is answered, and after which every later delivery is.
PROBE_SECONDS = 2.0
ANSWER_SECONDS = 0.01
#: One in so many jobs ends only while the backlog is being delivered.
LATE = 20

EVENTS = ["job.progress", "job.completed", "job.error"]

#: The limits: seconds from an update to its receipt, seconds from the probe to the last delivery,
#: and MiB by which the memory of the server may grow.
LATENCY_LIMIT = 1.0
DRAIN_LIMIT = 60.0
GROWTH_LIMIT = 10.0


class Dead(Protocol):
    """
    An origin that is dead.

    @ivar port: the number of its port.
    """

    port: int

    async def revive(self, site: Site) -> Any:
        """Serve a site from now on, and return the port, which the caller must close."""


class Silent:
    """An origin that accepts connections and never answers."""

    def __init__(self) -> None:
        self._receiver = HostileReceiver(reactor, modes.silent)
        self._port = reactor.listenTCP(0, self._receiver, interface="127.0.0.1")
        self.port: int = self._port.getHost().port

    async def revive(self, site: Site) -> Any:
        """Restart: abort all connections, and serve a site."""
        await self._port.stopListening()
        for connection in tuple(self._receiver.connections):
            connection.transport.abortConnection()
        return reactor.listenTCP(self.port, site, interface="127.0.0.1")


async def register(client: Client, url: str, port: int, kind: str) -> None:
    """Register a webhook for every event of jobs of a kind."""
    webhook = {"url": f"http://127.0.0.1:{port}/{kind}", "kind": kind, "events": EVENTS}
    code, answer = await client.ask("POST", f"{url}/webhooks", webhook)
    assert code == 201, answer


async def work(client: Client, url: str, count: int) -> list[str]:
    """Create so many jobs and end all but one in L{LATE}; return the URLs of those."""
    late = []
    for number in range(count):
        _, job = await client.ask("POST", f"{url}/jobs", {"kind": "dead"})
        path = f"{url}/jobs/{job['id']}"
        if number % LATE:
            code, job = await client.ask("PATCH", path, {"result": "completed"})
        else:
            late.append(path)
            code, job = await client.ask("PATCH", path, {"progress": 0.5})
        assert code == 200, job
    return late


async def fill(client: Client, url: str, count: int) -> list[str]:
    """Make deliveries to the dead origin pile up; return the URLs of jobs that have not ended."""
    working = [Deferred.fromCoroutine(work(client, url, count // WORKERS)) for _ in range(WORKERS)]
    return [path for late in await gatherResults(working) for path in late]


async def drain(client: Client, inbox: Inbox, late: list[str], count: int) -> str:
    """Check how the backlog is delivered to the origin that has revived; return a summary."""
    await inbox.until(lambda: len(inbox.arrivals) > 0).addTimeout(120, reactor)
    probe = inbox.arrivals[0].at
    await deferLater(reactor, PROBE_SECONDS)
    assert len(inbox.arrivals) == 1, inbox.arrivals
    inbox.release(ANSWER_SECONDS)
    for path in late:
        code, job = await client.ask("PATCH", path, {"result": "completed"})
        assert code == 200, job
    left = max(0.0, probe + DRAIN_LIMIT - time.monotonic())
    await inbox.until(lambda: len(inbox.results) >= count).addTimeout(left, reactor)
    took = inbox.arrivals[-1].at - probe
    assert inbox.most <= MAX_SLOTS, inbox.most
    assert not disordered(inbox.arrivals), disordered(inbox.arrivals)
    return (
        f"the probe was alone for {PROBE_SECONDS:g} s; {len(inbox.arrivals)} attempts, at most"
        f" {inbox.most} at a time; the last of {count} came {took:.1f} s after the probe"
    )


def check(seen: Seen) -> None:
    """Check that the healthy origin did not wait, and the dead one had few connections."""
    assert seen.p99 < LATENCY_LIMIT, seen
    assert seen.sockets <= MAX_SLOTS, seen


async def scenario(dead: Dead, count: int, directory: Path) -> None:
    """Run a server beside a dead origin, from its death to the last delivery."""
    healthy, inbox, client = Inbox(), Inbox(None), Client()
    port = reactor.listenTCP(0, Site(healthy), interface="127.0.0.1")
    server = await start(directory, {}, PROGRAM)
    await register(client, server.url, port.getHost().port, "healthy")
    await register(client, server.url, dead.port, "dead")
    watch = Watch(server, client, healthy, dead.port)
    try:
        await trial(dead, count, client, server, inbox, watch)
    finally:
        server.kill()
        await port.stopListening()


async def trial(
    dead: Dead, count: int, client: Client, server: ServerProcess, inbox: Inbox, watch: Watch
) -> None:
    """Fill the outbox, wait, revive the origin, and check the server at each step."""
    begun = time.monotonic()
    late = await fill(client, server.url, count)
    seen = await watch.seen()
    print(f"  filled with {count} in {time.monotonic() - begun:.0f} s: {seen}", flush=True)
    check(seen)
    await deferLater(reactor, DEAD_SECONDS)
    seen = await watch.seen()
    print(f"  dead for {DEAD_SECONDS:g} s: {seen}", flush=True)
    check(seen)
    first, most, _ = seen.resident
    assert most - first < GROWTH_LIMIT, seen
    site = Site(inbox)
    revived = await dead.revive(site)
    drained = await drain(client, inbox, late, count)
    seen = await watch.seen()
    print(f"  revived: {drained}\n  meanwhile: {seen}", flush=True)
    check(seen)
    await watch.stop()
    await client.close()
    await revived.stopListening()


async def main(_: object, count: str = str(COUNT)) -> None:
    """Run the scenario for both ways in which an origin can be dead."""
    for dead in (Refusing(), Silent()):
        print(f"{type(dead).__name__.lower()}:", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            await scenario(dead, int(count) // WORKERS * WORKERS, Path(directory))


if __name__ == "__main__":
    react(main, sys.argv[1:])
