"""Long polls and streams on real sockets."""

from __future__ import annotations

import gc
import re
import socket
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from statusjob.contract.jobs import Report
from statusjob.jobs import Status
from statusjob.server.waiting.event_stream import EventStream
from statusjob.server.waiting.held_request import LongPoll
from tests.helpers.server_sockets import ServerSocketTestCase
from tests.helpers.sockets import reactor

#: Metadata, which every event repeats, of the largest size that is allowed.
LARGE = {"x": "x" * 16_000}
#: So many reports that the buffers of two sockets cannot take all their events.
REPORTS = 500
#: The number of requests of each kind at the same time, and how often that is repeated.
EACH, TIMES = 50, 5


class NoticeTests(ServerSocketTestCase):
    """How soon watchers learn of an update."""

    async def test_watchers_learn_of_an_update_before_its_worker_can_ask_again(self) -> None:
        job = await self.new_job()
        poll, stream, wide, worker = [await self.connect() for _ in range(4)]
        poll.ask(f"GET /jobs/{job}", "Prefer: wait=45", 'If-None-Match: "1"')
        stream.ask(f"GET /jobs/{job}/events")
        wide.ask("GET /events")
        await gatherResults([each.until(b'"version":1') for each in (stream, wide)])
        worker.ask(f"PATCH /jobs/{job}", body=b'{"result":"completed"}')
        await worker.until(b'"version":2')
        worker.ask("GET /healthz")
        await worker.until(b'{"status":"ok"}')
        # All that was sent before that answer has arrived; it has only to be read.
        await deferLater(reactor, 0)
        for watcher in (poll, stream, wide):
            self.assertIn(b'"version":2', watcher.received)

    async def test_one_long_poll_waits_for_a_whole_job(self) -> None:
        job = await self.new_job(deadline=0.5)
        poll = await self.connect()
        poll.ask(f"GET /jobs/{job}/status", "Prefer: wait=45")
        await poll.until(b'{"result":"error"}')
        self.assertEqual(poll.received.count(b"HTTP/1.1 "), 1)


class SlowTests(ServerSocketTestCase):
    """A client does not read."""

    async def test_a_slow_client_holds_up_nobody_and_learns_of_the_end(self) -> None:
        job = await self.new_job(metadata=LARGE)
        slow, fast = await self.connect(), await self.connect()
        for client in (slow, fast):
            client.ask(f"GET /jobs/{job}/events")
            await client.until(b'"version":1')
        for channel in self.server.site.channels:
            self.buffer(channel.transport, socket.SO_SNDBUF, 32_768)
        self.buffer(slow.transport, socket.SO_RCVBUF, 4096)
        slow.transport.pauseProducing()
        for number in range(REPORTS):
            await self.server.lifecycle.report(job, Report(message=str(number)))
        await fast.until(b'"message":"%d"' % (REPORTS - 1))
        await self.server.lifecycle.report(job, Report(result=Status.COMPLETED))
        await fast.until(b"event: job.completed")
        self.assertEqual(len(self.server.watchers), 1)
        self.buffer(slow.transport, socket.SO_RCVBUF, 1 << 20)
        slow.transport.resumeProducing()
        await slow.until(b"event: job.completed")
        versions = [int(each) for each in re.findall(rb"\nid: (\d+)", slow.received)]
        self.assertEqual((versions[-1], versions), (REPORTS + 2, sorted(set(versions))))
        self.assertLess(len(versions), REPORTS)
        # What it has received had been kept for it: by the system, and by the server.
        self.assertLess(len(slow.received), 250_000)
        await self.gone()

    @staticmethod
    def buffer(transport: Any, which: int, size: int) -> None:
        """Let the system keep at most about so many bytes for a socket."""
        transport.getHandle().setsockopt(socket.SOL_SOCKET, which, size)


class StopTests(ServerSocketTestCase):
    """The server stops while there are watchers."""

    async def test_the_stop_waits_for_no_watcher(self) -> None:
        clients = await self.watch(self.ways(await self.new_job()) * EACH)
        begun = reactor.seconds()
        await self.server.stopService()
        self.assertLess(reactor.seconds() - begun, self.server.settings.drain / 2)
        await gatherResults([client.lost for client in clients])
        for client in clients:
            self.assertTrue(client.received.startswith(b"HTTP/1.1 200 "), client.received)
            proper = b"0\r\n\r\n" if b"event-stream" in client.received else b"}"
            self.assertTrue(client.received.endswith(proper), client.received)


class AbandonedTests(ServerSocketTestCase):
    """Clients hang up."""

    async def test_nothing_is_left_of_abandoned_requests(self) -> None:
        job = await self.new_job()
        asked = self.ways(job)
        await self.abandon(asked)
        gc.collect()
        before = self.alive()
        for _ in range(TIMES):
            await self.abandon(asked * EACH)
        gc.collect()
        self.assertEqual(self.alive(), before)
        # An update does no harm either.
        await self.server.lifecycle.report(job, Report(result=Status.COMPLETED))
        await deferLater(reactor, 0.01)

    async def abandon(self, asked: list[tuple[str, ...]]) -> None:
        """Send all these requests, then hang up."""
        for client in await self.watch(asked):
            client.transport.abortConnection()
        await self.gone()

    def alive(self) -> tuple[int, ...]:
        """Count the objects that watchers need."""
        kinds: tuple[type, ...] = (LongPoll, EventStream, self.server.site.requestFactory)
        objects = gc.get_objects()
        return (
            len(self.server.site.channels),
            len(reactor.getDelayedCalls()),
            *(sum(type(each) is kind for each in objects) for kind in kinds),
        )
