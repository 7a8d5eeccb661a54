"""Connections as a real reactor and real clients make and end them."""

from __future__ import annotations

from statusjob.contract.jobs import Report
from statusjob.jobs import Status
from tests.helpers.server_sockets import ServerSocketTestCase


class SocketTests(ServerSocketTestCase):
    """A whole server on a socket."""

    async def test_a_client_that_sends_no_more_is_answered_although_that_takes_time(
        self,
    ) -> None:
        job = await self.new_job()
        client = await self.connect()
        client.ask(f"PATCH /jobs/{job}", "Content-Type: application/json", body=b'{"progress":1}')
        client.ask(f"GET /jobs/{job}")
        client.transport.loseWriteConnection()
        await client.lost
        self.assertEqual(client.received.count(b'"version":2'), 2)

    async def test_a_client_that_sends_no_more_is_told_of_an_end_that_comes_soon(self) -> None:
        job = await self.new_job()
        client = await self.connect()
        client.ask(f"GET /jobs/{job}", "Prefer: wait=45")
        client.transport.loseWriteConnection()
        await self.watched()
        await self.server.lifecycle.report(job, Report(result=Status.COMPLETED))
        await client.lost
        self.assertIn(b'"result":"completed"', client.received)

    async def test_thousands_of_pipelined_requests_are_answered(self) -> None:
        pipelining, other = await self.connect(), await self.connect()
        count = 1_000
        pipelining.transport.write(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * count)
        other.ask("GET /healthz")
        await other.until(b'{"status":"ok"}')
        self.assertLess(pipelining.received.count(b"HTTP/1.1 404"), count // 2)
        pipelining.ask("GET /healthz")
        await pipelining.until(b'{"status":"ok"}')
        self.assertEqual(pipelining.received.count(b"HTTP/1.1 404"), count)
