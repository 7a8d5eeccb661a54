"""The polling schedule that comes from past durations."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError, json
from twisted.trial.unittest import SynchronousTestCase

from statusjob.pace.bounds import Pace
from statusjob.pace.durations import LONGEST, REMEMBERED, Durations, learnable_duration
from statusjob.pace.schedule import PollingSchedule, cold_rule
from tests.benchmarks.jobs import best, cost, sets
from tests.helpers.scripted_server import a_job

seconds = st.floats(0, LONGEST)
spans = st.lists(st.tuples(seconds, seconds).map(sorted).map(tuple), max_size=20)


def learned(*durations: float) -> Durations:
    """The value that has learned these durations."""
    known = Durations()
    for each in durations:
        known = known.learn(each)
    return known


def ages(plan: PollingSchedule, until: float, r: float = 2.0) -> list[float]:
    """The ages at which a job is asked about that takes C{until} seconds."""
    age, asked = 0.0, []
    while age < until:
        age += Pace(r, 1e9, plan).next_wait(age, draw=0)
        asked.append(round(age, 2))
    return asked


class PlanTests(SynchronousTestCase):
    """The ages at which the next job is asked about."""

    @given(st.floats(0, 1e9), st.floats(0.01, 100))
    def test_without_durations_it_is_the_cold_rule(self, age: float, r: float) -> None:
        self.assertEqual(Durations().plan(r)(age), cold_rule(age, r))

    def test_a_kind_whose_jobs_all_take_the_same_time_is_asked_about_once(self) -> None:
        plan = learned(*[60.0] * 20).plan(2.0)
        (asked,) = ages(plan, 60.0)
        self.assertTrue(60 <= asked <= 60.5, asked)

    def test_two_clusters_of_durations_are_not_smeared_into_one(self) -> None:
        plan = learned(*[10.0, 100.0] * 20).plan(2.0)
        asked = ages(plan, 100.0)
        self.assertTrue(10 <= asked[0] <= 10.5, asked)
        self.assertTrue(100 <= asked[-1] <= 102, asked)
        # Hardly any job ends between the two, so few requests are worth their cost there.
        self.assertLessEqual(len(asked), 4)
        self.assertFalse([age for age in asked if 80 < age < 100], asked)

    def test_three_equal_durations_may_be_chance(self) -> None:
        few, many = learned(*[60.0] * 3).plan(2.0), learned(*[60.0] * 20).plan(2.0)
        late_few = [age for age in ages(few, 80.0) if age > 60]
        late_many = [age for age in ages(many, 80.0) if age > 60]
        self.assertGreaterEqual(len(late_few), 3, late_few)
        self.assertEqual(len(late_many), 2, late_many)

    def test_a_job_that_outlives_all_durations_is_asked_about_by_the_cold_rule(self) -> None:
        plan = learned(*[60.0] * 20).plan(2.0)
        for age in (62.0, 100.0, 1e6):
            self.assertEqual(plan(age), cold_rule(age, 2.0))

    def test_a_duration_known_to_lie_between_two_ages_is_spread_over_them(self) -> None:
        known = Durations()
        for _ in range(20):
            known = known.learn(20.0, 40.0)
        asked = ages(known.plan(2.0), 40.0)
        inside = [age for age in asked if 20 < age < 42]
        self.assertTrue(2 <= len(inside) <= 6, asked)
        self.assertLessEqual(len(asked) - len(inside), 1, asked)

    def test_many_exact_durations_outweigh_a_rough_one(self) -> None:
        plan = learned(*[60.0] * 40).learn(0.0, 60.0).plan(2.0)
        self.assertEqual(len(ages(plan, 60.0)), 1)

    @given(spans, st.floats(0, 1e10), st.floats(0.01, 100))
    def test_whatever_was_learned_there_is_a_wait(
        self, seen: list[tuple[float, float]], age: float, r: float
    ) -> None:
        known = Durations()
        for low, high in seen:
            known = known.learn(low, high)
        wait = Pace(r, 1e9, known.plan(r)).next_wait(age, draw=0.5)
        self.assertTrue(r <= wait <= 1e9, wait)

    def test_after_twenty_jobs_it_costs_little_more_than_the_best_schedule(self) -> None:
        for each in sets()[1:4]:
            held_out = each.held_out[:400]
            optimum = cost(best(held_out, 2.0, 30.0), held_out, 2.0)
            paid = {0: 0.0, 20: 0.0}
            for seed, known in itertools.product(range(5), paid):
                draw = random.Random(seed)
                plan = learned(*draw.sample(each.train, known)).plan(2.0)
                paid[known] += watching(Pace(schedule=plan), held_out, draw) / 5 / optimum
            # tests.benchmarks.pace measures by how little, on more jobs.
            self.assertLess(paid[20], 1.2, each.title)
            self.assertLess(paid[20], paid[0], each.title)


def watching(pace: Pace, durations: Sequence[float], draw: random.Random) -> float:
    """The average cost of watching jobs that take these durations."""
    total = 0.0
    for duration in durations:
        age = 0.0
        while age < duration:
            age += pace.next_wait(age, draw=draw.random())
            total += pace.request_cost
        total += age - duration
    return total / len(durations)


class MemoryTests(SynchronousTestCase):
    """What is remembered."""

    def test_the_oldest_durations_are_forgotten(self) -> None:
        known = learned(*[float(n) for n in range(REMEMBERED + 10)])
        self.assertEqual(len(known.seen), REMEMBERED)
        self.assertEqual((known.seen[0], known.seen[-1]), ((10.0, 10.0), (265.0, 265.0)))

    def test_it_can_be_written_and_read_again(self) -> None:
        known = learned(1.5, 2.25).learn(8.0, 18.0)
        written = json.encode(known)
        self.assertEqual(json.decode(written, type=Durations), known)
        self.assertEqual(written, b'{"seen":[[1.5,1.5],[2.25,2.25],[8.0,18.0]]}')

    def test_impossible_durations_are_not_learned(self) -> None:
        known = learned(5.0)
        nan, inf = float("nan"), float("inf")
        for low, high in ((-1.0, 5.0), (5.0, 4.0), (nan, nan), (1.0, inf), (1.0, 2 * LONGEST)):
            self.assertIs(known.learn(low, high), known)

    def test_impossible_durations_are_not_read(self) -> None:
        for damaged in ("[[-1,2]]", "[[3,2]]", "[[1,1e300]]", "[1]", "[[1]]", '[["a","b"]]'):
            text = b'{"seen":%b}' % damaged.encode()
            self.assertRaises(ValidationError, json.decode, text, type=Durations)
        many = b'{"seen":[%b]}' % b",".join([b"[1,1]"] * (REMEMBERED + 1))
        self.assertRaises(ValidationError, json.decode, many, type=Durations)


class LearnableDurationTests(SynchronousTestCase):
    """Which jobs say something about the next one of their kind."""

    def test_the_duration_of_a_job_that_ended_by_itself_is_learnable(self) -> None:
        self.assertEqual(learnable_duration(a_job("completed")), 10)
        for code in ("failed", "worker-lost", "out-of-memory"):
            self.assertEqual(learnable_duration(a_job("error", code=code)), 10)

    def test_a_job_that_was_cancelled_expired_or_simulated_teaches_nothing(self) -> None:
        for code in ("cancelled", "deadline-exceeded", "simulated"):
            self.assertIsNone(learnable_duration(a_job("error", code=code)))
        self.assertIsNone(learnable_duration(a_job("completed", simulated=True)))

    def test_a_pending_job_teaches_nothing(self) -> None:
        self.assertIsNone(learnable_duration(a_job()))
