"""Waiting on real sockets: soon told, never in the way, gone without a trace."""

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
#: More of them than the buffers of two sockets take.
REPORTS = 500
#: Of each kind of request, at the same time; and how often that is done.
EACH, TIMES = 50, 5


class NoticeTests(ServerSocketTestCase):
    """How soon a change is noticed."""

    async def test_within_one_round_trip_of_its_being_acknowledged(self) -> None:
        job = await self.new_job()
        poll, stream, wide, worker = [await self.connect() for _ in range(4)]
        poll.ask(f"GET /jobs/{job}", "Prefer: wait=50", 'If-None-Match: "1"')
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

    async def test_one_request_waits_for_a_whole_job(self) -> None:
        job = await self.new_job(deadline=0.5)
        poll = await self.connect()
        poll.ask(f"GET /jobs/{job}/status", "Prefer: wait=50")
        await poll.until(b'{"result":"error"}')
        self.assertEqual(poll.received.count(b"HTTP/1.1 "), 1)


class SlowTests(ServerSocketTestCase):
    """A client that does not read."""

    async def test_it_holds_up_nobody_and_learns_of_the_end_when_it_reads_again(self) -> None:
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
    """The server stops."""

    async def test_it_waits_for_nobody_who_waits(self) -> None:
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
    """Clients that hang up."""

    async def test_nothing_is_left_of_them(self) -> None:
        job = await self.new_job()
        asked = self.ways(job)
        await self.abandon(asked)
        gc.collect()
        before = self.alive()
        for _ in range(TIMES):
            await self.abandon(asked * EACH)
        gc.collect()
        self.assertEqual(self.alive(), before)
        # Nor does it trip over them.
        await self.server.lifecycle.report(job, Report(result=Status.COMPLETED))
        await deferLater(reactor, 0.01)

    async def abandon(self, asked: list[tuple[str, ...]]) -> None:
        """Ask all that and hang up on it."""
        for client in await self.watch(asked):
            client.transport.abortConnection()
        await self.gone()

    def alive(self) -> tuple[int, ...]:
        """How much there is of what watchers need."""
        kinds: tuple[type, ...] = (LongPoll, EventStream, self.server.site.requestFactory)
        objects = gc.get_objects()
        return (
            len(self.server.site.channels),
            len(reactor.getDelayedCalls()),
            *(sum(type(each) is kind for each in objects) for kind in kinds),
        )
