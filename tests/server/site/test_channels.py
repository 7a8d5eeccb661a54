"""The site bounds bodies, times and connections before any route runs."""

from __future__ import annotations

from statusjob.contract.codec import BODY_LIMIT
from statusjob.server.site.channels import LINGER_LIMIT, LINGER_SECONDS
from statusjob.server.site.site import IDLE_SECONDS, REQUEST_SECONDS, SWEEP_SECONDS
from tests.helpers.bounded_site import BoundedSiteTestCase
from tests.helpers.connections import Connection


def chunk(size: int) -> bytes:
    """Make a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (size, b"x" * size)


class BodyLimitTests(BoundedSiteTestCase):
    """A body may have at most 1 MiB."""

    def test_a_body_of_exactly_the_limit_is_accepted(self) -> None:
        connection = self.connect()
        connection.ask("POST /", body=b"x" * BODY_LIMIT)
        self.assertEqual(connection.answer().body, b"%d" % BODY_LIMIT)
        connection.ask("POST /", "Transfer-Encoding: chunked")
        connection.send(chunk(BODY_LIMIT - 1) + chunk(1) + b"0\r\n\r\n")
        self.settle()
        self.assertEqual(connection.answer().body, b"%d" % BODY_LIMIT)
        self.assertTrue(connection.open)

    def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(self) -> None:
        for expect in ((), ("Expect: 100-continue",)):
            connection = self.connect()
            connection.ask("POST /", f"Content-Length: {BODY_LIMIT + 1}", *expect)
            self.assert_too_large(connection)
        self.assertEqual(self.echo.bodies, [])

    def test_a_client_that_expects_100_continue_gets_it(self) -> None:
        connection = self.connect()
        connection.ask("POST /", "Content-Length: 2", "Expect: 100-continue")
        self.assertEqual(connection.received(), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(b"{}")
        self.assertEqual(connection.answer().body, b"2")

    def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(self) -> None:
        connection = self.connect()
        connection.ask("POST /", "Transfer-Encoding: chunked")
        connection.send(chunk(BODY_LIMIT))
        self.settle()
        self.assertEqual(connection.received(), b"")
        connection.send(chunk(1))
        self.settle()
        self.assert_too_large(connection)
        connection.send(chunk(BODY_LIMIT) + b"0\r\n\r\n")
        self.assertEqual(connection.received(), b"")
        self.assertEqual(self.echo.bodies, [])

    def test_a_body_that_is_too_large_and_comes_in_one_piece_is_answered_once(self) -> None:
        too_much = b"x" * (BODY_LIMIT + 1)
        for framed in (
            b"Content-Length: %d\r\n\r\n" % len(too_much) + too_much,
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk(len(too_much)) + b"0\r\n\r\n",
        ):
            connection = self.connect()
            connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + framed)
            self.settle()
            self.assert_too_large(connection)
        self.assertEqual(self.echo.bodies, [])

    def test_a_request_that_is_pipelined_behind_a_refused_body_is_ignored(self) -> None:
        behind = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection = self.connect()
        connection.ask("POST /", body=b"x" * (BODY_LIMIT + 1))
        connection.send(behind)
        self.assert_too_large(connection)
        connection = self.connect()
        connection.send(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunk(BODY_LIMIT + 1)
            + b"0\r\n\r\n"
            + behind
        )
        self.settle()
        self.assert_too_large(connection)
        self.assertEqual(self.echo.bodies, [])

    def test_a_request_that_is_pipelined_before_a_refused_body_is_answered(self) -> None:
        connection = self.connect()
        connection.send(
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"
        )
        self.settle()
        self.assertEqual([each.code for each in connection.answers()], [200, 413])

    def test_the_connection_of_a_refused_client_is_closed_after_a_moment(self) -> None:
        connection = self.connect()
        connection.ask("POST /", "Content-Length: 9999999")
        connection.send(b"x" * 100_000)
        self.clock.advance(LINGER_SECONDS - 0.1)
        self.assertTrue(connection.open)
        self.clock.advance(0.1)
        self.assertFalse(connection.open)
        self.assertFalse(connection.aborted)

    def test_a_refused_client_that_keeps_sending_is_aborted(self) -> None:
        connection = self.connect()
        connection.ask("POST /", "Content-Length: 999999999")
        connection.send(b"x" * LINGER_LIMIT)
        self.assertTrue(connection.open)
        connection.send(b"x")
        self.assertTrue(connection.aborted)

    def test_a_refused_client_that_does_not_read_is_aborted(self) -> None:
        connection = self.connect()
        connection.ask("POST /", "Content-Length: 9999999")
        connection.transport.stalled = True
        self.pass_time(IDLE_SECONDS + connection.protocol.abortTimeout)
        self.assertTrue(connection.aborted)
        self.assertFalse(connection.open)

    def test_a_refused_client_may_hang_up_first(self) -> None:
        connection = self.connect()
        connection.ask("POST /", "Content-Length: 9999999")
        connection.hang_up()
        self.assertEqual(self.site.channels, set())


class TimeLimitTests(BoundedSiteTestCase):
    """Connections may be idle, and requests slow, for a limited time."""

    def test_an_idle_connection_is_closed(self) -> None:
        fresh, used = self.connect(), self.connect()
        used.ask("GET /")
        self.assertEqual(used.answer().code, 200)
        self.pass_time(IDLE_SECONDS - 1)
        self.assertTrue(fresh.open and used.open)
        self.pass_time(1)
        self.assertFalse(fresh.open or used.open)

    def test_a_connection_in_use_stays_open(self) -> None:
        connection = self.connect()
        for _ in range(4):
            connection.ask("GET /")
            self.assertEqual(connection.answer().code, 200)
            self.pass_time(IDLE_SECONDS - 1)
        self.assertTrue(connection.open)

    def drip(self, connection: Connection) -> float:
        """Send one byte per second until the connection is closed; return how long that took."""
        begin = self.clock.seconds()
        while connection.open and self.clock.seconds() < begin + 10 * REQUEST_SECONDS:
            connection.send(b"x")
            self.clock.advance(1)
        return self.clock.seconds() - begin

    def test_a_request_that_comes_byte_by_byte_is_aborted(self) -> None:
        for beginning in (
            b"GET /",
            b"GET / HTTP/1.1\r\nX: ",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n",
        ):
            connection = self.connect()
            connection.send(beginning)
            took = self.drip(connection)
            self.assertTrue(connection.aborted)
            self.assertTrue(REQUEST_SECONDS <= took <= REQUEST_SECONDS + SWEEP_SECONDS + 1, took)

    def test_a_slow_request_that_is_pipelined_behind_another_is_aborted_too(self) -> None:
        for first in (b"/", b"/held"):
            connection = self.connect()
            one = b"%b HTTP/1.1\r\nHost: localhost\r\n"
            connection.send(b"GET " + one % first + b"\r\nPOST " + one % b"/")
            if first == b"/held":
                self.pass_time(2 * REQUEST_SECONDS)
                self.echo.finish()
            self.assertEqual(connection.answer().code, 200)
            took = self.drip(connection)
            self.assertTrue(connection.aborted)
            self.assertTrue(REQUEST_SECONDS <= took <= REQUEST_SECONDS + SWEEP_SECONDS + 1, took)

    def test_a_second_request_has_as_much_time_as_the_first(self) -> None:
        connection = self.connect()
        for _ in range(3):
            connection.ask("POST /", "Content-Length: 50")
            for _ in range(50):
                self.clock.advance(1)
                connection.send(b"x")
            self.assertEqual(connection.answer().body, b"50")

    def test_an_answer_may_take_any_time(self) -> None:
        connection = self.connect()
        connection.ask("GET /held")
        self.pass_time(5 * REQUEST_SECONDS)
        self.echo.finish()
        self.assertEqual(connection.answer().body, b"done")


class ConnectionLimitTests(BoundedSiteTestCase):
    """The number of connections is limited."""

    def test_a_connection_beyond_the_limit_is_not_accepted_until_another_ends(self) -> None:
        self.site.connection_limit = 2
        first, second = self.connect(), self.connect()
        first.ask("GET /held")
        second.ask("GET /held")
        self.assertIsNone(self.site.buildProtocol(None))
        first.hang_up()
        self.connect().ask("GET /")
        self.assertEqual(self.echo.bodies, [0, 0, 0])

    def test_a_new_connection_takes_the_place_of_the_one_that_has_been_idle_longest(self) -> None:
        self.site.connection_limit = 3
        busy, used, fresh = self.connect(), self.connect(), self.connect()
        busy.ask("GET /held")
        used.ask("GET /")
        self.connect().ask("GET /held")
        self.assertEqual((busy.open, used.open, fresh.open), (True, True, False))
        self.assertFalse(fresh.aborted)
        self.connect().send(b"GET /not-whole")
        self.assertEqual((busy.open, used.open), (True, False))
        self.connect().ask("GET /held")
        self.assertIsNone(self.site.buildProtocol(None))
        self.assertEqual(self.site.limits.reached, {"connections": 3, "connections-refused": 1})


class MessageTests(BoundedSiteTestCase):
    """Requests in unusual forms."""

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        connection = self.connect()
        one = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
        connection.send(b"".join(one % (n, b"x" * n) for n in (1, 2, 3)))
        self.settle()
        self.assertEqual([each.body for each in connection.answers()], [b"1", b"2", b"3"])

    def test_forms_are_not_parsed(self) -> None:
        connection = self.connect()
        form = "Content-Type: application/x-www-form-urlencoded"
        connection.ask("POST /", form, body=b"a=b")
        connection.ask("POST /", "Content-Type: multipart/form-data", body=b"a=b")
        self.assertEqual([each.body for each in connection.answers()], [b"3", b"3"])
        self.assertEqual(self.echo.fields, [])

    def test_a_malformed_request_is_refused_and_its_connection_closed(self) -> None:
        for data in (
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\r\n",
            b"GET / HTTP/1.1\r\nno header\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: identity\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length:" + b"0" * 4_999 + b"1\r\n\r\n",
        ):
            connection = self.connect()
            connection.send(data)
            self.settle()
            self.assertFalse(connection.open, data[:40])
            self.assertEqual(connection.answer().code, 400, data[:40])
        self.assertEqual(self.echo.bodies, [])
