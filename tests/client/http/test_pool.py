"""A pool with bounds: how much comes in, and how long a connection takes to close."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from statusjob.client.http.exchange import CLOSE_GRACE, Answer, BoundedPool, exchange
from statusjob.failures import ExchangeFailed

LIMIT = 1000
BEGIN = b"HTTP/1.1 200 OK\r\n"
#: An answer that has as many bytes as it may have.
FULL = BEGIN + b"X-Pad: " + b"x" * (LIMIT - len(BEGIN) - 30) + b"\r\nContent-Length: 0\r\n\r\n"


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class Server:
    """
    Answers what it is told to.

    @ivar connected: how often it was.
    """

    def __init__(self) -> None:
        self.connected = 0

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return cast(IStreamClientEndpoint, self)

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.connected += 1
        self.protocol = protocolFactory.buildProtocol(None)
        self.transport = StringTransport(lenient=True)
        self.protocol.makeConnection(self.transport)
        return succeed(self.protocol)

    def say(self, data: bytes) -> None:
        """Bytes arrive at the client."""
        self.protocol.dataReceived(data)

    def end(self) -> None:
        """The connection is gone, in the way in which the client let it go."""
        aborted = self.transport.disconnected
        self.protocol.connectionLost(Failure(ConnectionAborted() if aborted else ConnectionDone()))


class BoundedPoolTests(SynchronousTestCase):
    """In memory, on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = Server()

    def pool(self, *, persistent: bool = False, limit: int = LIMIT) -> BoundedPool:
        """One pool."""
        return BoundedPool(self.clock, persistent=persistent, limit=limit)

    def ask(self, pool: BoundedPool | None = None) -> Deferred[Answer]:
        """One exchange, whose deadline is far."""
        agent = Agent.usingEndpointFactory(self.clock, self.server, pool or self.pool())
        return exchange(
            cast(IReactorTime, self.clock),
            lambda: agent.request(b"GET", b"http://example.test/"),
            deadline=60,
            limit=10_000,
        )

    def too_big(self, asked: Deferred[Answer]) -> None:
        """It failed for that, and nothing is left on the clock."""
        self.server.end()
        self.assertEqual(self.failureResultOf(asked, ExchangeFailed).value.kind, "too-big")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_as_long_as_the_limit_is_taken(self) -> None:
        asked = self.ask()
        self.server.say(FULL)
        self.assertEqual(self.successResultOf(asked).code, 200)
        self.assertFalse(self.server.transport.disconnected)

    def test_headers_longer_than_the_limit_are_too_big(self) -> None:
        asked = self.ask()
        self.server.say(FULL.replace(b"x", b"xx", 1))
        self.assertTrue(self.server.transport.disconnected)
        self.too_big(asked)

    def test_the_pieces_of_an_answer_add_up(self) -> None:
        asked = self.ask()
        for piece in (BEGIN, b"A: b\r\n" * 100, b"A: b\r\n" * 100):
            self.server.say(piece)
        self.too_big(asked)

    def test_so_do_interim_answers(self) -> None:
        asked = self.ask()
        for _ in range(LIMIT // 25 + 1):
            self.server.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.too_big(asked)

    def test_a_body_counts_too(self) -> None:
        asked = self.ask()
        self.server.say(BEGIN + b"Content-Length: 5000\r\n\r\n" + b"x" * 2 * LIMIT)
        self.assertTrue(self.server.transport.disconnected)
        self.too_big(asked)

    def test_a_header_longer_than_twisted_takes_is_too_big(self) -> None:
        # Twisted has a bound for lines, but none for all of them.
        asked = self.ask(self.pool(limit=100_000))
        self.server.say(BEGIN + b"X-Long: " + b"x" * 20_000)
        self.assertTrue(self.server.transport.disconnecting)
        self.too_big(asked)

    def test_each_request_of_a_kept_connection_has_its_own_count(self) -> None:
        pool = self.pool(persistent=True)
        for _ in range(3):
            asked = self.ask(pool)
            self.server.say(FULL)
            self.assertEqual(self.successResultOf(asked).code, 200)
        self.assertEqual(self.server.connected, 1)

    def test_one_whose_answer_was_given_up_is_not_kept_for_the_next(
        self,
    ) -> None:
        asked = self.ask(self.pool(persistent=True, limit=100_000))
        self.server.say(BEGIN + b"Content-Length: 10001\r\n\r\n" + b"x" * 10_001)
        self.too_big(asked)

    def test_a_connection_that_will_not_close_is_aborted(self) -> None:
        asked = self.ask()
        self.server.say(FULL)
        self.successResultOf(asked)
        self.assertTrue(self.server.transport.disconnecting)
        self.clock.advance(CLOSE_GRACE - 0.1)
        self.assertFalse(self.server.transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(self.server.transport.disconnected)

    def test_one_that_closes_leaves_no_timer(self) -> None:
        asked = self.ask()
        self.server.say(FULL)
        self.server.end()
        self.successResultOf(asked)
        self.assertEqual(self.clock.getDelayedCalls(), [])
