"""
Thirty origins whose DNS hangs beside a healthy one that is looked up again and again.

    python -m tests.soak.hanging_names

It needs root on Linux: the server runs with an C{/etc/resolv.conf} of its own, in a mount
namespace. This file names a DNS server of the test. It answers until all webhooks are registered;
after that it does not answer for thirty of their hosts. Meanwhile the healthy origin must receive
its deliveries within a second, and a host that was never looked up before must be found. When the
DNS server answers again, everything must be delivered.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater, react
from twisted.names import dns
from twisted.web.server import Site

from statusjob.server.delivery.resolver import LOOKUPS
from tests.helpers.inbox import Inbox, disordered
from tests.helpers.processes import Client, ServerProcess, reactor, start
from tests.soak.dead_origin import LATENCY_LIMIT
from tests.soak.metered import PROGRAM
from tests.soak.watching import Watch

ORIGINS = 30
JOBS = 20
#: Seconds for which the DNS server does not answer, and after which a lookup gives up.
HANGING_SECONDS = 60.0
PATIENCE = 30
#: The limits: seconds until a host that was never looked up before is found, and seconds until
#: everything is delivered once the DNS server answers again, when a pause may have to end first.
LOOKUP_LIMIT = 2.0
DRAIN_LIMIT = 120.0

NAMESERVER = "127.53.0.1"
#: Runs its other arguments as a command, with the first in the place of C{/etc/resolv.conf}.
APART = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


class Names:
    """
    A DNS server for which every name is this machine.

    @ivar hanging: whether it does not answer for names that begin with C{hangs}.
    @ivar asked: how many queries it did not answer.
    """

    def __init__(self) -> None:
        self.hanging = False
        self.asked = 0

    def messageReceived(self, message: dns.Message, protocol: Any, address: Any) -> None:
        """Answer a query, unless it is to hang."""
        (query,) = message.queries
        if self.hanging and query.name.name.startswith(b"hangs"):
            self.asked += 1
            return
        message.answer = 1
        message.recAv = 1
        if query.type == dns.A:
            here = dns.Record_A("127.0.0.1", ttl=0)
            message.answers = [dns.RRHeader(query.name.name, dns.A, ttl=0, payload=here)]
        protocol.writeMessage(message, address)


def program(directory: Path) -> tuple[str, ...]:
    """Return the arguments of Python that run a server with the DNS server of the test."""
    file = directory / "resolv.conf"
    file.write_text(f"nameserver {NAMESERVER}\noptions timeout:{PATIENCE} attempts:1\n")
    command = ["unshare", "-m", "sh", "-c", APART, str(file), sys.executable, *PROGRAM]
    return "-c", f"import os; os.execvp('unshare', {command!r})"


async def register(client: Client, url: str, host: str, kind: str, port: int) -> None:
    """Register a webhook for the end of jobs of a kind."""
    webhook = {"url": f"http://{host}:{port}/{host}", "kind": kind}
    code, answer = await client.ask("POST", f"{url}/webhooks", webhook)
    assert code == 201, answer


def threads(server: ServerProcess) -> int:
    """Return how many threads the server has."""
    transport: Any = server.transport
    return len(os.listdir(f"/proc/{transport.pid}/task"))


async def trial(
    client: Client, server: ServerProcess, names: Names, healthy: tuple[Inbox, int]
) -> None:
    """Let the lookups hang, then succeed, and check the server in both cases."""
    url = server.url
    inbox = Inbox()
    port = reactor.listenTCP(0, Site(inbox), interface="127.0.0.1")
    number = port.getHost().port
    await register(client, url, "healthy.test", "healthy", healthy[1])
    for origin in range(ORIGINS):
        await register(client, url, f"hangs{origin}.test", "hangs", number)
    names.hanging = True
    watch = Watch(server, client, healthy[0], number)
    for _ in range(JOBS):
        _, job = await client.ask("POST", f"{url}/jobs", {"kind": "hangs"})
        await client.ask("PATCH", f"{url}/jobs/{job['id']}", {"result": "completed"})
    await deferLater(reactor, HANGING_SECONDS / 2)
    begun = time.monotonic()
    await register(client, url, "new.test", "healthy", healthy[1])
    found = time.monotonic() - begun
    await deferLater(reactor, HANGING_SECONDS / 2)
    seen = await watch.seen()
    print(
        f"{ORIGINS} hanging for {HANGING_SECONDS:g} s, asked for {names.asked} times:"
        f" {seen}; {threads(server)} threads; a new name found in {found * 1000:.0f} ms",
        flush=True,
    )
    assert names.asked and not inbox.arrivals
    assert seen.p99 < LATENCY_LIMIT, seen
    assert found < LOOKUP_LIMIT, found
    assert threads(server) < LOOKUPS + 8, threads(server)
    names.hanging = False
    begun = time.monotonic()
    count = ORIGINS * JOBS
    everything = inbox.until(lambda: len({a.id for a in inbox.arrivals}) == count)
    await everything.addTimeout(DRAIN_LIMIT, reactor)
    print(
        f"answering again: all {count} delivered in {time.monotonic() - begun:.1f} s,"
        f" {len(inbox.arrivals)} attempts;"
        f" meanwhile: {await watch.seen()}"
    )
    assert not disordered(inbox.arrivals)
    await watch.stop()
    await port.stopListening()


async def main(_: object) -> None:
    """Start the DNS server, a healthy origin and a server."""
    names = Names()
    datagrams = reactor.listenUDP(53, dns.DNSDatagramProtocol(names), interface=NAMESERVER)
    healthy, client = Inbox(), Client()
    port = reactor.listenTCP(0, Site(healthy), interface="127.0.0.1")
    with tempfile.TemporaryDirectory() as directory:
        server = await start(Path(directory), {}, program(Path(directory)))
        try:
            await trial(client, server, names, (healthy, port.getHost().port))
        finally:
            server.kill()
            await client.close()
    await port.stopListening()
    await datagrams.stopListening()


if __name__ == "__main__":
    react(main, sys.argv[1:])
