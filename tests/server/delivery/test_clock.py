"""Delivery when the machine's clock is set: all waits stay as long as they were."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.clock import use_monotonic_clock
from statusjob.server.alarms import LONGEST_SLEEP
from statusjob.server.store import origins
from statusjob.server.store.outbox_settle import Outcome
from tests.helpers.delivery import OK, REFUSED, SCHEDULE, DeliveryTestCase

HOUR = 3600.0


class StepTests(DeliveryTestCase):
    """The clock is set forward or back by an hour."""

    def fail_once(self) -> None:
        """Make a delivery whose first attempt fails."""
        self.sender.answers = lambda claim: REFUSED if claim.attempt == 1 else OK
        self.finish(self.job())
        self.rounds()
        self.assertEqual(len(self.sender.sent), 1)

    def test_a_retry_is_made_as_if_the_clock_had_not_been_set(self) -> None:
        for step in (-HOUR, HOUR):
            self.setUp()
            self.fail_once()
            self.box.ahead += step
            # Any event makes a round, such as the end of another job.
            self.finish(self.job("http://other.example/"))
            self.pump(SCHEDULE[1] - 1)
            self.assertEqual([claim.attempt for _, claim in self.sender.sent], [1, 1])
            self.pump(2)
            self.assertEqual(self.states(), ["delivered", "delivered"])

    def test_a_clock_that_is_set_back_is_noticed_soon_without_any_event(self) -> None:
        self.fail_once()
        self.box.ahead -= HOUR
        self.pump(SCHEDULE[1] + LONGEST_SLEEP + 1)
        self.assertEqual(self.states(), ["delivered"])

    def test_a_pause_lasts_as_long_as_if_the_clock_had_not_been_set(self) -> None:
        for step in (-HOUR, HOUR):
            self.setUp()
            self.sender.answers = lambda claim: Outcome("http", 503, retry_after=100)
            self.finish(self.job())
            self.rounds()
            self.sender.answers = lambda claim: OK
            self.box.ahead += step
            self.finish(self.job())
            self.pump(98)
            self.assertEqual(len(self.sender.sent), 1)
            self.pump(LONGEST_SLEEP + 2)
            self.assertEqual(self.states(), ["delivered", "delivered"])

    def test_an_attempt_that_is_under_way_is_settled(self) -> None:
        for step in (-HOUR, HOUR):
            self.setUp()
            self.sender.answers = lambda claim: None
            self.finish(self.job())
            self.rounds()
            self.box.ahead += step
            self.sender.under_way[0].callback(OK)
            self.rounds()
            self.assertEqual(self.states(), ["delivered"])

    def test_the_lease_on_the_origin_is_kept(self) -> None:
        self.fail_once()
        (before,) = self.column(self.box, "SELECT leased_until FROM origins")
        self.box.ahead += HOUR
        self.pump(LONGEST_SLEEP + 2)
        (after,) = self.column(self.box, "SELECT leased_until FROM origins")
        self.assertGreaterEqual(after, before + HOUR)
        self.assertEqual(
            self.column(self.box, "SELECT slots FROM origins"), [origins.MAX_SLOTS // 2 + 1]
        )


class TimersTests(SynchronousTestCase):
    """The timers of the reactor."""

    def test_timers_run_by_the_monotonic_clock(self) -> None:
        machine, steady, reactor = Clock(), Clock(), Clock()
        machine.rightNow, steady.rightNow = 1_700_000_000.0, 5_000.0
        self.patch(time, "monotonic", steady.seconds)
        self.patch(reactor, "seconds", machine.seconds)
        use_monotonic_clock(reactor)
        self.assertEqual(reactor.seconds(), 1_700_000_000.0)
        machine.advance(-3600)
        steady.advance(2)
        self.assertEqual(reactor.seconds(), 1_700_000_002.0)
