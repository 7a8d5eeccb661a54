"""The schedule: the cold rule, and the optimum for a distribution."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.pace.schedule import OptimumSchedule, age_grid, cold_rule, optimum, prior_survival

intervals = st.floats(0.01, 100)


def cost(ages: list[float], mass: list[float], r: float, rest: float, asked: list[int]) -> float:
    """What it costs to ask at these of the ages, by the definition."""
    total, previous = 0.0, 0
    for requests, j in enumerate(asked, 1):
        for i in range(previous, j):
            total += mass[i] * (r * requests + ages[j] - (ages[i] + ages[i + 1]) / 2)
        previous = j
    return total + rest * r * len(asked)


class ColdRuleTests(SynchronousTestCase):
    """What is asked when nothing is known of a job."""

    def test_requests_come_at_ages_r_times_the_squares(self) -> None:
        age, ages = 0.0, []
        for _ in range(6):
            ages.append(round(age, 9))
            age += cold_rule(age, 2.0)
        self.assertEqual(ages, [0, 2, 8, 18, 32, 50])

    @given(st.floats(0.001, 1e6), intervals)
    def test_it_costs_sqrt_2_times_the_best_fixed_interval_over_every_gap(
        self, ratio: float, r: float
    ) -> None:
        duration = ratio * r
        before, requests = 0.0, 1
        while (after := before + cold_rule(before, r)) < duration:
            before, requests = after, requests + 1
        # Durations spread evenly over the gap that this one fell in: an end is noticed half the
        # gap late. The best fixed interval for a duration T costs sqrt(2 * r * T).
        gap = after - before
        paid = r * requests + gap / 2
        best = math.sqrt(2 * r) * (after**1.5 - before**1.5) / 1.5 / gap
        self.assertLessEqual(paid, (math.sqrt(2) * best + r / 2) * (1 + 1e-9))

    @given(st.floats(allow_nan=True, allow_infinity=True))
    def test_an_age_that_a_stepped_clock_made_absurd_counts_as_none(self, age: float) -> None:
        if not age > 0:
            self.assertEqual(cold_rule(age, 2.0), 2.0)
        else:
            self.assertGreater(cold_rule(age, 2.0), 0)

    @given(st.floats(0, 1e4), intervals)
    def test_it_is_kellers_gap_for_the_distribution_of_ignorance(
        self, ratio: float, r: float
    ) -> None:
        age, step = ratio * r, 1e-4 * r
        density = (prior_survival(age, r) - prior_survival(age + step, r)) / step
        gap = math.sqrt(2 * r * prior_survival(age, r) / density)
        # The one is the gap at an age, the other the gap from there on.
        self.assertTrue(0.99 * gap <= cold_rule(age, r) <= 1.5 * gap, (gap, cold_rule(age, r)))


class OptimumTests(SynchronousTestCase):
    """The dynamic programme."""

    @given(
        st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1)), min_size=1, max_size=8),
        st.floats(0.01, 10),
        st.floats(0, 1),
    )
    def test_no_other_schedule_is_cheaper(
        self, cells: list[tuple[float, float]], r: float, rest: float
    ) -> None:
        ages = list(itertools.accumulate((width for width, _ in cells), initial=0.0))
        mass = [each for _, each in cells]
        last = len(mass)
        following, claimed = optimum(ages, mass, r, rest=rest)
        path = [0]
        while path[-1] < last:
            path.append(following[path[-1]])
        every = itertools.chain.from_iterable(
            itertools.combinations(range(1, last), n) for n in range(last)
        )
        best = min(cost(ages, mass, r, rest, [*asked, last]) for asked in every)
        self.assertAlmostEqual(claimed, best)
        self.assertAlmostEqual(cost(ages, mass, r, rest, path[1:]), best)

    def test_a_job_that_always_takes_as_long_is_asked_about_once(self) -> None:
        following, paid = optimum([0.0, 9.9, 10.0, 20.0], [0.0, 1.0, 0.0], 2.0)
        self.assertEqual(following[0], 2)
        self.assertAlmostEqual(paid, 2.05)

    def test_a_constant_hazard_is_asked_at_equal_intervals(self) -> None:
        r, mean = 2.0, 60.0
        ages = [0.25 * i for i in range(4000)]
        mass = [math.exp(-a / mean) - math.exp(-b / mean) for a, b in itertools.pairwise(ages)]
        following, _ = optimum(ages, mass, r, rest=math.exp(-ages[-1] / mean))
        gaps = {following[i] - i for i in range(0, 800)}
        # Of intervals d the cheapest: r * requests + d * requests - mean, requests on average
        # 1 / (1 - exp(-d / mean)).
        best = min((r + d / 4) / (1 - math.exp(-d / 4 / mean)) for d in range(1, 400))
        self.assertLessEqual(max(gaps) - min(gaps), 1)
        chosen = min(gaps) / 4
        self.assertLessEqual((r + chosen) / (1 - math.exp(-chosen / mean)), best * 1.001)


class ScheduleTests(SynchronousTestCase):
    """The optimum as a plan."""

    def uniform(self, r: float, cells: int = 100, length: float = 100.0) -> OptimumSchedule:
        """A job that takes anything up to 100 s."""
        ages = [length * i / cells for i in range(cells + 1)]
        return OptimumSchedule(ages, [1 / cells] * cells, request_cost=r, horizon=length)

    def test_it_aims_at_the_same_age_from_wherever_it_is_asked(self) -> None:
        plan = self.uniform(2.0)
        first = plan(0.0)
        self.assertAlmostEqual(0.3 + plan(0.3), first)

    def test_gaps_shrink_as_the_end_comes_near(self) -> None:
        plan = self.uniform(2.0)
        age, gaps = 0.0, []
        while age < 95:
            gaps.append(plan(age))
            age += gaps[-1]
        self.assertEqual(gaps, sorted(gaps, reverse=True))
        # Keller: sqrt(2 * r / h), with the hazard h = 1 / (100 - age).
        self.assertTrue(15 < gaps[0] < 20, gaps)

    def test_it_asks_more_often_than_its_ages_are_told_apart(self) -> None:
        coarse, fine = self.uniform(0.02, cells=10), self.uniform(0.02, cells=1000)
        for age in (0.0, 25.0, 50.0):
            self.assertLess(abs(coarse(age) / fine(age) - 1), 0.2)

    def test_beyond_what_is_known_it_is_the_cold_rule(self) -> None:
        plan = self.uniform(2.0)
        for age in (100.0, 1e4, 1e12, math.inf):
            self.assertEqual(plan(age), cold_rule(age, 2.0))

    @given(st.floats(allow_nan=True, allow_infinity=True))
    def test_any_age_gets_an_answer(self, age: float) -> None:
        wait = self.uniform(2.0)(age)
        self.assertTrue(wait > 0 or age > 99, wait)


class LatticeTests(SynchronousTestCase):
    """The ages that are planned with."""

    @given(st.floats(-4, 20), st.floats(0.001, 0.05), st.integers(1, 600), st.floats(0.1, 100))
    def test_it_ascends_from_0_and_is_bounded(
        self, low: float, step: float, count: int, r: float
    ) -> None:
        ages, first = age_grid(low, step, count, least=r / 4)
        self.assertEqual(ages[0], 0)
        self.assertEqual(ages, sorted(set(ages)))
        self.assertAlmostEqual(math.log(ages[first]), low)
        self.assertAlmostEqual(math.log(ages[first + count]), low + count * step)
        self.assertLess(len(ages), count + 400)
