"""
How long jobs of one kind took, and when to ask about the next one.

Pure. What was seen is a small value that can be written as JSON; from it and
from what a request is worth comes a L{PollingSchedule}. Who remembers which kinds, and
where, is not decided here.

The next duration is taken to come from the last ones (n of them), each widened
to a triangle in the logarithm of the age, because no job takes exactly as long
as another; or, with a weight of one against n, from the distribution that
stands for ignorance (L{statusjob.pace.schedule.prior_survival}). With nothing seen that
is the cold rule; and a job that outlives all that were seen falls back to it by
itself.
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

#: How many durations are remembered of a kind.
REMEMBERED = 256
#: Shorter ones are all alike; longer ones are none (seconds: a hundredth, a century).
SHORTEST, LONGEST = 0.01, 3_155_760_000.0

#: The spread (of logarithms) that is expected of a kind, and how many jobs speak against it.
_EXPECTED_SPREAD, _EXPECTED_WEIGHT = 0.5, 2
#: From so many jobs on their neighbourhood tells how wide each is made.
_ENOUGH = 5
#: A triangle of this half-width has a standard deviation of 1.
_TRIANGLE = math.sqrt(6)
#: How finely ages are told apart: in so many steps, and never finer than this (in logarithms).
_CELLS, _FINEST = 512, 0.002
#: What lies between two ages is cut into at most so many parts.
_PARTS = 16


@dataclass(frozen=True, slots=True)
class Durations:
    """
    The last durations of one kind of job.

    @ivar seen: pairs of seconds, the newest last, at most L{REMEMBERED}: a job was pending at
        the first age and had ended at the second. They are equal if its duration is known.
    """

    seen: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """
        @raise ValueError: if that is not what was seen.
        """
        if len(self.seen) > REMEMBERED:
            raise ValueError(f"more than {REMEMBERED} durations")
        if not all(0 <= low <= high <= LONGEST for low, high in self.seen):
            raise ValueError("a duration is out of range")

    def learn(self, low: float, high: float | None = None) -> Durations:
        """
        A job more; the oldest is forgotten if need be.

        @param low: its duration in seconds; or an age at which it was still pending, if
        @param high: is one at which it had ended. What makes no sense, because a clock was set,
            teaches nothing.
        """
        high = low if high is None else high
        if not 0 <= low <= high <= LONGEST:
            return self
        kept = self.seen[1 - REMEMBERED :] if len(self.seen) >= REMEMBERED else self.seen
        return Durations((*kept, (round(low, 3), round(high, 3))))

    def plan(self, request_cost: float) -> PollingSchedule:
        """
        When to ask about the next job of this kind. It takes some milliseconds.

        @param request_cost: what a request is worth, in seconds.
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
    What a finished job teaches of the next: its duration in seconds.

    @return: C{None} if nothing: it was cancelled, cut off by its deadline or simulated.
    """
    code = None if job.error is None else job.error.code
    if job.simulated or code in (CANCELLED, DEADLINE_EXCEEDED, SIMULATED):
        return None
    return job.duration


class _Triangle(NamedTuple):
    """A part of what is known: its middle and half-width in logarithms of seconds, its share."""

    middle: float
    width: float
    share: float


def _widened(seen: Sequence[tuple[float, float]]) -> list[_Triangle]:
    """
    How wide each duration is made.

    By Silverman's rule (0.9 standard deviations over the fifth root of n), with the spread drawn
    towards the expected one while there are few; but no wider than the distance to its
    neighbours of rank sqrt(n), so that two clusters are not smeared into one. What is known to
    lie between two ages is spread over them evenly.
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
    How much of it lies in each of the steps from C{low} on; there is room around it.

    A triangle is what becomes of three spikes (up at its corners, twice down at its middle) when
    it is summed up twice; so all of them are, at once.
    """
    spikes = [0.0] * (count + 2)
    for middle, width, share in triangles:
        half = max(2, round(width / step))
        at = int((middle - low) / step) + 1
        height = share / (half * half)
        spikes[at - half] += height
        spikes[at] -= 2 * height
        spikes[at + half] += height
    # Rounding may leave a little less than nothing.
    return [max(0.0, each) for each in accumulate(accumulate(spikes[:count]))]
