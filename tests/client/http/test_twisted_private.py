"""
The private part of Twisted on which the client relies: C{HTTPConnectionPool._putConnection}.

If one of these tests fails with a new version of Twisted, then C{twisted_private.py} is out of
date.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool

from statusjob.client.http.bounded import BoundedEndpoints
from statusjob.client.http.exchange import Answer, exchange
from statusjob.client.http.twisted_private import CleanPool
from statusjob.failures import ExchangeFailed
from tests.helpers.byte_server import ByteServer


def answer(size: int) -> bytes:
    """A whole answer with a body of so many bytes."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, b"x" * size)


class CleanPoolTests(SynchronousTestCase):
    """In memory: an answer that is longer than its reader allows arrives in one piece."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = ByteServer()

    def ask(self, agent: Agent) -> Deferred[Answer]:
        """Make one exchange, whose body may have ten bytes."""
        return exchange(
            cast(IReactorTime, self.clock),
            lambda: agent.request(b"GET", b"http://example.test/"),
            deadline=60,
            limit=10,
        )

    def give_up(self, pool: HTTPConnectionPool) -> int:
        """
        Give up an answer, and ask again while the connection is still being closed.

        @return: the number of connections that this took.
        """
        endpoints = BoundedEndpoints(self.clock, self.server, limit=10_000)
        agent = Agent.usingEndpointFactory(self.clock, endpoints, pool)
        asked = self.ask(agent)
        self.server.send(answer(11))
        self.failureResultOf(asked, ExchangeFailed)
        self.assertTrue(self.server.transport.disconnected)
        again = self.ask(agent)
        self.server.send(answer(10))
        self.assertEqual(len(self.successResultOf(again).body), 10)
        return self.server.connected

    def test_an_aborted_connection_is_never_used_again(self) -> None:
        self.assertEqual(self.give_up(CleanPool(self.clock)), 2)

    def test_twisted_alone_would_use_it_again(self) -> None:
        self.assertEqual(self.give_up(HTTPConnectionPool(self.clock)), 1)

    def test_an_aborted_connection_leaves_no_timer(self) -> None:
        agent = Agent.usingEndpointFactory(
            self.clock,
            BoundedEndpoints(self.clock, self.server, limit=10_000),
            CleanPool(self.clock),
        )
        asked = self.ask(agent)
        self.server.send(answer(11))
        self.failureResultOf(asked, ExchangeFailed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_connection_whose_answer_was_read_is_kept(self) -> None:
        endpoints = BoundedEndpoints(self.clock, self.server, limit=10_000)
        agent = Agent.usingEndpointFactory(self.clock, endpoints, CleanPool(self.clock))
        for _ in range(3):
            asked = self.ask(agent)
            self.server.send(answer(10))
            self.successResultOf(asked)
        self.assertEqual(self.server.connected, 1)
