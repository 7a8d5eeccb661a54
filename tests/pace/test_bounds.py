"""The limits of a pace, its jitter and backoff, the herd, and C{Retry-After}."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.contract.http_dates import read_date, read_retry_after
from statusjob.pace.bounds import RETRY_AFTER_LIMIT, Pace, retry_after
from statusjob.pace.durations import Durations
from statusjob.pace.schedule import cold_rule

anything = st.floats(allow_nan=True, allow_infinity=True)
units = st.floats(0, 1)
intervals = st.floats(0.01, 100)


class BoundsTests(SynchronousTestCase):
    """What holds whatever the polling schedule says."""

    @given(anything, units, intervals, st.floats(1, 50))
    def test_no_wait_leaves_its_limits(
        self, age: float, draw: float, r: float, times: float
    ) -> None:
        wait = Pace(r, r * times).next_wait(age, draw=draw)
        self.assertTrue(r <= wait <= r * times, wait)

    @given(st.floats(0, 1e6), units, intervals)
    def test_jitter_adds_at_most_a_quarter_of_the_wait_and_half_of_the_request_cost(
        self, age: float, draw: float, r: float
    ) -> None:
        planned = cold_rule(age, r)
        wait = Pace(r, 1e9).next_wait(age, draw=draw)
        self.assertTrue(planned <= wait <= planned + min(planned / 4, r / 2) + 1e-9)

    @given(anything, anything, units)
    def test_no_retry_after_can_put_off_a_request_for_ever(
        self, asked: float, age: float, draw: float
    ) -> None:
        pace = Pace()
        for wait in (
            pace.next_wait(age, draw=draw, retry_after=asked),
            pace.backoff(3, draw=draw, retry_after=asked),
        ):
            self.assertTrue(2 <= wait <= RETRY_AFTER_LIMIT + 1, wait)
            if asked <= RETRY_AFTER_LIMIT:
                self.assertGreaterEqual(wait, asked)

    def test_only_a_retry_after_exceeds_the_longest_interval(self) -> None:
        self.assertEqual(Pace().next_wait(1e6, draw=0), 30)
        self.assertEqual(Pace().next_wait(1e6, draw=0, retry_after=90), 90)
        self.assertEqual(Pace().next_wait(1e6, draw=1, retry_after=90), 91)

    def test_at_the_longest_interval_the_jitter_goes_backward(self) -> None:
        self.assertEqual(Pace().next_wait(1e6, draw=1), 29)
        # Two thirds of the way there it turns back: 29.5, 30, 29.5.
        turning = Pace(schedule=lambda age: 29.5)
        self.assertEqual(
            [turning.next_wait(0, draw=draw) for draw in (0, 0.5, 1)], [29.5, 30, 29.5]
        )

    def test_between_equal_limits_there_is_no_jitter(self) -> None:
        self.assertEqual(Pace(2.0, 2.0).next_wait(50, draw=1), 2)

    def test_a_retry_after_does_not_shorten_a_wait(self) -> None:
        self.assertEqual(Pace().next_wait(32, draw=0, retry_after=1), 18)

    def test_every_schedule_stays_within_the_same_limits(self) -> None:
        self.assertEqual(Pace(schedule=lambda age: 12.5).next_wait(3, draw=0), 12.5)
        self.assertEqual(Pace(schedule=lambda age: -1.0).next_wait(3, draw=0), 2)
        self.assertEqual(Pace(schedule=lambda age: math.inf).next_wait(3, draw=0), 30)
        self.assertEqual(Pace(schedule=lambda age: math.nan).next_wait(3, draw=0), 2)

    def test_impossible_limits_are_refused(self) -> None:
        for r, longest in ((0.0, 30.0), (-1.0, 30.0), (math.nan, 30.0), (math.inf, math.inf)):
            self.assertRaises(ValueError, Pace, r, longest)
        for longest in (1.9, math.inf, math.nan):
            self.assertRaises(ValueError, Pace, 2.0, longest)


class HerdTests(SynchronousTestCase):
    """A thousand clients that begin to watch at the same moment, whatever their jobs take."""

    def crowd(self, wait: Callable[..., float]) -> int:
        """
        The largest number of requests within any 100 ms after the first second.

        @param wait: says how long a client waits, from the age of its job and a random number
            C{draw}.
        """
        number = random.Random(7).random
        times = []
        for _ in range(1000):
            age = 0.0
            while age < 200:
                age += wait(age, draw=number())
                times.append(age)
        times = sorted(each for each in times if each > 1)
        most = first = 0
        for last, each in enumerate(times):
            while times[first] < each - 0.1:
                first += 1
            most = max(most, last - first + 1)
        return most

    def test_they_do_not_come_together_when_nothing_is_known(self) -> None:
        self.assertLessEqual(self.crowd(Pace().next_wait), 250)

    def test_they_do_not_come_together_when_all_know_the_same(self) -> None:
        for duration in (3.0, 15.0, 29.8, 40.0):
            durations = Durations()
            for _ in range(20):
                durations = durations.learn(duration)
            pace = Pace(schedule=durations.plan(2.0))
            self.assertLessEqual(self.crowd(pace.next_wait), 250, duration)

    def test_they_do_not_come_together_when_the_server_told_all_the_same_retry_after(self) -> None:
        for told in (3.0, 29.5, 30.0, 60.0):
            crowd = self.crowd(partial(Pace().next_wait, retry_after=told))
            self.assertLessEqual(crowd, 250, told)

    def test_they_do_not_come_back_together_after_failures(self) -> None:
        self.assertLessEqual(self.crowd(lambda age, draw: Pace().backoff(1, draw=draw)), 250)

    def test_without_jitter_they_would(self) -> None:
        self.assertEqual(self.crowd(lambda age, draw: Pace().next_wait(age, draw=0)), 1000)


class BackoffTests(SynchronousTestCase):
    """The waits after failures."""

    def test_it_doubles_up_to_the_longest_interval(self) -> None:
        waits = [Pace().backoff(n, draw=0) for n in range(1, 7)]
        self.assertEqual(waits, [4, 8, 16, 30, 30, 30])

    def test_jitter_takes_away_up_to_half_of_it(self) -> None:
        self.assertEqual(Pace().backoff(3, draw=1), 8)
        self.assertEqual(Pace().backoff(3, draw=0.5), 12)

    @given(st.integers(1, 10**9), units, intervals, st.floats(1, 50))
    def test_it_never_leaves_its_limits(self, n: int, draw: float, r: float, times: float) -> None:
        wait = Pace(r, r * times).backoff(n, draw=draw)
        self.assertTrue(r <= wait <= r * times, wait)


class RetryAfterTests(SynchronousTestCase):
    """What a server sends, and how it is read."""

    def test_a_server_sends_the_cold_rule_in_whole_seconds(self) -> None:
        self.assertEqual([retry_after(age) for age in (0, 2, 3, 8)], [2, 6, 7, 10])

    def test_a_server_that_knows_past_durations_uses_them(self) -> None:
        durations = Durations()
        for _ in range(20):
            durations = durations.learn(15.0)
        plan = durations.plan(2.0)
        self.assertEqual([retry_after(age, 2.0, plan) for age in (0, 5, 12.5)], [16, 11, 3])

    def test_it_is_never_0(self) -> None:
        self.assertEqual(retry_after(0, 0.01), 1)
        self.assertEqual(retry_after(-5, 0.01), 1)

    def test_it_is_at_most_an_hour(self) -> None:
        self.assertEqual(retry_after(math.inf), RETRY_AFTER_LIMIT)

    def test_seconds_are_read(self) -> None:
        self.assertEqual(read_retry_after(" 120 ", 0), 120)

    def test_dates_are_read_in_all_three_forms(self) -> None:
        now = 784111777.0
        for text in (
            "Sun, 06 Nov 1994 08:49:47 GMT",
            "Sunday, 06-Nov-94 08:49:47 GMT",
            "Sun Nov  6 08:49:47 1994",
        ):
            self.assertEqual(read_retry_after(text, now), 10)

    def test_a_date_in_the_past_means_now(self) -> None:
        self.assertEqual(read_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 2e9), 0)

    def test_other_text_is_ignored(self) -> None:
        for text in ("", "soon", "-5", "1e9", "nan", "inf", "1.5", "\u0661", "Sun, 99 Nov 1994"):
            self.assertIsNone(read_retry_after(text, 0), text)

    def test_thousands_of_digits_are_a_long_wait_and_no_error(self) -> None:
        asked = read_retry_after("9" * 5000, 0)
        self.assertEqual(Pace().next_wait(0, draw=0, retry_after=asked), RETRY_AFTER_LIMIT)

    @given(st.text())
    def test_no_text_is_an_error(self, text: str) -> None:
        asked = read_retry_after(text, 1e9)
        self.assertTrue(asked is None or asked >= 0)
        read_date(text)
