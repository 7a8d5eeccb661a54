"""The figures in the docstring of C{statusjob.pace}, computed."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

import statusjob.pace
from statusjob.pace.bounds import Pace
from statusjob.pace.durations import Durations
from statusjob.pace.schedule import cold_rule, optimum, prior_survival

REQUEST_COST = 2.0


def cold_ratio(duration: float) -> float:
    """The cost of the cold rule over that of the best fixed interval at random phase."""
    age, requests = 0.0, 0
    while age < duration:
        age += cold_rule(age, REQUEST_COST)
        requests += 1
    cost = REQUEST_COST * requests + age - duration
    return cost / math.sqrt(2 * REQUEST_COST * duration)


class TheoryTests(SynchronousTestCase):
    """Every figure that the docstring gives is what comes out here."""

    def assert_figure(self, computed: float, given: str, tolerance: float) -> None:
        """The docstring gives this figure, and it is true."""
        self.assertIn(given, statusjob.pace.__doc__ or "")
        self.assertLessEqual(abs(computed - float(given)), tolerance, (computed, given))

    def test_the_cold_rule_against_the_best_fixed_interval_on_average(self) -> None:
        steps = 1000
        for middle, given in ((10.0, "1.59"), (60.0, "1.55"), (1000.0, "1.44")):
            durations = [middle * 4 ** ((i + 0.5) / steps - 0.5) for i in range(steps)]
            average = sum(map(cold_ratio, durations)) / steps
            self.assert_figure(average, given, 0.006)

    def test_the_cold_rule_against_the_best_fixed_interval_in_the_worst_phase(self) -> None:
        for duration, given in ((10.0, "2.83"), (60.0, "2.40"), (1000.0, "2.19")):
            before = 0.0
            while (after := before + cold_rule(before, REQUEST_COST)) < duration:
                before = after
            worst = cold_ratio(before * (1 + 1e-9))
            self.assertGreater(worst, cold_ratio(duration))
            self.assert_figure(worst, given, 0.006)

    def test_the_ratio_tends_to_the_square_root_of_2(self) -> None:
        steps = 1000
        durations = [1e5 * (1 + i / steps) for i in range(steps)]
        self.assert_figure(sum(map(cold_ratio, durations)) / steps, "1.41", 0.006)

    def test_the_optimum_of_the_prior_is_not_the_cold_rule_but_tends_to_it(self) -> None:
        ages = [0.0, *(2.0 * 2 ** (i / 256) for i in range(-1024, 5120))]
        outlived = [prior_survival(age, REQUEST_COST) for age in ages]
        mass = [a - b for a, b in pairwise(outlived)]
        following, _ = optimum(ages, mass, REQUEST_COST, rest=outlived[-1])
        for age, best, cold in ((2.0, "4.55", "6.00"), (1000.0, "90.6", "91.4")):
            at = min(range(len(ages)), key=lambda i: abs(ages[i] - age))
            # The ages differ by 0.3 percent from one to the next.
            self.assert_figure(ages[following[at]] - ages[at], best, 0.006 * float(best))
            self.assert_figure(cold_rule(age, REQUEST_COST), cold, 0.05)

    def test_jobs_that_all_take_the_same_time(self) -> None:
        jobs = 3000
        for duration, least, given in (
            (1.0, 1, "1.62"),
            (15.0, 1, "1.27"),
            (29.9, 1, "2.65"),
            (60.0, 2, "1.81"),
        ):
            durations = Durations()
            for _ in range(20):
                durations = durations.learn(duration)
            pace = Pace(schedule=durations.plan(REQUEST_COST))
            draw = random.Random(5).random
            cost = 0.0
            for _ in range(jobs):
                age = 0.0
                while age < duration:
                    age += pace.next_wait(age, draw=draw())
                    cost += REQUEST_COST
                cost += age - duration
            self.assert_figure(cost / jobs / (least * REQUEST_COST), given, 0.015)
