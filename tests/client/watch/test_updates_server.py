"""Following a job over sockets. Trial fails a test that leaves a socket or a timer."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from statusjob import Job, Status, StatusClient, Unreachable, WorkerClient
from statusjob.client.http import connections, session
from statusjob.contract.jobs import Report
from statusjob.server.service import Server
from statusjob.server.settings import resolve
from statusjob.testing import Mode, modes
from tests.helpers.server_sockets import ServerSocketTestCase
from tests.helpers.servers import directory
from tests.helpers.sockets import SocketTestCase, reactor, until


async def taken(updates: Any) -> list[Job]:
    """Return all states."""
    return [job async for job in updates]


class ServerTests(ServerSocketTestCase):
    """A real server."""

    def client(self, job: str, **options: Any) -> StatusClient:
        address: Any = self.server.ports[0].getHost()
        base = f"http://127.0.0.1:{address.port}/jobs/{job}"
        return StatusClient(base, polling_interval=0.1, reactor=reactor, **options)

    async def test_a_simulated_job_is_followed_to_its_end(self) -> None:
        address: Any = self.server.ports[0].getHost()
        worker = WorkerClient(f"http://127.0.0.1:{address.port}", reactor=reactor)
        created = await worker.create(simulate={"delay": 1.1, "error_rate": 0})
        jobs = await taken(StatusClient(created, reactor=reactor).updates())
        versions = [each.version for each in jobs]
        self.assertEqual(versions, sorted(set(versions)))
        self.assertEqual([each.progress for each in jobs], [None, 0.5, 1])
        self.assertIs(jobs[-1].result, Status.COMPLETED)

    async def test_a_stream_may_be_longer_than_an_answer_may_be(self) -> None:
        self.patch(connections, "WIRE_LIMIT", 5_000)
        job = await self.new_job(metadata={"x": "x" * 2_000})
        versions: list[int] = []

        async def follow() -> None:
            async for each in self.client(job).updates():
                versions.append(each.version)

        followed = Deferred.fromCoroutine(follow())
        await self.watched()
        for number in range(10):
            await self.server.lifecycle.report(job, Report(message=str(number)))
            # One after the other, because a slow watcher is only sent the newest state.
            await until(partial(versions.__contains__, number + 2))
        await self.server.lifecycle.report(job, Report(result=Status.COMPLETED))
        await followed
        self.assertEqual(versions, list(range(1, 13)))

    async def test_leaving_closes_the_connection(self) -> None:
        job = await self.new_job()
        async with aclosing(self.client(job).updates()) as updates:
            async for each in updates:
                self.assertEqual(each.id, job)
                break
            await self.watched()
        await self.gone()

    async def test_following_continues_after_a_restart_of_the_server(self) -> None:
        variables = {
            "STATUSJOB_DATABASE": str(directory(self) / "other.sqlite"),
            "STATUSJOB_ENDPOINT": "tcp:0:interface=127.0.0.1",
        }
        await self.server.stopService()
        self.server = Server(reactor, resolve({}, variables, {}))
        self.server.startService()
        job, (port,) = await self.new_job(), self.server.ports
        address: Any = port.getHost()
        followed = Deferred.fromCoroutine(taken(self.client(job).updates()))
        await self.watched()
        await self.server.stopService()
        variables["STATUSJOB_ENDPOINT"] = f"tcp:{address.port}:interface=127.0.0.1"
        self.server = Server(reactor, resolve({}, variables, {}))
        self.server.startService()
        await self.watched()
        await self.server.lifecycle.report(job, Report(result=Status.COMPLETED))
        self.assertEqual([each.version for each in await followed], [1, 2])


class HostileTests(SocketTestCase):
    """Servers that misbehave."""

    async def problem(self, mode: Mode, timeout: float) -> str:
        """Follow such a stream, and return the kind of its failure."""
        base, server = self.misbehaving(mode)
        asking = session.Session(
            base, token=None, request_timeout=timeout, reactor=reactor, treq=None
        )
        took: list[bytes] = []
        try:
            await asking.follow("events", headers={}, take=took.append)
        except Unreachable as error:
            await server.wait_until_closed()
            return error.kind
        self.fail("it came to a good end")

    async def test_misbehaving_streams_are_given_up(self) -> None:
        self.patch(session, "SILENCE", 0.1)
        for mode, kind in (
            (modes.silent, "timeout"),
            (modes.reset, "connect"),
            (modes.hang_in_body, "timeout"),
            (modes.endless_headers, "too-big"),
            (modes.endless_body, "too-big"),
            (silent_stream, "timeout"),
            (reset_stream, "connect"),
        ):
            timeout = 0.2 if kind == "timeout" else 5
            self.assertEqual(await self.problem(mode, timeout), kind, mode)


async def silent_stream(connection: Any) -> None:
    """Begin a stream, and send no events."""
    await connection.request()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
    connection.transport.write(head + b"\r\n\r\n3\r\n:\n\n\r\n")


async def reset_stream(connection: Any) -> None:
    """Begin a stream, and reset the connection."""
    await silent_stream(connection)
    await connection.sleep(0.01)
    connection.transport.abortConnection()
