"""A process that is stopped while a final report is on its way."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock

from statusjob import RetriesExhausted, Unreachable
from statusjob.client.work.retries import STOP_GRACE
from tests.helpers.running import RunTestCase
from tests.helpers.scripted_server import hang_up, hold


class StoppableClock(MemoryReactorClock):
    """A clock that can be stopped as a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Any] = []

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Any, *args: object, **kw: object
    ) -> Any:
        assert (phase, eventType) == ("before", "shutdown")
        self.before.append(callable)
        return callable

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        self.before.remove(triggerID)

    def begin_to_stop(self) -> Deferred[None]:
        """Fire what waits for the stop; return the Deferred that the stop waits for."""
        (trigger,) = self.before
        self.before.clear()
        waiting: Deferred[None] = trigger()
        return waiting


class StoppingTests(RunTestCase):
    """In memory."""

    clock: Any
    make_clock = StoppableClock

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(lambda: self.assertEqual(self.clock.before, []))

    def test_a_report_that_waits_for_its_next_try_is_sent_at_once(self) -> None:
        done = self.run_job()
        self.server.then(*[hang_up] * 5)
        self.work.callback("precious")
        self.server.pass_time(40)
        stopping = self.clock.begin_to_stop()
        self.server.settle()
        self.successResultOf(done)
        self.successResultOf(stopping)

    def test_if_that_fails_the_output_is_on_the_error(self) -> None:
        done = self.run_job()
        self.server.then(*[hang_up] * 6)
        self.work.callback("precious")
        self.server.pass_time(40)
        stopping = self.clock.begin_to_stop()
        self.server.settle()
        self.assertEqual(self.failureResultOf(done, RetriesExhausted).value.output, "precious")
        self.successResultOf(stopping)

    def test_a_report_that_is_not_answered_delays_the_stop_for_some_seconds(self) -> None:
        done = self.run_job(request_timeout=100)
        self.server.then(hold)
        self.work.callback("precious")
        stopping = self.clock.begin_to_stop()
        self.server.pass_time(STOP_GRACE - 1)
        self.assertNoResult(stopping)
        self.server.pass_time(1)
        error = self.failureResultOf(done, RetriesExhausted).value
        self.assertIsInstance(error.__cause__, Unreachable)
        self.assertEqual(error.output, "precious")
        self.successResultOf(stopping)

    def test_a_progress_report_that_is_not_answered_delays_the_stop_no_longer(self) -> None:
        done = self.run_job(request_timeout=100)
        self.server.then(hold)
        self.job.progress(0.5)
        self.server.pass_time(1)
        self.work.callback("precious")
        stopping = self.clock.begin_to_stop()
        self.server.pass_time(STOP_GRACE)
        self.assertEqual(self.failureResultOf(done, RetriesExhausted).value.output, "precious")
        self.successResultOf(stopping)

    def test_a_run_that_is_cancelled_during_the_stop_does_not_delay_it(self) -> None:
        done = self.run_job(request_timeout=100)
        self.server.then(hold)
        self.work.callback("precious")
        stopping = self.clock.begin_to_stop()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.successResultOf(stopping)

    def test_nothing_waits_for_the_stop_after_the_end(self) -> None:
        done = self.run_job()
        self.assertEqual(self.clock.before, [])
        self.work.callback("precious")
        self.successResultOf(done)
        self.assertEqual(self.clock.before, [])
