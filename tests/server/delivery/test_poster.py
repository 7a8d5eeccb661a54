"""The poster: one request within one deadline, and connections that are kept."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IReactorTime

from statusjob.failures import ExchangeFailed
from statusjob.server.delivery.answer import ReceiverAnswer
from statusjob.server.delivery.connection import ANSWER_BODY_LIMIT, WIRE_LIMIT
from statusjob.server.delivery.poster import (
    BODY_GRACE,
    DEADLINE,
    Poster,
    Target,
)
from tests.helpers.posting import HEAD, ORIGIN, PostingTestCase


class PostTests(PostingTestCase):
    """One request."""

    def test_a_post_sends_the_request_and_reads_the_status(self) -> None:
        posting = self.post(b'{"result":"completed"}')
        (sent,) = self.wire.sent()
        self.assertEqual(sent.line, "POST /hook")
        self.assertEqual(
            sent.headers,
            {"host": "receiver.example", "webhook-id": "msg_1", "content-length": "22"},
        )
        self.assertEqual(sent.body, b'{"result":"completed"}')
        self.assertNoResult(posting)
        self.wire.answer()
        self.assertEqual(self.status(posting), 204)

    def test_an_answer_may_come_in_pieces_of_any_size(self) -> None:
        answer = (
            b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\n\r\n"
        )
        for size in (1, 2, 7, len(answer)):
            posting = self.post()
            for begin in range(0, len(answer), size):
                self.wire.answer(answer[begin : begin + size])
            self.assertEqual(
                self.successResultOf(posting), ReceiverAnswer(503, {b"retry-after": b"7"})
            )
            self.assertTrue(self.wire.open)
        self.assertEqual(len(self.network.wires), 1)

    def test_interim_answers_are_skipped(self) -> None:
        posting = self.post()
        self.wire.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.wire.answer(b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n")
        self.assertNoResult(posting)
        self.wire.answer(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.successResultOf(posting), ReceiverAnswer(500, {}))

    def test_a_post_without_a_connection_fails_with_the_kind_of_failure(self) -> None:
        self.network.refusal = ConnectionRefusedError()
        self.assertEqual(self.kind(self.post()), "connect")
        self.network.refusal = ExchangeFailed("blocked", "address not allowed")
        self.assertEqual(self.kind(self.post()), "blocked")

    def test_an_exception_while_dialling_is_passed_on(self) -> None:
        def broken(origin: str) -> Any:
            raise KeyError(origin)

        poster = Poster(cast(IReactorTime, self.clock), broken)
        posting = poster.post(Target(ORIGIN, HEAD), b"", b"")
        self.failureResultOf(posting, KeyError)

    def test_one_deadline_covers_the_connection_and_the_answer(self) -> None:
        self.network.holding = True
        posting = self.post()
        self.clock.advance(DEADLINE - 5)
        self.network.let_connect()
        self.assertEqual(len(self.wire.sent()), 1)
        self.wire.answer(b"HTTP/1.1 2")
        self.clock.advance(4.9)
        self.assertNoResult(posting)
        self.clock.advance(0.2)
        self.assertEqual(self.kind(posting), "timeout")
        self.assertTrue(self.wire.aborted)

    def test_a_post_that_ends_while_connecting_leaves_no_connection(self) -> None:
        self.network.holding = True
        late, cancelled = self.post(), self.post()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.clock.advance(DEADLINE)
        self.assertEqual(self.kind(late), "timeout")
        self.assertEqual([waiting.called for _, waiting in self.network.held], [True, True])

    def test_a_post_that_is_cancelled_aborts_its_connection(self) -> None:
        posting = self.post()
        posting.cancel()
        self.failureResultOf(posting, CancelledError)
        self.assertTrue(self.wire.aborted)

    def test_a_connection_that_ends_without_an_answer_is_a_failure(self) -> None:
        for data in (b"", b"HTTP/1.1 200", b"HTTP/1.1 100 Continue\r\n\r\n"):
            posting = self.post()
            self.wire.answer(data) if data else None
            self.wire.hang_up()
            self.assertEqual(self.kind(posting), "connect")

    def test_an_answer_that_is_not_http_is_a_failure(self) -> None:
        for data in (
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x16\x03\x01\x02",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1" + b" " * 99,
            b"HTTP/3.14 200 OK\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n200 OK\r\n\r\n",
        ):
            posting = self.post()
            self.wire.answer(data)
            self.assertEqual(self.kind(posting), "connect", data)
            self.assertTrue(self.wire.aborted)

    def test_switching_protocols_is_a_failure(self) -> None:
        posting = self.post()
        self.wire.answer(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n1234")
        self.assertEqual(self.kind(posting), "connect")

    def test_interim_answers_without_end_are_a_failure(self) -> None:
        posting = self.post()
        more = b"HTTP/1.1 100 Continue\r\n\r\n" * 150
        for _ in range(WIRE_LIMIT // len(more) + 1):
            self.wire.answer(more)
        self.assertEqual(self.kind(posting), "too-big")
        self.assertTrue(self.wire.aborted)


class LegibleTests(PostingTestCase):
    """A legible status line decides, whatever follows it."""

    def test_a_status_line_counts_whatever_rules_the_answer_breaks(self) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX\x00: \xff\r\n\r\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.1  \t200 \xe4\r\n\r\n",
            b"http/1.1 200 ok\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/9.9 200 OK\r\n\r\n",
            b"\r\nHTTP/1.1 200 OK\n\n",
            b"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\n\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ):
            for size in (1, 3, len(answer)):
                posting = self.post()
                wire = self.wire
                for begin in range(0, len(answer), size):
                    wire.answer(answer[begin : begin + size])
                self.clock.advance(BODY_GRACE)
                self.assertEqual(self.status(posting), 200, answer)
                self.assertFalse(wire.open)

    def test_a_status_line_counts_although_the_headers_break_off(self) -> None:
        for end in (self.wire_hangs_up, lambda: self.clock.advance(DEADLINE)):
            posting = self.post()
            self.wire.answer(b"HTTP/1.1 201 Made\r\nContent-Le")
            end()
            self.assertEqual(self.status(posting), 201)

    def wire_hangs_up(self) -> None:
        self.wire.hang_up()

    def test_a_status_line_counts_although_the_headers_have_no_end(self) -> None:
        for first, more in (
            (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096),
            (b"HTTP/1.1 200 OK\n", b"X: y\n" * 700),
        ):
            posting = self.post()
            self.wire.answer(first)
            for _ in range(WIRE_LIMIT // len(more) + 1):
                self.wire.answer(more)
            self.assertEqual(self.status(posting), 200)
            self.assertTrue(self.wire.aborted)

    def test_what_such_an_answer_asks_for_is_read(self) -> None:
        posting = self.post()
        self.wire.answer(b"HTTP/1.1 429 Slow\nretry-AFTER:  7 \nDate: now\nX-Date: y\n\n")
        self.assertEqual(
            self.successResultOf(posting),
            ReceiverAnswer(429, {b"retry-after": b"7", b"date": b"now"}),
        )


class BodyTests(PostingTestCase):
    """The status decides, and little of the body is read."""

    def test_a_body_that_does_not_end_is_read_for_a_moment(self) -> None:
        for head in (b"", b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n"):
            posting = self.post()
            self.wire.answer(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
            self.clock.advance(BODY_GRACE - 0.1)
            self.assertNoResult(posting)
            self.clock.advance(0.2)
            self.assertEqual(self.status(posting), 200)
            self.assertTrue(self.wire.aborted)

    def test_a_long_body_aborts_the_connection_at_once(self) -> None:
        posting = self.post()
        self.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        self.wire.answer(b"x" * (ANSWER_BODY_LIMIT + 1))
        self.assertEqual(self.status(posting), 200)
        self.assertTrue(self.wire.aborted)

    def test_the_status_counts_although_the_body_breaks_off_or_is_garbage(self) -> None:
        for end in (self.hang_up, self.garble):
            posting = self.post()
            self.wire.answer(b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
            end()
            self.assertEqual(self.status(posting), 201)

    def hang_up(self) -> None:
        self.wire.hang_up()

    def garble(self) -> None:
        self.wire.answer(b"cdeXXXX\r\nnonsense")

    @given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
    def test_whatever_arrives_the_post_ends_once_and_leaves_nothing(
        self, pieces: list[bytes], headed: bool
    ) -> None:
        posting = self.post()
        wire = self.network.wires[-1]
        if headed:
            wire.answer(b"HTTP/1.1 200 OK\r\n")
        for piece in pieces:
            wire.answer(piece)
        self.clock.advance(DEADLINE + 1)
        results: list[Any] = []
        posting.addBoth(results.append)
        self.assertEqual(len(results), 1)
