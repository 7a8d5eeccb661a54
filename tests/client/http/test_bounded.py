"""Bounded connections: how many bytes arrive, and how long a connection takes to close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool

from statusjob.client.http.bounded import CLOSE_GRACE, BoundedEndpoints
from statusjob.client.http.exchange import Answer, exchange
from statusjob.client.http.streaming import stream
from statusjob.client.http.twisted_private import CleanPool
from statusjob.failures import ExchangeFailed
from tests.helpers.byte_server import ByteServer

LIMIT = 1000
BEGIN = b"HTTP/1.1 200 OK\r\n"
#: An answer that is as long as the limit.
FULL = BEGIN + b"X-Pad: " + b"x" * (LIMIT - len(BEGIN) - 30) + b"\r\nContent-Length: 0\r\n\r\n"


class BoundTests(SynchronousTestCase):
    """In memory, on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = ByteServer()

    def agent(self, *, persistent: bool = False, limit: int = LIMIT) -> Agent:
        """An agent whose connections are bounded."""
        endpoints = BoundedEndpoints(self.clock, self.server, limit=limit)
        pool = CleanPool(self.clock, persistent=persistent)
        agent: Agent = Agent.usingEndpointFactory(self.clock, endpoints, pool)
        return agent

    def ask(self, agent: Agent | None = None) -> Deferred[Answer]:
        """Make one exchange, whose deadline is far away."""
        sender = agent or self.agent()
        return exchange(
            cast(IReactorTime, self.clock),
            lambda: sender.request(b"GET", b"http://example.test/"),
            deadline=60,
            limit=10_000,
        )

    def follow(self, take: Callable[[bytes], object]) -> Deferred[Answer | None]:
        """Begin a stream."""
        sender = self.agent()
        return stream(
            cast(IReactorTime, self.clock),
            lambda: sender.request(b"GET", b"http://example.test/"),
            take,
            deadline=60,
            silence=60,
            limit=10_000,
        )

    def assert_too_big(self, asked: Deferred[Any]) -> None:
        """The exchange failed because of too many bytes, and nothing is left on the clock."""
        self.server.close()
        self.assertEqual(self.failureResultOf(asked, ExchangeFailed).value.kind, "too-big")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_as_long_as_the_limit_is_accepted(self) -> None:
        asked = self.ask()
        self.server.send(FULL)
        self.assertEqual(self.successResultOf(asked).code, 200)
        self.assertFalse(self.server.transport.disconnected)

    def test_headers_longer_than_the_limit_are_too_big(self) -> None:
        asked = self.ask()
        self.server.send(FULL.replace(b"x", b"xx", 1))
        self.assertTrue(self.server.transport.disconnected)
        self.assert_too_big(asked)

    def test_the_pieces_of_an_answer_add_up(self) -> None:
        asked = self.ask()
        for piece in (BEGIN, b"A: b\r\n" * 100, b"A: b\r\n" * 100):
            self.server.send(piece)
        self.assert_too_big(asked)

    def test_interim_answers_count(self) -> None:
        asked = self.ask()
        for _ in range(LIMIT // 25 + 1):
            self.server.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assert_too_big(asked)

    def test_a_body_longer_than_the_limit_is_too_big(self) -> None:
        head = BEGIN + b"Content-Length: 5000\r\n\r\n"
        for pieces in (
            [head + b"x" * 2 * LIMIT],
            [head, b"x" * (LIMIT + 1)],
            [head, *[b"x" * 100] * (LIMIT // 100), b"x"],
        ):
            asked = self.ask()
            for piece in pieces:
                self.assertFalse(self.server.transport.disconnected)
                self.server.send(piece)
            self.assertTrue(self.server.transport.disconnected)
            self.assert_too_big(asked)

    def test_a_body_as_long_as_the_limit_is_accepted_after_its_headers(self) -> None:
        asked = self.ask()
        self.server.send(BEGIN + b"Content-Length: %d\r\n\r\n" % LIMIT)
        for _ in range(LIMIT // 100):
            self.server.send(b"x" * 100)
        self.assertEqual(len(self.successResultOf(asked).body), LIMIT)

    def test_a_stream_may_be_longer_than_the_limit(self) -> None:
        pieces: list[bytes] = []
        followed = self.follow(pieces.append)
        self.server.send(
            BEGIN + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"384\r\n%b\r\n" % (b"x" * 900)
        for _ in range(10):
            self.server.send(chunk)
        self.assertNoResult(followed)
        self.assertEqual(b"".join(pieces), b"x" * 9_000)
        self.server.send(chunk * 2)
        self.assert_too_big(followed)

    def test_a_header_longer_than_twisted_accepts_is_too_big(self) -> None:
        # Twisted limits the length of a line, but not that of all lines together.
        asked = self.ask(self.agent(limit=100_000))
        self.server.send(BEGIN + b"X-Long: " + b"x" * 20_000)
        self.assertTrue(self.server.transport.disconnecting)
        self.assert_too_big(asked)

    def test_each_request_on_a_kept_connection_has_a_count_of_its_own(self) -> None:
        agent = self.agent(persistent=True)
        for _ in range(3):
            asked = self.ask(agent)
            self.server.send(FULL)
            self.assertEqual(self.successResultOf(asked).code, 200)
        self.assertEqual(self.server.connected, 1)

    def test_a_connection_that_does_not_close_is_aborted(self) -> None:
        asked = self.ask()
        self.server.send(FULL)
        self.successResultOf(asked)
        self.assertTrue(self.server.transport.disconnecting)
        self.clock.advance(CLOSE_GRACE - 0.1)
        self.assertFalse(self.server.transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(self.server.transport.disconnected)

    def test_a_connection_that_closes_leaves_no_timer(self) -> None:
        asked = self.ask()
        self.server.send(FULL)
        self.server.close()
        self.successResultOf(asked)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_giving_up_a_body_aborts_the_connection(self) -> None:
        # A polite close would wait for unsent bytes and, with TLS, for the peer.
        asked = self.ask()
        self.server.send(BEGIN + b"Content-Length: 5\r\n\r\nab")
        asked.cancel()
        self.assertTrue(self.server.transport.disconnected)
        self.failureResultOf(asked)
        self.server.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_only_open_connections_are_listed(self) -> None:
        endpoints = BoundedEndpoints(self.clock, self.server, limit=LIMIT)
        pool = HTTPConnectionPool(self.clock, persistent=False)
        asked = self.ask(Agent.usingEndpointFactory(self.clock, endpoints, pool))
        self.assertEqual(len(endpoints.connections), 1)
        self.server.send(FULL)
        self.successResultOf(asked)
        self.server.close()
        self.assertEqual(len(endpoints.connections), 0)
