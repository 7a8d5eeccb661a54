"""Connections end in bounded time, whatever their clients do, and not before they are answered."""

from __future__ import annotations

import contextlib

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from statusjob.server.site.channels import (
    ANSWER_SECONDS,
    ANSWER_SECONDS_LIMIT,
    HALF_CLOSED_SECONDS,
    LEAST_RATE,
    TLS_CLOSE_SECONDS,
)
from statusjob.server.site.site import IDLE_SECONDS, BoundedSite
from statusjob.testing import self_signed_options
from tests.helpers.bounded_site import BoundedSiteTestCase
from tests.helpers.connections import Connection
from tests.helpers.messages import request_bytes
from tests.helpers.transports import MemoryConnection


class UnreadTests(BoundedSiteTestCase):
    """Clients that do not read their answers."""

    def unread(self, first_line: str, *headers: str, size: int = 0) -> Connection:
        """Ask for an answer of C{size} bytes or so, and read nothing."""
        connection = self.connect()
        connection.ask(first_line, *headers)
        connection.transport.stalled = True
        connection.protocol.pauseProducing()
        self.echo.held[0].sentLength = size
        self.echo.finish()
        return connection

    def test_an_answer_that_is_not_read_ends_its_connection(self) -> None:
        for headers in (["Connection: close"], []):
            connection = self.unread("GET /held", *headers)
            self.clock.advance(ANSWER_SECONDS - 1)
            self.assertTrue(connection.open)
            self.clock.advance(1.1)
            self.assertTrue(connection.aborted)
        self.assertEqual(self.site.limits.reached, {"unread-answers": 2})

    def test_a_large_answer_may_be_read_for_longer(self) -> None:
        for size, seconds in (
            (60 * LEAST_RATE, ANSWER_SECONDS + 60),
            (10_000 * LEAST_RATE, ANSWER_SECONDS_LIMIT),
        ):
            for headers in ([], ["Connection: close"]):
                connection = self.unread("GET /held", *headers, size=size)
                self.clock.advance(seconds - 0.1)
                self.assertTrue(connection.open)
                self.clock.advance(0.2)
                self.assertTrue(connection.aborted)

    def test_a_client_that_reads_late_may_ask_again(self) -> None:
        connection = self.unread("GET /held")
        self.clock.advance(ANSWER_SECONDS - 1)
        connection.transport.stalled = False
        connection.protocol.resumeProducing()
        connection.received()
        self.pass_time(IDLE_SECONDS - 1)
        connection.ask("GET /")
        self.assertEqual(connection.answer().code, 200)

    def test_a_refusal_that_is_not_read_ends_its_connection(self) -> None:
        connection = self.connect()
        connection.transport.stalled = True
        connection.send(b"nonsense\r\n\r\n")
        self.clock.advance(ANSWER_SECONDS + 0.1)
        self.assertTrue(connection.aborted)


class TLSClient(MemoryConnection):
    """A client that speaks TLS to the site, and never says that it closes."""

    def __init__(self, site: BoundedSite) -> None:
        factory = TLSMemoryBIOFactory(self_signed_options("127.0.0.1"), False, site)
        super().__init__(factory.buildProtocol(None))
        self.tls = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.tls.set_connect_state()
        for _ in range(3):
            with contextlib.suppress(SSL.WantReadError):
                self.tls.do_handshake()
            self.exchange()

    def ask(self, first_line: str, *headers: str) -> None:
        """Send a request."""
        self.tls.send(request_bytes(first_line, *headers))
        self.exchange()

    def exchange(self) -> None:
        """Bring what either side has written to the other."""
        with contextlib.suppress(SSL.WantReadError):
            self.protocol.dataReceived(self.tls.bio_read(1 << 20))
        if data := self.transport.value():
            self.tls.bio_write(data)
            self.transport.clear()

    def received(self) -> bytes:
        """Take what has come."""
        self.exchange()
        return self.tls.recv(1 << 20)


