"""
How long jobs of one kind took, and when to ask about the next one.

Pure. The durations are a small value that can be written as JSON. From them and a request cost
comes a polling schedule. Where they are kept, and for which kinds, is decided elsewhere.

The next duration is taken to come from the last n ones, each widened to a triangle in the
logarithm of the age because no job takes exactly as long as another; or, with a weight of one
against n, from the prior (L{statusjob.pace.schedule.prior_survival}). With no durations the
schedule is the cold rule, and a job that outlives them all falls back to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import NamedTuple

from statusjob.jobs import CANCELLED, DEADLINE_EXCEEDED, SIMULATED, Job
from statusjob.pace.schedule import (
    OptimumSchedule,
    PollingSchedule,
    age_grid,
    cold_rule,
    prior_survival,
)

#: How many durations are remembered per kind.
REMEMBERED = 256
#: Durations in seconds: below a hundredth of a second all count as that; more than a century is
#: not accepted.
SHORTEST, LONGEST = 0.01, 3_155_760_000.0

#: The standard deviation of logarithms that is expected of a kind, and the weight of that
#: expectation, as a number of jobs.
_EXPECTED_SPREAD, _EXPECTED_WEIGHT = 0.5, 2
#: With fewer durations than this, the distance of neighbours does not limit a triangle's width.
_ENOUGH = 5
#: The half-width of a triangle with a standard deviation of 1.
_TRIANGLE = math.sqrt(6)
#: The number of steps of the grid of ages, and its smallest step (in logarithms).
_CELLS, _FINEST = 512, 0.002
#: A duration that is known only to lie between two ages becomes at most this many triangles.
_PARTS = 16


@dataclass(frozen=True, slots=True)
class Durations:
    """
    The last durations of one kind of job.

    @ivar seen: a pair of ages in seconds per job, the newest job last, at most L{REMEMBERED}. The
        job was pending at the first age and had ended at the second. They are equal if the exact
        duration is known.
    """

    seen: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """
        Check the ages, which may come from a file.

        @raise ValueError: if there are too many, or they are negative, too large or out of order.
        """
        if len(self.seen) > REMEMBERED:
            raise ValueError(f"more than {REMEMBERED} durations")
        if not all(0 <= low <= high <= LONGEST for low, high in self.seen):
            raise ValueError("a duration is out of range")

    def learn(self, low: float, high: float | None = None) -> Durations:
        """
        Add a job, and forget the oldest one if there are too many.

        @param low: the duration of the job in seconds; or, if C{high} is given, an age at which
            it was still pending.
        @param high: an age in seconds at which the job had ended.
        @return: the new durations; the same ones if the ages are impossible, as they may be if a
            clock was set.
        """
        high = low if high is None else high
        if not 0 <= low <= high <= LONGEST:
            return self
        kept = self.seen[1 - REMEMBERED :] if len(self.seen) >= REMEMBERED else self.seen
        return Durations((*kept, (round(low, 3), round(high, 3))))

    def plan(self, request_cost: float) -> PollingSchedule:
        """
        Plan when to ask about the next job of this kind. This takes some milliseconds.

        @param request_cost: how many seconds of delay one request is worth, above 0.
        @return: a polling schedule.
        """
        if not self.seen:
            return partial(cold_rule, request_cost=request_cost)
        triangles = _widened(self.seen)
        low = min(each.middle - each.width for each in triangles)
        high = max(each.middle + each.width for each in triangles)
        step = max((high - low) / _CELLS, _FINEST)
        low -= 2 * step
        count = math.ceil((high - low) / step) + 2
        ages, first = age_grid(low, step, count, least=request_cost / 4)
        weight = 1 / (len(self.seen) + 1)
        outlived = [weight * prior_survival(age, request_cost) for age in ages]
        mass = [a - b for a, b in pairwise(outlived)]
        for i, each in enumerate(_density(triangles, low, step, count), first):
            mass[i] += weight * each
        return OptimumSchedule(
            ages, mass, request_cost=request_cost, horizon=ages[first + count], rest=outlived[-1]
        )


def learnable_duration(job: Job) -> float | None:
    """
    The duration of a finished job, if it says something about the next job of its kind.

    @return: seconds; C{None} if the job is pending, was cancelled, missed its deadline or was
        simulated.
    """
    code = None if job.error is None else job.error.code
    if job.simulated or code in (CANCELLED, DEADLINE_EXCEEDED, SIMULATED):
        return None
    return job.duration


class _Triangle(NamedTuple):
    """
    A part of the distribution.

    @ivar middle: the logarithm of an age in seconds.
    @ivar width: half the length of the base, in logarithms.
    @ivar share: the weight, 1 per job.
    """

    middle: float
    width: float
    share: float


def _widened(seen: Sequence[tuple[float, float]]) -> list[_Triangle]:
    """
    Make a triangle of each duration.

    The width follows Silverman's rule: 0.9 standard deviations over the fifth root of n. While n
    is small, the standard deviation is drawn towards the expected one. No triangle is wider than
    the distance to the neighbours that are sqrt(n) places away, so that two clusters are not
    smeared into one. A duration that is known only to lie between two ages is spread evenly over
    them.
    """
    n = len(seen)
    spans = sorted(seen, key=sum)
    middles = [math.log(max((low + high) / 2, SHORTEST)) for low, high in spans]
    mean = sum(middles) / n
    squares = sum((each - mean) ** 2 for each in middles)
    squares += _EXPECTED_WEIGHT * _EXPECTED_SPREAD**2
    widest = 0.9 * math.sqrt(squares / (n + _EXPECTED_WEIGHT)) * n**-0.2
    reach = max(2, math.isqrt(n))
    triangles = []
    for i, (low, high) in enumerate(spans):
        near = (middles[min(n - 1, i + reach)] - middles[max(0, i - reach)]) / 2
        width = max(_FINEST, _TRIANGLE * (min(widest, near) if n >= _ENOUGH else widest))
        length = high - low
        parts = min(_PARTS, 1 + int(math.log(max(high, SHORTEST) / max(low, SHORTEST)) / width))
        for part in range(parts):
            age = max(low + length * (part + 0.5) / parts, SHORTEST)
            wide = max(width, math.log1p(length / parts / age))
            triangles.append(_Triangle(math.log(age), wide, 1 / parts))
    return triangles


def _density(triangles: Sequence[_Triangle], low: float, step: float, count: int) -> list[float]:
    """
    Sum up the triangles in each step of the grid.

    A triangle is three spikes (one up at each corner, two down in the middle), summed up twice.
    So the spikes of all triangles are added first, and summed up together.

    @param low: the logarithm of the age at which the grid begins, below all triangles.
    @param step: the width of a step, in logarithms.
    @param count: the number of steps; they reach beyond all triangles.
    @return: the weight of each step.
    """
    spikes = [0.0] * (count + 2)
    for middle, width, share in triangles:
        half = max(2, round(width / step))
        at = int((middle - low) / step) + 1
        height = share / (half * half)
        spikes[at - half] += height
        spikes[at] -= 2 * height
        spikes[at + half] += height
    # Rounding may leave a number slightly below 0.
    return [max(0.0, each) for each in accumulate(accumulate(spikes[:count]))]
