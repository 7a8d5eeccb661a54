"""
How good estimates of the time that is left have been, and when to ask because of one.

Pure. A hint is whatever somebody says: a worker's ETA, say. The time that is
really left is taken to be log-normal around it, with the bias and the spread
that earlier hints of the same source had, except that one hint in twenty may be
worth nothing. From that comes the optimum schedule (L{statusjob.pace.schedule}).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from statistics import NormalDist, median, quantiles

from statusjob.pace.schedule import OptimumSchedule, PollingSchedule, age_grid, cold_rule

#: How many errors are remembered of a source.
REMEMBERED = 256
#: A hint of less than a second teaches nothing, one of more than a century is none (seconds).
_SHORTEST, _LONGEST = 1.0, 3_155_760_000.0
#: Whoever took no time at all took this long (seconds): the logarithm wants it.
_NO_TIME = 0.01

#: The spread (of logarithms) that is expected of a source, and how many hints speak against it.
_EXPECTED_SPREAD, _EXPECTED_WEIGHT = 0.3, 2
#: The first and the ninth decile of a normal distribution are so many standard deviations apart.
_DECILES = 2.5631
#: How often a hint is worth nothing, and how little it then says: at least this spread.
_WORTHLESS, _WORTHLESS_SPREAD = 0.05, 1.0

#: Schedules are kept for ratios of the hint to r, eight an octave from 1/8 to 2**32, and for
#: spreads that differ by a quarter.
_PER_OCTAVE, _LOWEST, _HIGHEST = 8, -3, 32
_SPREAD_STEP, _LEAST_SPREAD, _MOST_SPREAD = math.log(1.25), 0.02, 2.0
_TABLES = 512
#: Ages are told apart in so many steps, up to so many standard deviations from the hint.
_CELLS, _REACH = 128, 4
_NORMAL = NormalDist()


@dataclass(frozen=True)
class EstimateErrors:
    """
    The last hints of one source, and how wrong they were.

    @ivar errors: logarithms of the time that was left over the time that was hinted, the newest
        last, at most L{REMEMBERED}.
    """

    errors: tuple[float, ...] = ()

    def learn(self, hinted: float, actual: float) -> EstimateErrors:
        """
        A hint more, now that its job has ended; the oldest is forgotten if need be.

        @param hinted: how many seconds were said to be left.
        @param actual: how many were. What makes no sense, or is too short, teaches nothing.
        """
        if not (_SHORTEST <= hinted <= _LONGEST and 0 <= actual <= _LONGEST):
            return self
        error = math.log(max(actual, _NO_TIME) / hinted)
        kept = self.errors[1 - REMEMBERED :] if len(self.errors) >= REMEMBERED else self.errors
        return EstimateErrors((*kept, round(error, 4)))

    @cached_property
    def bias(self) -> float:
        """The logarithm by which hints are too short: their median error, drawn towards none."""
        n = len(self.errors)
        return median(self.errors) * n / (n + 1) if n else 0.0

    @cached_property
    def spread(self) -> float:
        """The standard deviation of errors, told from their deciles: outliers do not count."""
        n = len(self.errors)
        own = 0.0
        if n >= 2:
            first, *_, ninth = quantiles(self.errors, n=10, method="inclusive")
            own = (ninth - first) / _DECILES
        squares = n * own**2 + _EXPECTED_WEIGHT * _EXPECTED_SPREAD**2
        return math.sqrt(squares / (n + _EXPECTED_WEIGHT))

    def plan(self, remaining: float, request_cost: float, *, age: float = 0.0) -> PollingSchedule:
        """
        When to ask about a job of which there is a hint.

        @param remaining: how many seconds were said to be left, when
        @param age: the job was so old (seconds).
        @param request_cost: what a request is worth, in seconds.
        @return: a plan for the job's age; the cold rule if the hint makes no sense.
        """
        if not 0 <= remaining <= _LONGEST:
            return partial(cold_rule, request_cost=request_cost)
        expected = max(remaining * math.exp(self.bias), request_cost * 2**_LOWEST)
        ratio = min(
            round(math.log2(expected / request_cost) * _PER_OCTAVE), _HIGHEST * _PER_OCTAVE
        )
        spread = min(max(self.spread, _LEAST_SPREAD), _MOST_SPREAD)
        table = _table(ratio, round(math.log(spread) / _SPREAD_STEP))
        # The optimum only depends on ratios: what is between two tables is scaled to one.
        unit = expected / 2 ** (ratio / _PER_OCTAVE)
        return lambda now: unit * table((now - age) / unit)


@lru_cache(maxsize=_TABLES)
def _table(ratio: int, spread: int) -> OptimumSchedule:
    """The optimum schedule from the hint on, in units of r."""
    middle = ratio / _PER_OCTAVE * math.log(2)
    narrow = math.exp(spread * _SPREAD_STEP)
    wide = max(_WORTHLESS_SPREAD, 3 * narrow)
    low, step = middle - _REACH * narrow, 2 * _REACH * narrow / _CELLS
    ages, first = age_grid(low, step, _CELLS, least=1 / 4)

    def ended(age: float) -> float:
        distance = math.log(age) - middle
        return (1 - _WORTHLESS) * _NORMAL.cdf(distance / narrow) + _WORTHLESS * _NORMAL.cdf(
            distance / wide
        )

    parts = [0.0, *map(ended, ages[1:])]
    mass = [b - a for a, b in pairwise(parts)]
    return OptimumSchedule(
        ages, mass, request_cost=1.0, horizon=ages[first + _CELLS], rest=1 - parts[-1]
    )
