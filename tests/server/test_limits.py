"""Limits that are reached are counted, and logged at a bounded rate."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.limits import LIMITS, LOG_SECONDS, Limits
from statusjob.server.store.outage import CALM_SECONDS, Outage


class LimitTests(SynchronousTestCase):
    """The limits of one server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = Limits(self.clock)

    def note(self, name: str, count: int) -> list[int]:
        """Reach a limit so many times; the counts that are logged."""
        with capturedLogs() as logs:
            for _ in range(count):
                self.limits.note(name)
        return [event["count"] for event in logs if event["what"] == LIMITS[name]]

    def test_the_first_time_is_logged_and_then_once_a_minute(self) -> None:
        self.assertEqual(self.note("bodies", 1_000), [1])
        self.clock.advance(LOG_SECONDS - 1)
        self.assertEqual(self.note("bodies", 5), [])
        self.clock.advance(1)
        self.assertEqual(self.note("bodies", 5), [1_005])
        self.assertEqual(self.limits.reached, {"bodies": 1_010})

    def test_each_limit_is_logged_by_itself(self) -> None:
        for name in LIMITS:
            self.assertEqual(self.note(name, 2), [1])
        self.assertEqual(self.limits.reached, dict.fromkeys(LIMITS, 2))

    def test_a_clock_that_is_set_back_silences_nothing(self) -> None:
        self.clock.advance(1_000_000)
        self.note("bodies", 1)
        self.clock.rightNow = 0
        self.assertEqual(self.note("bodies", 1), [1])


class OutageTests(SynchronousTestCase):
    """A database that fails, and works again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.outage = Outage("writing", self.clock.seconds)

    def test_the_beginning_and_the_end_are_logged_once(self) -> None:
        with capturedLogs() as logs:
            for _ in range(100):
                self.outage.note_failure(OSError("no room"))
                self.outage.note_success()
                self.clock.advance(1)
            self.clock.advance(CALM_SECONDS)
            for _ in range(100):
                self.outage.note_success()
        formats = [(event["log_level"].name, event["log_format"]) for event in logs]
        self.assertEqual(
            formats,
            [
                ("error", "{what} fails: {error}"),
                ("info", "{what} works again, after {failures} failures"),
            ],
        )
        self.assertEqual(logs[1]["failures"], 100)

    def test_a_second_outage_is_logged_again(self) -> None:
        for _ in range(2):
            with capturedLogs() as logs:
                self.outage.note_failure(OSError("no room"))
                self.clock.advance(CALM_SECONDS)
                self.outage.note_success()
            self.assertEqual(len(logs), 2)
