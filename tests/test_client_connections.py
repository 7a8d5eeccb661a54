"""Kept connections: closed politely where the server agrees, and by force where it does not."""

from __future__ import annotations

from typing import Any, cast

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.task import deferLater
from twisted.web.client import Agent
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from statusjob.client import _connections
from statusjob.client._connections import KeptConnections
from statusjob.exchange import exchange
from tests.sockets import HEAD, Misbehaving, SocketTestCase, reactor, self_signed


@implementer(IPolicyForHTTPS)
class Trusting:
    """Trusts one certificate."""

    def __init__(self, options: Any) -> None:
        pem = options.certificate.public_bytes(Encoding.PEM)
        self._root = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pem)])

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return ssl.optionsForClientTLS(hostname.decode(), self._root)


class KeptConnectionsTests(SocketTestCase):
    """On loopback."""

    async def test_a_server_that_will_not_part_is_left_all_the_same(self) -> None:
        def answer_then_never_read_again(transport: Any) -> None:
            transport.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
            transport.pauseProducing()

        self.patch(_connections, "CLOSE_GRACE", 0.05)
        options = self_signed("127.0.0.1")
        server = Misbehaving(answer_then_never_read_again)
        port = reactor.listenSSL(0, server, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        kept = KeptConnections(reactor)
        agent = Agent(reactor, Trusting(options), pool=kept)
        url = b"https://127.0.0.1:%d/" % port.getHost().port
        answered = await exchange(
            reactor, lambda: agent.request(b"GET", url), deadline=5, limit=100
        )
        self.assertEqual(answered.body, b"{}")
        opened = list(kept._opened)
        await kept.close()
        await deferLater(reactor, 0)
        self.assertEqual([each.state for each in opened], ["CONNECTION_LOST"])
        # It learns that it was left as soon as it looks.
        for each in server.connections:
            cast(Any, each.transport).resumeProducing()
        await server.deserted()

    async def test_closing_what_keeps_nothing_takes_no_time(self) -> None:
        kept = KeptConnections(reactor)
        before = reactor.seconds()
        await kept.close()
        self.assertLess(reactor.seconds() - before, 0.5)
