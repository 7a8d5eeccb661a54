"""
How good estimates of the remaining time have been, and when to ask because of a new one.

Pure. An estimate comes from a source, such as the workers of one kind of job. The true remaining
time is taken to be log-normal around the estimate, with the bias and the spread that earlier
estimates of the same source had; one estimate in twenty is taken to be worth little. From that
comes the optimum schedule (L{statusjob.pace.schedule}).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from statistics import NormalDist, median, quantiles

from statusjob.pace.schedule import OptimumSchedule, PollingSchedule, age_grid, cold_rule

#: How many errors are remembered per source.
REMEMBERED = 256
#: Estimates in seconds: nothing is learned from one below a second, and one above a century is
#: ignored.
_SHORTEST, _LONGEST = 1.0, 3_155_760_000.0
#: A remaining time of 0 counts as this many seconds, because 0 has no logarithm.
_NO_TIME = 0.01

#: The standard deviation of logarithms that is expected of a source, and the weight of that
#: expectation, as a number of estimates.
_EXPECTED_SPREAD, _EXPECTED_WEIGHT = 0.3, 2
#: The distance of the first and the ninth decile of a normal distribution, in standard deviations.
_DECILES = 2.5631
#: The share of estimates that are worth little, and the least spread that these have.
_WORTHLESS, _WORTHLESS_SPREAD = 0.05, 1.0

#: Tables are kept for ratios of the estimate to the request cost, eight per factor of two, from
#: 2**-3 to 2**32; and for spreads, each a quarter above the one before.
_PER_OCTAVE, _LOWEST, _HIGHEST = 8, -3, 32
_SPREAD_STEP, _LEAST_SPREAD, _MOST_SPREAD = math.log(1.25), 0.02, 2.0
_TABLES = 512
#: The number of steps of a table, and how many standard deviations it reaches from the estimate.
_CELLS, _REACH = 128, 4
_NORMAL = NormalDist()


@dataclass(frozen=True)
class EstimateErrors:
    """
    How wrong the last estimates of one source were.

    @ivar errors: for each estimate, the logarithm of the true remaining time over the estimated
        one, the newest last, at most L{REMEMBERED}.
    """

    errors: tuple[float, ...] = ()

    def learn(self, estimated: float, actual: float) -> EstimateErrors:
        """
        Add an estimate whose job has ended, and forget the oldest one if there are too many.

        @param estimated: the estimated remaining time in seconds.
        @param actual: the true remaining time in seconds.
        @return: the new errors; the same ones if a time is impossible or too short to tell.
        """
        if not (_SHORTEST <= estimated <= _LONGEST and 0 <= actual <= _LONGEST):
            return self
        error = math.log(max(actual, _NO_TIME) / estimated)
        kept = self.errors[1 - REMEMBERED :] if len(self.errors) >= REMEMBERED else self.errors
        return EstimateErrors((*kept, round(error, 4)))

    @cached_property
    def bias(self) -> float:
        """
        The logarithm of the factor by which estimates are too short: their median error, drawn
        towards 0 while there are few.
        """
        n = len(self.errors)
        return median(self.errors) * n / (n + 1) if n else 0.0

    @cached_property
    def spread(self) -> float:
        """
        The standard deviation of the errors, computed from their deciles, so that outliers do not
        count, and drawn towards the expected one while there are few.
        """
        n = len(self.errors)
        own = 0.0
        if n >= 2:
            first, *_, ninth = quantiles(self.errors, n=10, method="inclusive")
            own = (ninth - first) / _DECILES
        squares = n * own**2 + _EXPECTED_WEIGHT * _EXPECTED_SPREAD**2
        return math.sqrt(squares / (n + _EXPECTED_WEIGHT))

    def plan(self, remaining: float, request_cost: float, *, age: float = 0.0) -> PollingSchedule:
        """
        Plan when to ask about a job whose remaining time was estimated.

        @param remaining: the estimated remaining time in seconds.
        @param request_cost: how many seconds of delay one request is worth, above 0.
        @param age: the age of the job in seconds when the estimate was made.
        @return: a polling schedule; the cold rule if the estimate is impossible.
        """
        if not 0 <= remaining <= _LONGEST:
            return partial(cold_rule, request_cost=request_cost)
        expected = max(remaining * math.exp(self.bias), request_cost * 2**_LOWEST)
        ratio = min(
            round(math.log2(expected / request_cost) * _PER_OCTAVE), _HIGHEST * _PER_OCTAVE
        )
        spread = min(max(self.spread, _LEAST_SPREAD), _MOST_SPREAD)
        table = _table(ratio, round(math.log(spread) / _SPREAD_STEP))
        # The optimum depends on ratios only, so a value between two tables is scaled to one.
        unit = expected / 2 ** (ratio / _PER_OCTAVE)
        return lambda now: unit * table((now - age) / unit)


@lru_cache(maxsize=_TABLES)
def _table(ratio: int, spread: int) -> OptimumSchedule:
    """
    Make the optimum schedule from the moment of an estimate on, in units of the request cost.

    @param ratio: the estimate in units of the request cost: a logarithm, L{_PER_OCTAVE} per
        factor of two.
    @param spread: the standard deviation of the errors: a logarithm in steps of L{_SPREAD_STEP}.
    """
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
