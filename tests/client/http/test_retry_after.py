"""How a client follows C{Retry-After}, in memory on a clock."""

from __future__ import annotations

from email.utils import formatdate

from twisted.web.http_headers import Headers

from statusjob.client.http.exchange import Answer
from statusjob.client.http.session import Session
from tests.helpers.scripted_server import (
    COMPLETED,
    PENDING,
    Answering,
    ClientTestCase,
    answer,
    problem,
    status,
)


class RetryAfterTests(ClientTestCase):
    """How long a client waits after an answer with C{Retry-After}."""

    def wait_for(self, first: Answering) -> float:
        """Return how many seconds the client waits after this answer."""
        self.serve(first, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(4000, step=0.5)
        self.successResultOf(monitored)
        return self.waits()[0]

    def test_a_number_of_seconds_is_a_minimum(self) -> None:
        self.assertEqual(self.wait_for(status("pending", Retry_After="9")), 9)
        for less in ("0", "1"):
            self.assertEqual(self.wait_for(status("pending", Retry_After=less)), 2)

    def test_the_wait_may_exceed_the_longest_interval(self) -> None:
        self.assertEqual(self.wait_for(status("pending", Retry_After="90")), 90)

    def test_a_date_is_compared_with_the_servers_clock(self) -> None:
        then = formatdate(1_000_000_045, usegmt=True)
        now = formatdate(1_000_000_000, usegmt=True)
        self.assertEqual(self.wait_for(status("pending", Retry_After=then, Date=now)), 45)

    def test_without_the_servers_clock_a_date_is_compared_with_the_wall_clock(self) -> None:
        self.serve()
        session = Session(
            "http://example.test",
            token=None,
            request_timeout=10,
            reactor=self.clock,
            treq=self.server.stub,
            now=lambda: 1_000_000_000.0,
        )
        then = formatdate(1_000_000_045, usegmt=True)
        busy = Answer(503, Headers({"Retry-After": [then]}), b"")
        self.assertEqual(session.retry_after(busy), 45)

    def test_a_date_in_the_past_is_no_minimum(self) -> None:
        past = formatdate(self.clock.seconds() - 1000, usegmt=True)
        self.assertEqual(self.wait_for(status("pending", Retry_After=past)), 2)

    def test_a_malformed_value_is_ignored(self) -> None:
        for garbage in ("", "soon", "-7", "nan", "1e9", "Sun, 99 Nov 1994 08:49:37 GMT"):
            self.assertEqual(self.wait_for(status("pending", Retry_After=garbage)), 2, garbage)

    def test_a_wait_is_at_most_an_hour(self) -> None:
        for absurd in ("1000000000", "9" * 400):
            self.assertEqual(self.wait_for(status("pending", Retry_After=absurd)), 3600)

    def test_it_is_followed_when_the_server_is_busy(self) -> None:
        for code in (429, 503):
            self.assertEqual(self.wait_for(problem(code, "busy", Retry_After="45")), 45)

    def test_it_is_followed_when_nothing_has_changed(self) -> None:
        self.serve(PENDING, answer(304, Retry_After="20"), COMPLETED)
        self.client().start_monitoring()
        self.server.pass_time(60)
        self.assertEqual(self.waits(), [2, 20])
