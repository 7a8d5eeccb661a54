"""Fast answers on real sockets: plain ones have them, those with TLS have not."""

from __future__ import annotations

from twisted.internet.endpoints import SSL4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint

from statusjob.testing import self_signed_options
from tests.helpers.server_sockets import Client, ServerSocketTestCase
from tests.helpers.servers import directory
from tests.helpers.sockets import Trusting, reactor

PENDING = b'{"result":"pending"}'


class FastSocketTests(ServerSocketTestCase):
    """A whole server on sockets of all kinds."""

    async def poll_twice(self, client: Client) -> int:
        """Poll twice, and return how many fast answers were given."""
        before = self.server.fast.given
        for _ in range(2):
            client.received = b""
            client.ask("GET /status")
            await client.until(PENDING)
            self.assertTrue(client.received.startswith(b"HTTP/1.1 200 OK\r\n"))
        return self.server.fast.given - before

    async def connect_to(self, endpoint: IStreamClientEndpoint) -> Client:
        client: Client = await connectProtocol(endpoint, Client())
        self.addCleanup(self.close, client)
        return client

    async def test_a_poll_over_tcp_is_answered_fast(self) -> None:
        client = await self.connect()
        self.assertEqual(await self.poll_twice(client), 1)
        self.assertEqual(await self.poll_twice(client), 2)

    async def test_a_poll_over_a_unix_socket_is_answered_fast(self) -> None:
        path = str(directory(self) / "socket")
        port = reactor.listenUNIX(path, self.server.site)
        self.addCleanup(port.stopListening)
        client = await self.connect_to(UNIXClientEndpoint(reactor, path))
        self.assertEqual(await self.poll_twice(client), 1)

    async def test_a_poll_over_tls_takes_the_slow_way(self) -> None:
        options = self_signed_options("127.0.0.1")
        port = reactor.listenSSL(0, self.server.site, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        creator = Trusting().creatorForNetloc(b"127.0.0.1", port.getHost().port)
        endpoint = SSL4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, creator)
        client = await self.connect_to(endpoint)
        self.assertEqual(await self.poll_twice(client), 0)
        self.assertEqual(await self.poll_twice(client), 0)
