"""The cold rule, and the optimum schedule for a distribution."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.pace.schedule import OptimumSchedule, age_grid, cold_rule, optimum, prior_survival

intervals = st.floats(0.01, 100)


def cost(ages: list[float], mass: list[float], r: float, rest: float, asked: list[int]) -> float:
    """The cost, by its definition, of asking at those ages whose indexes are in C{asked}."""
    total, previous = 0.0, 0
    for requests, j in enumerate(asked, 1):
        for i in range(previous, j):
            total += mass[i] * (r * requests + ages[j] - (ages[i] + ages[i + 1]) / 2)
        previous = j
    return total + rest * r * len(asked)


class ColdRuleTests(SynchronousTestCase):
    """The waits when nothing is known of a job."""

    def test_requests_come_at_the_squares_times_the_request_cost(self) -> None:
        age, ages = 0.0, []
        for _ in range(6):
            ages.append(round(age, 9))
            age += cold_rule(age, 2.0)
        self.assertEqual(ages, [0, 2, 8, 18, 32, 50])

    @given(st.floats(0.001, 1e6), intervals)
    def test_over_every_gap_it_costs_about_sqrt_2_times_the_best_fixed_interval(
        self, ratio: float, r: float
    ) -> None:
        duration = ratio * r
        before, requests = 0.0, 1
        while (after := before + cold_rule(before, r)) < duration:
            before, requests = after, requests + 1
        # Durations are spread evenly over the gap in which this one lies, so an end is noticed
        # half the gap late. The best fixed interval for a duration T costs sqrt(2 * r * T).
        gap = after - before
        paid = r * requests + gap / 2
        best = math.sqrt(2 * r) * (after**1.5 - before**1.5) / 1.5 / gap
        self.assertLessEqual(paid, (math.sqrt(2) * best + r / 2) * (1 + 1e-9))

    @given(st.floats(allow_nan=True, allow_infinity=True))
    def test_an_impossible_age_counts_as_0(self, age: float) -> None:
        if not age > 0:
            self.assertEqual(cold_rule(age, 2.0), 2.0)
        else:
            self.assertGreater(cold_rule(age, 2.0), 0)

    @given(st.floats(0, 1e4), intervals)
    def test_it_is_near_to_the_best_gap_for_the_prior(self, ratio: float, r: float) -> None:
        age, step = ratio * r, 1e-4 * r
        density = (prior_survival(age, r) - prior_survival(age + step, r)) / step
        gap = math.sqrt(2 * r * prior_survival(age, r) / density)
        # Keller's gap is around an age, the cold rule's begins there.
        self.assertTrue(0.99 * gap <= cold_rule(age, r) <= 1.5 * gap, (gap, cold_rule(age, r)))


class OptimumTests(SynchronousTestCase):
    """The schedule that dynamic programming finds."""

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

    def test_a_job_with_a_known_duration_is_asked_about_once(self) -> None:
        following, paid = optimum([0.0, 9.9, 10.0, 20.0], [0.0, 1.0, 0.0], 2.0)
        self.assertEqual(following[0], 2)
        self.assertAlmostEqual(paid, 2.05)

    def test_a_constant_hazard_gets_equal_intervals(self) -> None:
        r, mean = 2.0, 60.0
        ages = [0.25 * i for i in range(4000)]
        mass = [math.exp(-a / mean) - math.exp(-b / mean) for a, b in itertools.pairwise(ages)]
        following, _ = optimum(ages, mass, r, rest=math.exp(-ages[-1] / mean))
        gaps = {following[i] - i for i in range(0, 800)}
        # Asking at an interval d takes 1 / (1 - exp(-d / mean)) requests on average, and costs
        # (r + d) * requests - mean.
        best = min((r + d / 4) / (1 - math.exp(-d / 4 / mean)) for d in range(1, 400))
        self.assertLessEqual(max(gaps) - min(gaps), 1)
        chosen = min(gaps) / 4
        self.assertLessEqual((r + chosen) / (1 - math.exp(-chosen / mean)), best * 1.001)


class ScheduleTests(SynchronousTestCase):
    """The optimum as a polling schedule."""

    def uniform(self, r: float, cells: int = 100, length: float = 100.0) -> OptimumSchedule:
        """The schedule for durations that are uniform from 0 to C{length} seconds."""
        ages = [length * i / cells for i in range(cells + 1)]
        return OptimumSchedule(ages, [1 / cells] * cells, request_cost=r, horizon=length)

    def test_from_any_age_it_aims_at_the_same_next_age(self) -> None:
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

    def test_its_gaps_may_be_shorter_than_the_distance_of_its_ages(self) -> None:
        coarse, fine = self.uniform(0.02, cells=10), self.uniform(0.02, cells=1000)
        for age in (0.0, 25.0, 50.0):
            self.assertLess(abs(coarse(age) / fine(age) - 1), 0.2)

    def test_beyond_the_horizon_it_is_the_cold_rule(self) -> None:
        plan = self.uniform(2.0)
        for age in (100.0, 1e4, 1e12, math.inf):
            self.assertEqual(plan(age), cold_rule(age, 2.0))

    @given(st.floats(allow_nan=True, allow_infinity=True))
    def test_there_is_a_wait_at_any_age(self, age: float) -> None:
        wait = self.uniform(2.0)(age)
        self.assertTrue(wait > 0 or age > 99, wait)


class AgeGridTests(SynchronousTestCase):
    """The ages at which requests may be planned."""

    @given(st.floats(-4, 20), st.floats(0.001, 0.05), st.integers(1, 600), st.floats(0.1, 100))
    def test_it_ascends_from_0_and_has_a_bounded_size(
        self, low: float, step: float, count: int, r: float
    ) -> None:
        ages, first = age_grid(low, step, count, least=r / 4)
        self.assertEqual(ages[0], 0)
        self.assertEqual(ages, sorted(set(ages)))
        self.assertAlmostEqual(math.log(ages[first]), low)
        self.assertAlmostEqual(math.log(ages[first + count]), low + count * step)
        self.assertLess(len(ages), count + 400)
