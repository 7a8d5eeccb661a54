"""How a server's word on when to ask again is heeded, in memory on a clock."""

from __future__ import annotations

from email.utils import formatdate

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
    """How the server's word is heeded."""

    def wait_for(self, first: Answering) -> float:
        """How long is waited after this answer."""
        self.serve(first, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(4000, step=0.5)
        self.successResultOf(monitored)
        return self.waits()[0]

    def test_seconds_are_a_floor(self) -> None:
        self.assertEqual(self.wait_for(status("pending", Retry_After="9")), 9)
        for less in ("0", "1"):
            self.assertEqual(self.wait_for(status("pending", Retry_After=less)), 2)

    def test_it_may_exceed_the_longest_interval(self) -> None:
        self.assertEqual(self.wait_for(status("pending", Retry_After="90")), 90)

    def test_a_date_is_read_by_the_servers_clock(self) -> None:
        then = formatdate(1_000_000_045, usegmt=True)
        now = formatdate(1_000_000_000, usegmt=True)
        self.assertEqual(self.wait_for(status("pending", Retry_After=then, Date=now)), 45)

    def test_a_date_in_the_past_means_no_floor(self) -> None:
        past = formatdate(self.clock.seconds() - 1000, usegmt=True)
        self.assertEqual(self.wait_for(status("pending", Retry_After=past)), 2)

    def test_garbage_and_the_absurd_do_no_harm(self) -> None:
        for garbage in ("", "soon", "-7", "nan", "1e9", "Sun, 99 Nov 1994 08:49:37 GMT"):
            self.assertEqual(self.wait_for(status("pending", Retry_After=garbage)), 2, garbage)

    def test_the_absurdly_long_is_cut(self) -> None:
        for absurd in ("1000000000", "9" * 400):
            self.assertEqual(self.wait_for(status("pending", Retry_After=absurd)), 3600)

    def test_it_counts_when_the_server_is_busy(self) -> None:
        for code in (429, 503):
            self.assertEqual(self.wait_for(problem(code, "busy", Retry_After="45")), 45)

    def test_it_counts_when_nothing_has_changed(self) -> None:
        self.serve(PENDING, answer(304, Retry_After="20"), COMPLETED)
        self.client().start_monitoring()
        self.server.pass_time(60)
        self.assertEqual(self.waits(), [2, 20])
