"""One alarm: when it wakes, what wakes it earlier, and what happens when its work fails."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.alarms import LONGEST_SLEEP, RETRY_SLEEP, Alarm
from statusjob.server.store.interface import StoreBusy
from tests.helpers.servers import EPOCH


class AlarmTests(SynchronousTestCase):
    """An alarm whose work only notes when it was done."""

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

    def test_it_does_its_work_at_the_start(self) -> None:
        self.start()
        self.assertEqual(self.rang, [0])

    def test_it_does_it_again_when_the_work_said_and_not_before(self) -> None:
        self.answers = [EPOCH + 5]
        self.start()
        self.clock.advance(5)
        self.assertEqual(self.rang, [0])
        self.clock.advance(0.001)
        self.assertEqual(self.rang, [0, 5.001])

    def test_it_never_sleeps_longer_than_its_longest_sleep(self) -> None:
        self.answers = [None, EPOCH + 1e6]
        self.start()
        self.advance(100)
        self.assertEqual(self.rang, [0, 30, 60, 90])

    def test_work_that_left_something_is_done_again_but_yields_between(self) -> None:
        self.answers = [EPOCH - 10, EPOCH, None]
        self.start()
        self.assertEqual(self.rang, [0])
        self.clock.pump([0.002, 0.002])
        self.assertEqual(self.rang, [0, 0.002, 0.004])
        self.advance(29)
        self.assertEqual(len(self.rang), 3)

    def test_it_wakes_earlier_when_told_to(self) -> None:
        self.start()
        self.alarm.set(EPOCH + 7)
        self.alarm.set(EPOCH + 3)
        self.alarm.set(EPOCH + 20)
        self.advance(3.5)
        self.assertEqual(self.rang, [0, 3.5])

    def test_it_wakes_at_once_when_told_of_the_past(self) -> None:
        self.start()
        self.alarm.set(EPOCH - 3)
        self.clock.advance(0)
        self.assertEqual(self.rang, [0, 0])

    def test_what_it_is_told_while_working_is_not_forgotten(self) -> None:
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

    def test_it_never_does_its_work_twice_at_once(self) -> None:
        working: Deferred[float | None] = Deferred()
        self.answers = [working]
        self.start()
        self.alarm.set(EPOCH)
        self.advance(120)
        self.assertEqual(self.rang, [0])
        working.callback(None)
        self.advance(0.5)
        self.assertEqual(self.rang, [0, 120.5])

    def test_a_store_that_is_unavailable_is_asked_again(self) -> None:
        self.answers = [StoreBusy("too much"), StoreBusy("too much"), None]
        self.start()
        self.advance(2 * RETRY_SLEEP + 1)
        self.assertEqual(len(self.rang), 3)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_work_that_fails_is_logged_and_tried_again(self) -> None:
        self.answers = [ValueError("broken"), None]
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.advance(RETRY_SLEEP + 0.5)
        self.assertEqual(len(self.rang), 2)

    def test_a_clock_that_is_set_forwards_is_noticed(self) -> None:
        self.answers = [EPOCH + 3600, None]
        self.start()
        self.clock.rightNow += 7200
        # The reactor itself sleeps no longer than to the next call.
        self.clock.advance(0)
        self.assertEqual(self.rang, [0, 7200])

    def test_a_clock_that_is_set_backwards_delays_nothing_that_is_new(self) -> None:
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

    def test_stopping_waits_for_work_that_is_being_done(self) -> None:
        working: Deferred[float | None] = Deferred()
        self.answers = [working]
        self.start()
        stopping = Deferred.fromCoroutine(self.alarm.stop())
        self.assertNoResult(stopping)
        working.callback(EPOCH + 1)
        self.successResultOf(stopping)
        self.advance(LONGEST_SLEEP)
        self.assertEqual((self.rang, self.clock.getDelayedCalls()), ([0], []))

    def test_before_its_start_it_cannot_be_woken(self) -> None:
        self.alarm.set(EPOCH)
        self.assertEqual(self.clock.getDelayedCalls(), [])
