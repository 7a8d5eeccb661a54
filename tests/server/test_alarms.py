"""Alarms: when one wakes, what wakes it earlier, and what happens when its work fails."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.alarms import LOG_SECONDS, LONGEST_SLEEP, RETRY_SLEEP, Alarm
from statusjob.server.store.interface import StoreBusy
from tests.helpers.servers import EPOCH


class AlarmTests(SynchronousTestCase):
    """An alarm whose work only records when it is done."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = EPOCH
        self.rang: list[float] = []
        self.answers: list[float | Exception | Deferred[float | None] | None] = []
        self.alarm = Alarm(cast(IReactorTime, self.clock), "test", self.work)

    def work(self) -> Awaitable[float | None]:
        self.rang.append(round(self.clock.seconds() - EPOCH, 3))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Deferred):
            return answer
        if isinstance(answer, Exception):
            raise answer
        return succeed(answer)

    def start(self) -> None:
        self.alarm.start()
        self.clock.advance(0)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        self.clock.pump([step] * round(seconds / step))

    def test_the_work_is_done_at_the_start(self) -> None:
        self.start()
        self.assertEqual(self.rang, [0])

    def test_the_work_is_done_again_when_it_is_due_and_not_before(self) -> None:
        self.answers = [EPOCH + 5]
        self.start()
        self.clock.advance(5)
        self.assertEqual(self.rang, [0])
        self.clock.advance(0.001)
        self.assertEqual(self.rang, [0, 5.001])

    def test_an_alarm_never_sleeps_longer_than_its_longest_sleep(self) -> None:
        self.answers = [None, EPOCH + 1e6]
        self.start()
        self.advance(100)
        self.assertEqual(self.rang, [0, 30, 60, 90])

    def test_work_that_is_due_in_the_past_is_done_again_after_other_events(self) -> None:
        self.answers = [EPOCH - 10, EPOCH, None]
        self.start()
        self.assertEqual(self.rang, [0])
        self.clock.pump([0.002, 0.002])
        self.assertEqual(self.rang, [0, 0.002, 0.004])
        self.advance(29)
        self.assertEqual(len(self.rang), 3)

    def test_an_alarm_can_be_set_to_an_earlier_time(self) -> None:
        self.start()
        self.alarm.set(EPOCH + 7)
        self.alarm.set(EPOCH + 3)
        self.alarm.set(EPOCH + 20)
        self.advance(3.5)
        self.assertEqual(self.rang, [0, 3.5])

    def test_an_alarm_that_is_set_to_the_past_wakes_at_once(self) -> None:
        self.start()
        self.alarm.set(EPOCH - 3)
        self.clock.advance(0)
        self.assertEqual(self.rang, [0, 0])

    def test_a_time_that_is_set_during_the_work_is_not_forgotten(self) -> None:
        working: Deferred[float | None] = Deferred()
        self.answers = [working]
        self.start()
        self.alarm.set(EPOCH + 9)
        self.alarm.set(EPOCH + 4)
        self.alarm.set(EPOCH + 6)
        self.clock.advance(1)
        working.callback(EPOCH + 8)
        self.advance(3.5)
        self.assertEqual(self.rang, [0, 4.5])

    def test_the_work_is_never_done_twice_at_the_same_time(self) -> None:
        working: Deferred[float | None] = Deferred()
        self.answers = [working]
        self.start()
        self.alarm.set(EPOCH)
        self.advance(120)
        self.assertEqual(self.rang, [0])
        working.callback(None)
        self.advance(0.5)
        self.assertEqual(self.rang, [0, 120.5])

    def test_work_is_done_again_soon_if_the_store_was_unavailable(self) -> None:
        self.answers = [StoreBusy("too much"), StoreBusy("too much"), None]
        self.start()
        self.advance(2 * RETRY_SLEEP + 1)
        self.assertEqual(len(self.rang), 3)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_work_that_fails_is_logged_and_done_again(self) -> None:
        self.answers = [ValueError("broken"), None]
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.advance(RETRY_SLEEP + 0.5)
        self.assertEqual(len(self.rang), 2)

    def test_work_that_fails_again_and_again_is_logged_once_a_minute(self) -> None:
        self.answers = [ValueError("broken")] * 300
        self.start()
        self.advance(LOG_SECONDS / 2, RETRY_SLEEP)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.advance(LOG_SECONDS, RETRY_SLEEP)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.answers = [None, ValueError("broken anew")]
        self.advance(LONGEST_SLEEP + 2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_clock_that_is_set_forward_is_noticed(self) -> None:
        self.answers = [EPOCH + 3600, None]
        self.start()
        self.clock.rightNow += 7200
        # The reactor itself sleeps no longer than to the next call.
        self.clock.advance(0)
        self.assertEqual(self.rang, [0, 7200])

    def test_a_clock_that_is_set_back_does_not_delay_later_work(self) -> None:
        self.start()
        self.clock.rightNow -= 3600
        self.alarm.set(self.clock.seconds() + 2)
        self.advance(2.5)
        self.assertEqual(self.rang, [0, -3597.5])

    def test_a_stopped_alarm_leaves_nothing_behind(self) -> None:
        self.start()
        self.successResultOf(Deferred.fromCoroutine(self.alarm.stop()))
        self.alarm.set(EPOCH)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stop_waits_for_work_that_is_being_done(self) -> None:
        working: Deferred[float | None] = Deferred()
        self.answers = [working]
        self.start()
        stopping = Deferred.fromCoroutine(self.alarm.stop())
        self.assertNoResult(stopping)
        working.callback(EPOCH + 1)
        self.successResultOf(stopping)
        self.advance(LONGEST_SLEEP)
        self.assertEqual((self.rang, self.clock.getDelayedCalls()), ([0], []))

    def test_an_alarm_that_was_not_started_cannot_be_set(self) -> None:
        self.alarm.set(EPOCH)
        self.assertEqual(self.clock.getDelayedCalls(), [])