class TLSTests(BoundedSiteTestCase):
    """A client that does not take part in closing TLS is not waited for."""

    def test_a_connection_that_is_answered_for_the_last_time_is_closed(self) -> None:
        client = TLSClient(self.site)
        client.ask("GET /", "Connection: close")
        self.assertTrue(client.received().endswith(b"\r\n\r\n0"))
        self.clock.advance(TLS_CLOSE_SECONDS - 0.1)
        self.assertTrue(client.open)
        self.clock.advance(0.1)
        self.assertFalse(client.open)

    def test_what_is_unsent_still_is_sent_first(self) -> None:
        client = TLSClient(self.site)
        client.transport.stalled = True
        client.ask("GET /", "Connection: close")
        self.clock.advance(TLS_CLOSE_SECONDS)
        self.assertTrue(client.transport.disconnecting)
        self.clock.advance(ANSWER_SECONDS - 0.1)
        self.assertTrue(client.open)
        self.clock.advance(0.2)
        self.assertTrue(client.aborted)

    def test_an_idle_connection_is_closed(self) -> None:
        client = TLSClient(self.site)
        client.ask("GET /")
        self.clock.advance(IDLE_SECONDS)
        self.assertTrue(client.open)
        self.clock.advance(TLS_CLOSE_SECONDS)
        self.assertFalse(client.open)

    def test_a_server_that_stops_does_not_wait_for_it(self) -> None:
        idle, busy = TLSClient(self.site), TLSClient(self.site)
        idle.ask("GET /")
        busy.ask("GET /held")
        drained = Deferred.fromCoroutine(self.site.drain(8.0))
        self.echo.finish()
        self.assertIn(b"done", busy.received())
        self.clock.advance(TLS_CLOSE_SECONDS)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_after_closing_no_more_requests_are_answered(self) -> None:
        client = TLSClient(self.site)
        client.ask("GET /", "Connection: close")
        client.ask("GET /")
        self.assertEqual(self.echo.bodies, [0])
        self.clock.advance(TLS_CLOSE_SECONDS)


class HalfClosedTests(BoundedSiteTestCase):
    """Clients that say with their requests that they send no more."""

    def send_all(self, *requests: bytes) -> Connection:
        connection = self.connect()
        connection.send(b"".join(requests))
        self.end(connection)
        return connection

    def end(self, connection: Connection) -> None:
        """End what the client sends, as the reactor notices it."""
        IHalfCloseableProtocol(connection.protocol).readConnectionLost()

    def test_all_that_they_have_asked_is_answered(self) -> None:
        get, held = request_bytes("GET /"), request_bytes("GET /held")
        connection = self.send_all(held, get, held, get)
        self.assertTrue(connection.open)
        for _ in range(2):
            self.settle()
            self.echo.finish()
        self.settle()
        bodies = [each.body for each in connection.answers()]
        self.assertEqual(bodies, [b"done", b"0", b"done", b"0"])
        self.assertFalse(connection.open or connection.aborted)

    def test_without_a_whole_request_the_connection_is_closed(self) -> None:
        for part in (b"", b"GET / HTTP/1.1\r\n", request_bytes("POST /", "Content-Length: 2")):
            self.assertFalse(self.send_all(part).open, part)

    def test_a_client_that_hangs_up_while_it_waits_is_gone(self) -> None:
        connection = self.connect()
        connection.ask("GET /held")
        self.clock.advance(HALF_CLOSED_SECONDS)
        self.end(connection)
        self.settle()
        self.assertFalse(connection.open)
        self.assertEqual(self.echo.held, [])

    def test_a_client_that_asks_and_hangs_up_is_soon_gone(self) -> None:
        connection = self.send_all(request_bytes("GET /held"))
        self.clock.advance(HALF_CLOSED_SECONDS - 0.1)
        self.assertTrue(connection.open)
        self.clock.advance(0.1)
        self.assertFalse(connection.open)
        self.assertEqual(self.echo.held, [])
