"""Hints: what estimates of the time that is left are worth, and the plan they make."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.pace.bounds import Pace
from statusjob.pace.estimates import REMEMBERED, EstimateErrors
from statusjob.pace.schedule import cold_rule


def after(*errors: float) -> EstimateErrors:
    """What is known of a source whose hints were wrong by these factors."""
    hints = EstimateErrors()
    for each in errors:
        hints = hints.learn(100.0, 100.0 * each)
    return hints


class Watching:
    """A worker that tells an ETA with every answer, and one who watches its jobs."""

    def __init__(self, sigma: float, *, factor: float = 1.0) -> None:
        """
        @param sigma: of the log-normal errors of ETAs, and
        @param factor: by how much they are all too long.
        """
        self.hints = EstimateErrors()
        self.requests = self.delay = self.jobs = 0.0
        self._sigma = sigma
        self._factor = factor
        self._draw = random.Random(3)

    def watch(self, duration: float) -> None:
        """Watch a job to its end, and learn how wrong its ETAs were."""
        age, given = 0.0, []
        self.jobs += 1
        self.requests += 1
        while age < duration:
            error = self._factor * math.exp(self._draw.gauss(0, self._sigma))
            given.append((age, (duration - age) * error))
            plan = self.hints.plan(given[-1][1], 2.0, age=age)
            age += Pace(schedule=plan, max_interval=1e9).next_wait(age, draw=self._draw.random())
            self.requests += 1
        self.delay += age - duration
        for at, hinted in given:
            self.hints = self.hints.learn(hinted, duration - at)


class PlanTests(SynchronousTestCase):
    """When it is asked, because of a hint."""

    def test_an_eta_that_is_off_by_a_tenth_takes_at_most_3_5_requests_a_job(self) -> None:
        watching, draw = Watching(0.1), random.Random(4)
        for _ in range(20):
            watching.watch(120 * math.exp(draw.gauss(0, 0.5)))
        watching.requests = watching.delay = watching.jobs = 0.0
        for _ in range(300):
            watching.watch(120 * math.exp(draw.gauss(0, 0.5)))
        # The request at age 0 included.
        self.assertLessEqual(watching.requests / watching.jobs, 3.5)
        self.assertLessEqual(watching.delay / watching.jobs, 5)

    def test_an_eta_that_is_always_twice_too_long_stops_hurting(self) -> None:
        watching = Watching(0.05, factor=2.0)
        delays = []
        for _ in range(30):
            before = watching.delay
            watching.watch(100.0)
            delays.append(watching.delay - before)
        self.assertGreater(delays[0], 30)
        self.assertLess(sum(delays[20:]) / 10, 6)

    def test_a_good_source_is_asked_about_where_it_says(self) -> None:
        plan = after(*[1.0] * 100).plan(100.0, 2.0)
        self.assertTrue(95 < plan(0.0) < 110, plan(0.0))

    def test_a_bad_source_is_asked_about_earlier(self) -> None:
        good, bad = after(*[0.9, 1.1] * 50), after(*[0.4, 2.5] * 50)
        self.assertLess(bad.plan(100.0, 2.0)(0.0), good.plan(100.0, 2.0)(0.0))

    def test_a_hint_counts_from_when_it_was_given(self) -> None:
        hints = after(*[1.0] * 100)
        late, early = hints.plan(100.0, 2.0, age=50.0), hints.plan(100.0, 2.0)
        self.assertAlmostEqual(late(50.0), early(0.0))
        self.assertAlmostEqual(late(80.0), early(30.0))

    def test_a_job_that_outlives_its_hint_is_asked_about_as_if_it_had_just_begun(self) -> None:
        plan = after(*[1.0] * 100).plan(100.0, 2.0, age=7.0)
        # But for what lies between two tables.
        self.assertLess(abs(plan(507.0) / cold_rule(500.0, 2.0) - 1), 0.05)

    def test_between_two_tables_nothing_jumps(self) -> None:
        hints = after(*[0.9, 1.1] * 50)
        remaining = 60.0
        while remaining < 120:
            there, next_to_it = hints.plan(remaining, 2.0)(0), hints.plan(remaining * 1.01, 2.0)(0)
            self.assertTrue(1 <= next_to_it / there <= 1.04, (remaining, there, next_to_it))
            remaining *= 1.01

    def test_a_hint_that_makes_no_sense_is_none(self) -> None:
        for remaining in (-1.0, math.nan, math.inf, 1e300):
            self.assertEqual(EstimateErrors().plan(remaining, 2.0)(30.0), cold_rule(30.0, 2.0))

    @given(
        st.lists(st.floats(0.01, 100), max_size=5),
        st.floats(0, 3e9),
        st.floats(0.01, 100),
        st.floats(allow_nan=True, allow_infinity=True),
    )
    def test_whatever_is_hinted_there_is_a_wait(
        self, errors: list[float], remaining: float, r: float, age: float
    ) -> None:
        plan = after(*errors).plan(remaining, r)
        wait = Pace(r, 1e9, plan).next_wait(age, draw=0.5)
        self.assertTrue(r <= wait <= 1e9, wait)


class LearningTests(SynchronousTestCase):
    """What is known of a source."""

    def test_nothing_is_known_at_first(self) -> None:
        self.assertEqual((EstimateErrors().bias, EstimateErrors().spread), (0, 0.3))

    def test_bias_and_spread_come_from_errors(self) -> None:
        draw = random.Random(1)
        hints = after(*[2 * math.exp(draw.gauss(0, 0.2)) for _ in range(200)])
        self.assertLess(abs(hints.bias - math.log(2)), 0.05)
        self.assertLess(abs(hints.spread - 0.2), 0.05)

    def test_an_outlier_in_twenty_does_not_count(self) -> None:
        hints = after(*[*[1.0] * 19, 50.0] * 5)
        self.assertLess(hints.spread, 0.1)
        self.assertEqual(hints.bias, 0)

    def test_the_oldest_are_forgotten(self) -> None:
        hints = after(*[2.0] * REMEMBERED, *[1.0] * REMEMBERED)
        self.assertEqual(hints.errors, (0.0,) * REMEMBERED)

    def test_what_makes_no_sense_teaches_nothing(self) -> None:
        hints = after(1.0)
        for hinted, actual in (
            (0.5, 1.0),
            (-1.0, 1.0),
            (5.0, -1.0),
            (math.nan, 1.0),
            (5.0, 1e300),
        ):
            self.assertIs(hints.learn(hinted, actual), hints)

    def test_a_job_that_was_done_at_once_teaches_all_the_same(self) -> None:
        self.assertLess(EstimateErrors().learn(100.0, 0.0).bias, -1)
