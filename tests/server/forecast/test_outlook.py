"""Outlooks: what past jobs say about when to ask about the next one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from math import exp
from statistics import mean

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.pace.bounds import RETRY_AFTER_LIMIT
from statusjob.server.forecast.outlook import (
    REQUEST_COST,
    STRETCH,
    Estimate,
    EstimatedJob,
    Outlook,
)

#: From a job's age and the time that is left to what its worker says is left (in seconds).
Expects = Callable[[float, float], float]

ages = st.floats(0, 1e5)


def around(seconds: float, spread: float = 0.1, jobs: int = 100) -> list[float]:
    """Draw durations around a number of seconds."""
    draw = random.Random(1)
    return [seconds * exp(draw.gauss(0, spread)) for _ in range(jobs)]


def estimated(durations: Sequence[float], expects: Expects) -> list[EstimatedJob]:
    """Make past jobs whose workers reported eight estimates each."""

    def said(duration: float) -> Iterator[Estimate]:
        for i in range(8):
            age = duration * (i + 0.5) / 8
            yield Estimate(age, expects(age, duration - age))

    return [EstimatedJob(each, list(said(each))) for each in durations]


def cost(outlook: Outlook, jobs: Sequence[EstimatedJob]) -> float:
    """
    Compute what it costs on average to watch jobs by asking when the outlook says.

    @return: seconds of delay, with L{REQUEST_COST} more for each request.
    """

    def one(job: EstimatedJob) -> float:
        age = total = 0.0
        while age < job.duration:
            said = [each for each in job.estimates if each.age <= age]
            age += outlook.retry_after(age, said[-1] if said else None)
            total += REQUEST_COST
        return total + age - job.duration

    return mean(map(one, jobs))


def silent(jobs: Sequence[EstimatedJob]) -> list[EstimatedJob]:
    """Make the same jobs without estimates."""
    return [each._replace(estimates=()) for each in jobs]


class DurationTests(SynchronousTestCase):
    """Outlooks from durations alone."""

    def test_without_past_jobs_an_outlook_is_the_cold_rule(self) -> None:
        # r + 2*sqrt(r*age), rounded up.
        self.assertEqual([Outlook().retry_after(age) for age in (0, 2, 3, 8)], [2, 6, 7, 10])

    def test_a_new_job_is_asked_about_when_past_jobs_had_ended(self) -> None:
        self.assertTrue(50 <= Outlook(around(60)).retry_after(0) <= 75)

    def test_a_job_that_should_end_soon_is_asked_about_soon(self) -> None:
        outlook = Outlook(around(60))
        self.assertLess(outlook.retry_after(59), 10)

    def test_watching_costs_less_with_past_durations_than_without(self) -> None:
        past, later = around(60)[:50], silent(estimated(around(60)[50:], lambda _, left: left))
        self.assertLess(cost(Outlook(past), later), 0.6 * cost(Outlook(), later))

    @given(st.lists(st.floats(0, 1e6), max_size=8), st.floats(allow_nan=True))
    def test_a_wait_is_never_below_a_second_nor_above_an_hour(
        self, durations: list[float], age: float
    ) -> None:
        wait = Outlook(durations).retry_after(age)
        self.assertTrue(isinstance(wait, int) and 1 <= wait <= RETRY_AFTER_LIMIT, wait)


class EstimateTests(SynchronousTestCase):
    """Outlooks from durations and estimates."""

    def learned(self, expects: Expects) -> tuple[Outlook, list[EstimatedJob]]:
        """Make an outlook from 32 past jobs, and 200 other jobs of the same kind."""
        jobs = estimated(around(120, 0.5, 232), expects)
        return Outlook([each.duration for each in jobs[:32]], jobs[:32]), jobs[32:]

    def test_watching_costs_half_as_much_with_good_estimates(self) -> None:
        outlook, jobs = self.learned(lambda _, left: left * 1.05)
        self.assertLess(cost(outlook, jobs), 0.5 * cost(outlook, silent(jobs)))

    def test_estimates_that_are_always_twice_too_long_are_as_good(self) -> None:
        outlook, jobs = self.learned(lambda _, left: left * 2)
        exact, same = self.learned(lambda _, left: left)
        self.assertLess(cost(outlook, jobs), 1.1 * cost(exact, same))
        # If nothing were learned from their errors, they would make watching dearer.
        ignorant = Outlook([each.duration for each in jobs[:32]])
        self.assertGreater(cost(ignorant, jobs), 1.5 * cost(outlook, jobs))

    def test_useless_estimates_are_not_heeded(self) -> None:
        for useless in (3600.0, 30.0, 0.0, 1e9):
            outlook, jobs = self.learned(lambda _, left, useless=useless: useless)  # type: ignore[misc]
            self.assertLess(cost(outlook, jobs), 1.1 * cost(outlook, silent(jobs)), useless)

    def test_an_estimate_lengthens_a_wait_only_so_far(self) -> None:
        outlook = Outlook(around(60))
        for left in (1e3, 1e6, 3e9):
            said = outlook.retry_after(80, Estimate(80, left))
            self.assertLessEqual(said, STRETCH * outlook.retry_after(80))

    def test_an_estimate_may_shorten_a_wait_to_what_is_left(self) -> None:
        self.assertLessEqual(Outlook(around(3600)).retry_after(100, Estimate(100, 5)), 8)

    def test_an_estimate_counts_from_the_age_at_which_it_was_given(self) -> None:
        outlook = Outlook(around(300, 1))
        waits = [outlook.retry_after(age, Estimate(10, 100)) for age in (10, 60, 95)]
        self.assertEqual(waits, sorted(waits, reverse=True))
        self.assertGreater(waits[0], outlook.retry_after(95, Estimate(95, 100)) - 5)

    def test_a_longer_estimate_never_makes_a_shorter_wait(self) -> None:
        outlook, left, before = Outlook(around(3600, 1)), 0.01, 0
        while left < 1e7:
            wait = outlook.retry_after(600, Estimate(600, left))
            # Rounding, and scaling between two powers of two, may make a little less of it.
            self.assertGreaterEqual(wait, 0.9 * before - 1, left)
            left, before = left * 1.05, wait

    @given(
        st.lists(st.tuples(st.floats(0, 1e6), ages, st.floats(0, 4e9)), max_size=4),
        st.floats(allow_nan=True),
        st.floats(-1e5, 1e5),
        st.floats(0, 4e9),
    )
    def test_any_estimate_makes_a_valid_wait(
        self, past: list[tuple[float, float, float]], age: float, at: float, left: float
    ) -> None:
        jobs = [EstimatedJob(each, [Estimate(when, said)]) for each, when, said in past]
        outlook = Outlook([each.duration for each in jobs], jobs)
        wait = outlook.retry_after(age, Estimate(at, left))
        self.assertTrue(isinstance(wait, int) and 1 <= wait <= RETRY_AFTER_LIMIT, wait)
