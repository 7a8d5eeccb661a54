"""Kept connections, which are all closed in the end."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from statusjob.client.http import bounded, connections
from statusjob.client.http.bounded import HostEndpoints
from statusjob.client.http.connections import REQUEST_SLOTS, Connections, KeptConnections
from statusjob.client.http.exchange import exchange
from statusjob.testing import HostileReceiver, modes
from tests.helpers.scripted_server import COMPLETED, ScriptedServer
from tests.helpers.sockets import SocketTestCase, Trusting, reactor, until


class KeptConnectionsTests(SocketTestCase):
    """On loopback."""

    async def test_a_connection_is_closed_even_if_the_server_does_not_agree(self) -> None:
        self.patch(bounded, "CLOSE_GRACE", 0.05)
        server = HostileReceiver(reactor, modes.never_part)
        url = self.listen_tls(server)
        kept = KeptConnections(reactor, HostEndpoints(reactor, Trusting()))
        answered = await exchange(
            reactor,
            lambda: kept.client.get(url, unbuffered=True, reactor=reactor),
            deadline=5,
            limit=100,
        )
        self.assertEqual(answered.body, b"{}")
        self.assertEqual(kept.open, 1)
        await kept.close()
        await deferLater(reactor, 0)
        self.assertEqual(kept.open, 0)
        await server.wait_until_closed()

    async def test_cancelling_while_connections_close_aborts_them_and_logs_nothing(self) -> None:
        self.patch(bounded, "CLOSE_GRACE", 60.0)
        self.patch(connections, "HostEndpoints", lambda *_: HostEndpoints(reactor, Trusting()))
        servers = [HostileReceiver(reactor, modes.never_part) for _ in range(3)]
        urls = [self.listen_tls(server) for server in servers]
        shared = Connections()

        async def ask_all() -> None:
            async with shared.in_use(reactor):
                for url in urls:
                    await self.ask(shared, url)

        asking = Deferred.fromCoroutine(ask_all())
        await until(lambda: shared.idle)
        self.assertNoResult(asking)
        for _ in range(2):
            asking.cancel()
        with self.assertRaises(CancelledError):
            await asking
        for server in servers:
            await server.wait_until_closed()

    async def ask(self, shared: Connections, url: str) -> None:
        """Get the answer to one request."""
        client = shared.client(long_poll=False)
        await exchange(
            reactor,
            lambda: client.get(url, unbuffered=True, reactor=reactor),
            deadline=5,
            limit=100,
        )

    async def test_as_many_connections_are_kept_as_there_are_slots(self) -> None:
        server = ScriptedServer(Clock(), otherwise=COMPLETED)
        url, shared = self.serve(server), Connections()
        async with shared.in_use(reactor):
            for _ in range(3):
                asking = [
                    Deferred.fromCoroutine(self.ask(shared, url)) for _ in range(REQUEST_SLOTS)
                ]
                await gatherResults(asking)
        ports = {each.port for each in server.requests}
        self.assertEqual((len(server.requests), len(ports)), (3 * REQUEST_SLOTS, REQUEST_SLOTS))

    async def test_closing_without_connections_takes_no_time(self) -> None:
        kept = KeptConnections(reactor, HostEndpoints(reactor))
        self.successResultOf(Deferred.fromCoroutine(kept.close()))


class RequestSlotTests(SynchronousTestCase):
    """The slots for requests to one server."""

    def test_they_are_shared_while_one_is_taken_and_then_forgotten(self) -> None:
        shared = Connections()

        async def take(origin: str, until: Deferred[None]) -> None:
            async with shared.request_slot(origin, changes=True):
                await until

        ends: list[Deferred[None]] = [Deferred() for _ in range(REQUEST_SLOTS + 1)]
        taking = [Deferred.fromCoroutine(take("http://a.example", each)) for each in ends]
        semaphore = weakref.ref(shared.request_slot("http://a.example", changes=True))
        self.assertEqual(shared.request_slot("http://a.example", changes=True).tokens, 0)
        self.assertEqual(
            shared.request_slot("http://b.example", changes=True).tokens, REQUEST_SLOTS
        )
        for each in ends:
            each.callback(None)
        for each in taking:
            self.successResultOf(each)
        del taking
        gc.collect()
        self.assertIsNone(semaphore())
