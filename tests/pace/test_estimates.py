"""How far estimates of the remaining time are trusted, and the polling schedule they make."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.pace.bounds import Pace
from statusjob.pace.estimates import REMEMBERED, EstimateErrors
from statusjob.pace.schedule import cold_rule


def after(*factors: float) -> EstimateErrors:
    """The errors of a source whose estimates were too short by these factors."""
    errors = EstimateErrors()
    for each in factors:
        errors = errors.learn(100.0, 100.0 * each)
    return errors


class Watching:
    """Jobs whose worker gives an ETA with every answer, and a client that watches them."""

    def __init__(self, sigma: float, *, factor: float = 1.0) -> None:
        """
        @param sigma: the standard deviation of the log-normal errors of ETAs.
        @param factor: the factor by which all ETAs are too long.
        """
        self.errors = EstimateErrors()
        self.requests = self.delay = self.jobs = 0.0
        self._sigma = sigma
        self._factor = factor
        self._draw = random.Random(3)

    def watch(self, duration: float) -> None:
        """Watch a job to its end, then learn how wrong its ETAs were."""
        age, etas = 0.0, []
        self.jobs += 1
        self.requests += 1
        while age < duration:
            error = self._factor * math.exp(self._draw.gauss(0, self._sigma))
            etas.append((age, (duration - age) * error))
            plan = self.errors.plan(etas[-1][1], 2.0, age=age)
            age += Pace(schedule=plan, max_interval=1e9).next_wait(age, draw=self._draw.random())
            self.requests += 1
        self.delay += age - duration
        for at, estimated in etas:
            self.errors = self.errors.learn(estimated, duration - at)


class PlanTests(SynchronousTestCase):
    """The ages at which a job is asked about because of an estimate."""

    def test_etas_that_are_off_by_a_tenth_take_at_most_3_5_requests_per_job(self) -> None:
        watching, draw = Watching(0.1), random.Random(4)
        for _ in range(20):
            watching.watch(120 * math.exp(draw.gauss(0, 0.5)))
        watching.requests = watching.delay = watching.jobs = 0.0
        for _ in range(300):
            watching.watch(120 * math.exp(draw.gauss(0, 0.5)))
        # This includes the request at age 0.
        self.assertLessEqual(watching.requests / watching.jobs, 3.5)
        self.assertLessEqual(watching.delay / watching.jobs, 5)

    def test_the_bias_of_etas_that_are_always_twice_too_long_is_learned(self) -> None:
        watching = Watching(0.05, factor=2.0)
        delays = []
        for _ in range(30):
            before = watching.delay
            watching.watch(100.0)
            delays.append(watching.delay - before)
        self.assertGreater(delays[0], 30)
        self.assertLess(sum(delays[20:]) / 10, 6)

    def test_a_good_estimate_is_followed(self) -> None:
        plan = after(*[1.0] * 100).plan(100.0, 2.0)
        self.assertTrue(95 < plan(0.0) < 110, plan(0.0))

    def test_with_a_bad_source_the_first_request_comes_earlier(self) -> None:
        good, bad = after(*[0.9, 1.1] * 50), after(*[0.4, 2.5] * 50)
        self.assertLess(bad.plan(100.0, 2.0)(0.0), good.plan(100.0, 2.0)(0.0))

    def test_an_estimate_counts_from_the_age_at_which_it_was_made(self) -> None:
        errors = after(*[1.0] * 100)
        late, early = errors.plan(100.0, 2.0, age=50.0), errors.plan(100.0, 2.0)
        self.assertAlmostEqual(late(50.0), early(0.0))
        self.assertAlmostEqual(late(80.0), early(30.0))

    def test_long_after_the_estimate_the_cold_rule_counts_from_when_it_was_made(self) -> None:
        plan = after(*[1.0] * 100).plan(100.0, 2.0, age=7.0)
        # A value between two tables is scaled, so this is not exact.
        self.assertLess(abs(plan(507.0) / cold_rule(500.0, 2.0) - 1), 0.05)

    def test_there_is_no_jump_from_one_table_to_the_next(self) -> None:
        errors = after(*[0.9, 1.1] * 50)
        remaining = 60.0
        while remaining < 120:
            there, next_to_it = (
                errors.plan(remaining, 2.0)(0),
                errors.plan(remaining * 1.01, 2.0)(0),
            )
            self.assertTrue(1 <= next_to_it / there <= 1.04, (remaining, there, next_to_it))
            remaining *= 1.01

    def test_an_impossible_estimate_is_ignored(self) -> None:
        for remaining in (-1.0, math.nan, math.inf, 1e300):
            self.assertEqual(EstimateErrors().plan(remaining, 2.0)(30.0), cold_rule(30.0, 2.0))

    @given(
        st.lists(st.floats(0.01, 100), max_size=5),
        st.floats(0, 3e9),
        st.floats(0.01, 100),
        st.floats(allow_nan=True, allow_infinity=True),
    )
    def test_whatever_was_estimated_there_is_a_wait(
        self, errors: list[float], remaining: float, r: float, age: float
    ) -> None:
        plan = after(*errors).plan(remaining, r)
        wait = Pace(r, 1e9, plan).next_wait(age, draw=0.5)
        self.assertTrue(r <= wait <= 1e9, wait)


class LearningTests(SynchronousTestCase):
    """What is learned of a source."""

    def test_at_first_there_is_no_bias_and_the_expected_spread(self) -> None:
        self.assertEqual((EstimateErrors().bias, EstimateErrors().spread), (0, 0.3))

    def test_bias_and_spread_come_from_errors(self) -> None:
        draw = random.Random(1)
        errors = after(*[2 * math.exp(draw.gauss(0, 0.2)) for _ in range(200)])
        self.assertLess(abs(errors.bias - math.log(2)), 0.05)
        self.assertLess(abs(errors.spread - 0.2), 0.05)

    def test_one_outlier_in_twenty_does_not_count(self) -> None:
        errors = after(*[*[1.0] * 19, 50.0] * 5)
        self.assertLess(errors.spread, 0.1)
        self.assertEqual(errors.bias, 0)

    def test_the_oldest_errors_are_forgotten(self) -> None:
        errors = after(*[2.0] * REMEMBERED, *[1.0] * REMEMBERED)
        self.assertEqual(errors.errors, (0.0,) * REMEMBERED)

    def test_impossible_times_are_not_learned(self) -> None:
        errors = after(1.0)
        for estimated, actual in (
            (0.5, 1.0),
            (-1.0, 1.0),
            (5.0, -1.0),
            (math.nan, 1.0),
            (5.0, 1e300),
        ):
            self.assertIs(errors.learn(estimated, actual), errors)

    def test_a_remaining_time_of_0_is_learned(self) -> None:
        self.assertLess(EstimateErrors().learn(100.0, 0.0).bias, -1)
