"""Kept connections: closed politely where the server agrees, and by force where it does not."""

from __future__ import annotations

from twisted.internet.task import deferLater
from twisted.web.client import Agent

from statusjob.client.http import exchange
from statusjob.client.http.connections import KeptConnections
from statusjob.testing import HostileReceiver, modes
from tests.helpers.sockets import SocketTestCase, Trusting, reactor


class KeptConnectionsTests(SocketTestCase):
    """On loopback."""

    async def test_a_server_that_will_not_part_is_left_all_the_same(self) -> None:
        self.patch(exchange, "CLOSE_GRACE", 0.05)
        server = HostileReceiver(reactor, modes.never_part)
        url = self.listen_tls(server).encode()
        kept = KeptConnections(reactor)
        agent = Agent(reactor, Trusting(), pool=kept)
        answered = await exchange.exchange(
            reactor, lambda: agent.request(b"GET", url), deadline=5, limit=100
        )
        self.assertEqual(answered.body, b"{}")
        opened = list(kept._opened)
        await kept.close()
        await deferLater(reactor, 0)
        self.assertEqual([each.state for each in opened], ["CONNECTION_LOST"])
        await server.wait_until_closed()

    async def test_closing_what_keeps_nothing_takes_no_time(self) -> None:
        kept = KeptConnections(reactor)
        before = reactor.seconds()
        await kept.close()
        self.assertLess(reactor.seconds() - before, 0.5)
