"""Connections that are kept: which are used again, for how long, and what if they are stale."""

from __future__ import annotations

from statusjob.server.delivery.poster import (
    DEADLINE,
    DISTRUST_SECONDS,
    GREATEST_AGE,
    KEEP_LIMIT,
    KEEP_SECONDS,
)
from tests.helpers.posting import ORIGIN, PostingTestCase
from tests.helpers.wires import NO_CONTENT

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class KeptTests(PostingTestCase):
    """Connections are kept for the next delivery."""

    def keep(self, answer: bytes = NO_CONTENT) -> None:
        """Make one post, after which the connection is kept if it may be."""
        posting = self.post()
        self.wire.answer(answer)
        self.successResultOf(posting)

    def test_the_next_post_to_the_origin_uses_a_kept_connection(self) -> None:
        for _ in range(3):
            self.keep(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(self.network.dialled, [ORIGIN])
        self.assertEqual(len(self.wire.sent()), 3)

    def test_a_connection_that_is_busy_or_leads_elsewhere_is_not_used(self) -> None:
        self.keep()
        other = "http://other.example:80"
        postings = [self.post(), self.post(), self.post(origin=other)]
        self.assertEqual(self.network.dialled, [ORIGIN, ORIGIN, other])
        for wire in self.network.wires:
            wire.answer()
        self.assertEqual([self.status(posting) for posting in postings], [204] * 3)

    def test_a_connection_that_may_not_be_used_again_is_not_kept(self) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            NO_CONTENT + NO_CONTENT,
            NO_CONTENT + b"more",
        ):
            self.keep(answer)
            self.assertFalse(self.wire.open, answer)

    def test_a_kept_connection_on_which_data_arrives_is_aborted(self) -> None:
        self.keep()
        self.wire.answer(NO_CONTENT)
        self.assertTrue(self.wire.aborted)
        self.keep()
        self.assertEqual(len(self.network.wires), 2)

    def test_a_connection_is_kept_for_a_moment_only(self) -> None:
        self.keep()
        self.clock.pump([KEEP_SECONDS / 4] * 3)
        self.assertTrue(self.wire.open)
        self.clock.pump([KEEP_SECONDS / 4] * 6)
        self.assertFalse(self.wire.open)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_at_most_so_many_connections_are_kept(self) -> None:
        postings = [self.post() for _ in range(KEEP_LIMIT + 3)]
        for wire in self.network.wires:
            wire.answer()
        for posting in postings:
            self.successResultOf(posting)
        self.assertEqual(sum(wire.open for wire in self.network.wires), KEEP_LIMIT)

    def test_a_stale_connection_is_replaced_and_the_request_sent_again(self) -> None:
        self.keep()
        stale = self.wire
        posting = self.post()
        stale.hang_up()
        self.assertEqual(len(self.network.wires), 2)
        self.assertEqual(self.wire.sent(), [stale.sent()[-1]])
        self.wire.answer()
        self.assertEqual(self.status(posting), 204)

    def test_a_request_is_sent_again_only_once(self) -> None:
        self.keep()
        posting = self.post()
        self.wire.hang_up()
        self.wire.hang_up()
        self.assertEqual(self.kind(posting), "connect")
        self.assertEqual(len(self.network.wires), 2)

    def test_a_request_that_is_sent_again_keeps_its_deadline(self) -> None:
        self.keep()
        posting = self.post()
        self.clock.advance(DEADLINE - 1)
        self.wire.hang_up()
        self.clock.advance(1)
        self.assertEqual(self.kind(posting), "timeout")

    def test_a_stop_closes_all_connections(self) -> None:
        self.keep()
        self.successResultOf(self.poster.stop())
        self.assertFalse(self.wire.open)


class UncleanTests(PostingTestCase):
    """Connections whose answers were not HTTP to the letter, or not over."""

    def exchange(self, answer: bytes) -> None:
        posting = self.post()
        self.wire.answer(answer)
        self.clock.advance(1)
        self.status(posting)

    def test_after_an_answer_without_body_that_states_a_length_it_is_not_used_again(self) -> None:
        for answer in (
            b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\n" + NO_CONTENT,
        ):
            self.exchange(answer)
            self.assertTrue(self.wire.aborted, answer)

    def test_the_length_of_an_earlier_answer_does_not_count(self) -> None:
        self.exchange(OK)
        self.exchange(NO_CONTENT)
        self.assertTrue(self.wire.open)

    def test_after_an_answer_that_is_not_http_to_the_letter_it_is_not_used_again(self) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        ):
            self.exchange(answer)
            self.assertTrue(self.wire.aborted, answer)


class DistrustTests(PostingTestCase):
    """A kept connection brings no answer."""

    def keep(self, origin: str = ORIGIN) -> None:
        posting = self.post(origin=origin)
        self.wire.answer(OK)
        self.status(posting)

    def test_what_is_left_of_an_earlier_answer_costs_no_attempt(self) -> None:
        for rest in (b"null", b"HTTP/1.1 ", b"\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n"):
            self.setUp()
            self.keep()
            stale, posting = self.wire, self.post()
            stale.answer(rest)
            stale.hang_up()
            self.assertEqual(len(self.network.wires), 2, rest)
            self.assertEqual(self.wire.sent(), [stale.sent()[-1]])
            self.wire.answer(OK)
            self.assertEqual(self.status(posting), 200)

    def test_a_408_on_a_new_connection_is_an_answer(self) -> None:
        posting = self.post()
        self.wire.answer(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.status(posting), 408)

    def test_its_origin_keeps_no_connections_for_ten_minutes(self) -> None:
        self.keep()
        postings = [self.post() for _ in range(2)]
        self.network.wires[0].hang_up()
        for wire in self.network.wires:
            wire.answer(OK)
        self.assertEqual([self.status(posting) for posting in postings], [200, 200])
        self.assertFalse(any(wire.open for wire in self.network.wires))
        self.keep("http://other.example:80")
        self.assertTrue(self.wire.open)
        self.clock.advance(DISTRUST_SECONDS - 1)
        self.keep()
        self.assertFalse(self.wire.open)
        self.clock.advance(1)
        self.keep()
        self.assertTrue(self.wire.open)
        self.assertEqual(DISTRUST_SECONDS, 600)

    def test_its_other_idle_connections_are_closed(self) -> None:
        postings = [self.post() for _ in range(3)]
        for wire in self.network.wires:
            wire.answer(OK)
        self.assertEqual([self.status(posting) for posting in postings], [200] * 3)
        posting = self.post()
        self.network.wires[2].hang_up()
        self.assertEqual([wire.open for wire in self.network.wires], [False] * 3 + [True])
        self.wire.answer(OK)
        self.status(posting)

    def test_a_replacement_that_brings_no_answer_either_is_a_failure(self) -> None:
        self.keep()
        posting = self.post()
        self.wire.answer(b"null")
        self.wire.answer(b"null")
        self.assertEqual(self.kind(posting), "connect")


class AgeTests(PostingTestCase):
    """A connection lives for a minute at most, so that a name that leads elsewhere is followed."""

    def test_a_connection_that_is_used_again_and_again_is_replaced_in_time(self) -> None:
        for _ in range(100):
            posting = self.post()
            self.wire.answer(OK)
            self.status(posting)
            self.clock.advance(0.9)
        self.assertEqual(len(self.network.wires), 2)
        self.assertLessEqual(GREATEST_AGE + DEADLINE, 60)
