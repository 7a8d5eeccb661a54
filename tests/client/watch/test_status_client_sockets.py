"""C{StatusClient} over sockets, also on servers that misbehave."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.web.client import HTTPConnectionPool

from statusjob import RetriesExhausted, Status, StatusClient, Transient, Unreachable
from statusjob.testing import modes
from tests.helpers.scripted_server import COMPLETED, PENDING, ScriptedServer, status
from tests.helpers.sockets import SocketTestCase, reactor, until


class SocketTests(SocketTestCase):
    """On loopback. Trial fails a test that leaves a socket or a timer behind."""

    def client(self, base: str, **options: Any) -> StatusClient:
        """Return a client with short waits and few retries."""
        options = {"polling_interval": 0.02, "max_interval": 0.05, "max_retries": 1, **options}
        return StatusClient(base, reactor=reactor, **options)

    async def cause(self, base: str, **options: Any) -> Transient:
        """Monitor until the retries are exhausted, and return the last failure."""
        try:
            await self.client(base, **options).start_monitoring()
        except RetriesExhausted as error:
            assert isinstance(error.__cause__, Transient)
            return error.__cause__
        self.fail("there was an answer")

    async def kind(self, base: str, **options: Any) -> str:
        """Return the kind of the last failure."""
        cause = await self.cause(base, **options)
        assert isinstance(cause, Unreachable)
        return cause.kind

    async def test_a_connection_that_is_refused_is_a_failure(self) -> None:
        self.assertEqual(await self.kind(await self.closed_port()), "connect")

    async def test_a_connection_that_is_reset_during_the_answer_is_a_failure(self) -> None:
        base, server = self.misbehaving(modes.reset_in_body)
        self.assertEqual(await self.kind(base), "connect")
        self.assertEqual(server.received, 2)
        await server.wait_until_closed()

    async def test_an_answer_that_is_not_http_is_a_failure(self) -> None:
        base, server = self.misbehaving(modes.gibberish)
        self.assertEqual(await self.kind(base), "connect")
        await server.wait_until_closed()

    async def test_a_server_that_does_not_answer_is_a_failure(self) -> None:
        for mode in (modes.silent, modes.hang_in_body):
            base, server = self.misbehaving(mode)
            self.assertEqual(await self.kind(base, request_timeout=0.05), "timeout")
            await server.wait_until_closed()

    async def test_an_endless_body_is_a_failure(self) -> None:
        base, server = self.misbehaving(modes.endless_body)
        self.assertEqual(await self.kind(base), "too-big")
        await server.wait_until_closed()

    async def test_one_connection_is_reused_and_closed_before_monitoring_ends(self) -> None:
        server = ScriptedServer(Clock(), *[PENDING] * 5, COMPLETED)
        client = self.client(self.serve(server), polling_interval=0.01)
        self.assertIs(await client.start_monitoring(), Status.COMPLETED)
        ports = {each.port for each in server.requests}
        self.assertEqual((len(server.requests), len(ports)), (6, 1))
        self.assertEqual([each for each in reactor.getDelayedCalls() if is_of_a_pool(each)], [])

    async def test_a_single_request_keeps_no_connection(self) -> None:
        client = self.client(self.serve(ScriptedServer(Clock())))
        self.assertIs(await client.get_status(), Status.PENDING)
        self.assertEqual([each for each in reactor.getDelayedCalls() if is_of_a_pool(each)], [])

    async def test_cancelling_during_a_request_closes_the_socket(self) -> None:
        base, server = self.misbehaving(modes.silent)
        monitored = self.client(base).start_monitoring()
        await until(lambda: server.received == 1)
        monitored.cancel()
        with self.assertRaises(CancelledError):
            await monitored
        await server.wait_until_closed()

    async def test_an_ipv6_address(self) -> None:
        server = ScriptedServer(Clock(), PENDING, COMPLETED)
        base = self.serve(server, "::1")
        self.assertIs(await self.client(base).start_monitoring(), Status.COMPLETED)
        self.assertEqual(server.requests[0].header("Host"), base.removeprefix("http://"))

    async def test_cookies_are_not_sent_back(self) -> None:
        server = ScriptedServer(Clock(), status("pending", Set_Cookie="spy=1"), COMPLETED)
        await self.client(self.serve(server)).start_monitoring()
        self.assertIsNone(server.requests[1].header("Cookie"))

    async def test_the_global_reactor_is_the_default(self) -> None:
        base = self.serve(ScriptedServer(Clock(), COMPLETED))
        self.assertIs(await StatusClient(base).start_monitoring(), Status.COMPLETED)


def is_of_a_pool(call: Any) -> bool:
    """Return whether a delayed call is a pool's, for an idle connection."""
    return isinstance(getattr(call.func, "__self__", None), HTTPConnectionPool)
