"""Kept connections, which are all closed in the end."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from statusjob.client.http import bounded
from statusjob.client.http.connections import KeptConnections
from statusjob.client.http.exchange import exchange
from statusjob.testing import HostileReceiver, modes
from tests.helpers.sockets import SocketTestCase, Trusting, reactor


class KeptConnectionsTests(SocketTestCase):
    """On loopback."""

    async def test_a_connection_is_closed_even_if_the_server_does_not_agree(self) -> None:
        self.patch(bounded, "CLOSE_GRACE", 0.05)
        server = HostileReceiver(reactor, modes.never_part)
        url = self.listen_tls(server)
        kept = KeptConnections(reactor, policy=Trusting())
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

    async def test_closing_without_connections_takes_no_time(self) -> None:
        kept = KeptConnections(reactor)
        self.successResultOf(Deferred.fromCoroutine(kept.close()))
