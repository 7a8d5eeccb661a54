"""Requests that a client sends without waiting for answers take turns with those of others."""

from __future__ import annotations

from typing import Any

from statusjob.server.site.channels import CHUNKED_PIECE, READ_AHEAD
from statusjob.server.site.site import IDLE_SECONDS, REQUEST_SECONDS, TURNS_PER_ITERATION
from tests.helpers.bounded_site import BoundedSiteTestCase
from tests.helpers.connections import Connection

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


class PipeliningTests(BoundedSiteTestCase):
    """Requests that are answered synchronously, many of which come at once."""

    def iterate(self) -> None:
        """Let one iteration of the reactor pass: only the calls that are due already are made."""
        due: list[Any] = [
            call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()
        ]
        for call in due:
            function, arguments = call.func, call.args
            call.cancel()
            function(*arguments)

    def reading(self, connection: Connection) -> bool:
        return bool(connection.transport.producerState == "producing")

    def test_a_connection_has_one_request_answered_per_iteration_of_the_reactor(self) -> None:
        connection = self.connect()
        connection.send(GET * 100)
        for count in range(1, 100):
            self.assertEqual(len(self.echo.bodies), count)
            self.iterate()
        self.iterate()
        self.assertEqual(len(connection.answers()), 100)

    def test_all_connections_together_have_a_few_answered_per_iteration(self) -> None:
        crowd = [self.connect() for _ in range(10 * TURNS_PER_ITERATION)]
        for connection in crowd:
            connection.send(GET * 3)
        answered = len(crowd)
        for _ in range(20):
            self.assertEqual(len(self.echo.bodies), answered)
            self.iterate()
            answered += TURNS_PER_ITERATION
        self.assertEqual({len(connection.answers()) for connection in crowd}, {3})

    def test_a_client_that_waits_for_its_answer_is_answered_at_once(self) -> None:
        crowd = [self.connect() for _ in range(10 * TURNS_PER_ITERATION)]
        for connection in crowd:
            connection.send(GET * 9)
        patient = self.connect()
        for _ in range(3):
            patient.send(GET)
            self.assertEqual(patient.answer().code, 200)

    def test_a_client_that_does_not_read_has_no_more_requests_answered(self) -> None:
        connection = self.connect()
        connection.send(GET * 100)
        connection.protocol.pauseProducing()
        self.settle()
        self.assertEqual(len(self.echo.bodies), 1)
        connection.protocol.resumeProducing()
        self.settle()
        self.assertEqual(len(connection.answers()), 100)

    def test_no_more_is_read_while_much_waits(self) -> None:
        connection = self.connect()
        many = 2 * READ_AHEAD // len(GET)
        connection.send(GET * many)
        self.assertFalse(self.reading(connection))
        # What the transport says of writing must not make it read.
        connection.protocol.pauseProducing()
        connection.protocol.resumeProducing()
        self.assertFalse(self.reading(connection))
        self.settle()
        self.assertTrue(self.reading(connection))
        self.assertEqual(len(connection.answers()), many)

    def test_no_more_is_read_while_much_waits_behind_a_request_that_takes_time(self) -> None:
        connection = self.connect()
        connection.send(HELD * (3 * READ_AHEAD // len(HELD)))
        for _ in range(3):
            self.assertFalse(self.reading(connection))
            self.echo.finish()
            self.settle()
            self.assertEqual(len(self.echo.held), 1)
        connection.hang_up()

    def test_what_comes_after_the_last_answer_is_not_kept(self) -> None:
        connection = self.connect()
        connection.transport.stalled = True
        connection.ask("GET /", "Connection: close")
        connection.send(GET * 1_000)
        self.assertEqual(connection.protocol.waiting, 0)
        connection.transport.abortConnection()

    def test_a_request_in_pieces_behind_others_is_put_together(self) -> None:
        connection = self.connect()
        for byte in GET * 3 + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + GET:
            connection.send(bytes([byte]))
        self.settle()
        connection.send(GET * 2 + GET[:10])
        connection.send(GET[10:] + CHUNKED)
        connection.send(b"3\r\nabc\r\n0\r\n\r\n" + GET)
        self.settle()
        bodies = [each.body for each in connection.answers()]
        self.assertEqual(bodies, [b"0", b"0", b"0", b"3", b"0"] * 2)

    def test_requests_behind_one_that_takes_time_are_answered_after_it(self) -> None:
        connection = self.connect()
        connection.send(HELD + GET * 2 + HELD + GET)
        connection.send(GET)
        self.settle()
        self.assertEqual(connection.received(), b"")
        self.echo.finish()
        self.settle()
        self.assertEqual([each.body for each in connection.answers()], [b"done", b"0", b"0"])
        self.echo.finish()
        self.settle()
        self.assertEqual([each.body for each in connection.answers()], [b"done", b"0", b"0"])

    def test_time_in_which_requests_wait_for_a_turn_is_not_the_clients(self) -> None:
        connection = self.connect()
        connection.send(GET * 3)
        self.iterate()
        self.assertIsNone(connection.protocol.receiving_since)
        self.clock.advance(IDLE_SECONDS - 1)
        self.assertEqual(len(connection.answers()), 3)
        self.assertTrue(connection.open)

    def test_a_connection_that_is_lost_leaves_no_turn(self) -> None:
        for finish in (Connection.hang_up, lambda each: each.protocol.loseConnection()):
            connection = self.connect()
            connection.send(GET * 3)
            finish(connection)
            self.settle()
        self.assertEqual(len(self.echo.bodies), 2)

    def test_what_follows_the_last_request_of_a_connection_is_ignored(self) -> None:
        connection = self.connect()
        connection.send(GET + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET * 5)
        connection.send(GET)
        self.settle()
        self.assertEqual((len(connection.answers()), connection.open), (2, False))


class ChunkTests(BoundedSiteTestCase):
    """A chunked body may be thousands of chunks of one byte each."""

    ONE = b"1\r\nx\r\n"

    def test_only_a_piece_of_a_chunked_body_is_parsed_at_once(self) -> None:
        received: list[int] = []
        self.patch(self.site.bodies, "add", lambda _, size: received.append(size))
        connection = self.connect()
        count = 10 * CHUNKED_PIECE
        connection.send(CHUNKED + self.ONE * count)
        self.assertLess(len(received), CHUNKED_PIECE)
        connection.send(b"0\r\n\r\n" + GET)
        self.assertLess(len(received), CHUNKED_PIECE)
        self.settle()
        bodies = [each.body for each in connection.answers()]
        self.assertEqual(bodies, [b"%d" % count, b"0"])

    def test_what_follows_a_body_waits_while_that_is_answered(self) -> None:
        connection = self.connect()
        body = self.ONE * CHUNKED_PIECE + b"0\r\n\r\n"
        connection.send(CHUNKED.replace(b"/", b"/held", 1) + body + GET * CHUNKED_PIECE)
        self.settle()
        self.assertEqual(connection.received(), b"")
        self.echo.finish()
        self.settle()
        self.assertEqual(len(connection.answers()), 1 + CHUNKED_PIECE)

    def test_a_small_chunked_body_is_parsed_at_once(self) -> None:
        connection = self.connect()
        connection.send(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")
        self.assertEqual(connection.answer().body, b"3")

    def test_a_chunked_body_that_comes_byte_by_byte_is_aborted(self) -> None:
        connection = self.connect()
        connection.send(CHUNKED + self.ONE * CHUNKED_PIECE)
        self.settle()
        self.pass_time(REQUEST_SECONDS - 1)
        connection.send(self.ONE * CHUNKED_PIECE)
        self.pass_time(10)
        self.assertTrue(connection.aborted)
