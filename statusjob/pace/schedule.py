"""
Polling schedules: the cold rule, and the optimum schedule for a known distribution.

Pure, and about numbers only. L{statusjob.pace.durations} and L{statusjob.pace.estimates} say
where a distribution comes from, L{statusjob.pace.bounds} limits the waits. The theory is
explained in L{statusjob.pace}.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence

#: Made for one request cost: maps a job's age to the wait before asking again, both in seconds.
PollingSchedule = Callable[[float], float]

#: Where only the prior is known, each age of a grid is this many times the one before it.
_COARSE = 2.0 ** (1 / 8)
#: A grid goes this many such steps beyond the last age of which something is known.
_BEYOND = 48
#: An age counts as reached although rounding made it a little less.
_ROUNDING = 1 + 1e-9


def cold_rule(age: float, request_cost: float) -> float:
    """
    Say how long to wait when nothing is known of a job.

    With a request cost of r, jobs are asked about at the ages r, 4*r, 9*r and so on.

    @param age: seconds since the job began. An impossible age, which a clock that was set may
        give, counts as 0.
    @param request_cost: how many seconds of delay one request is worth, above 0.
    @return: the wait in seconds.
    """
    return request_cost + 2 * math.sqrt(request_cost * age) if age > 0 else request_cost


def prior_survival(age: float, request_cost: float) -> float:
    """
    The probability that a job of which nothing is known outlives an age: a Lomax distribution.

    The best gaps for it tend to those of L{cold_rule} as the age grows.

    @param age: seconds, 0 or more.
    @param request_cost: how many seconds of delay one request is worth, above 0.
    @return: a probability, 1 at age 0.
    """
    return 1 / math.sqrt(1 + 4 * age / request_cost)


def age_grid(low: float, step: float, count: int, *, least: float) -> tuple[list[float], int]:
    """
    Make the ages at which requests may be planned: close to one another where something is
    known, further apart elsewhere.

    @param low: the logarithm of the first age, in seconds, of which something is known.
    @param step: the difference of the logarithms of two neighbouring ages from there on.
    @param count: the number of such steps.
    @param least: the age, in seconds, before which no request is worth planning.
    @return: the ages in seconds, ascending from 0, and the index of the first one of which
        something is known.
    """
    known = [math.exp(low + step * i) for i in range(count + 1)]
    below = []
    age = known[0] / _COARSE
    while age > least:
        below.append(age)
        age /= _COARSE
    beyond = [known[-1] * _COARSE**i for i in range(1, _BEYOND + 1)]
    return [0.0, *reversed(below), *known, *beyond], len(below) + 1


def optimum(
    ages: Sequence[float], mass: Sequence[float], request_cost: float, *, rest: float = 0.0
) -> tuple[list[int], float]:
    """
    Find the optimum schedule for a distribution by dynamic programming.

    Let e(i) be the i-th age, S(i) the probability that the job outlives it, P(i) the probability
    that the job has ended by then, Q(i) the integral of t*f(t) up to there, and r the request
    cost. Let V(i) be the least cost from the i-th age on if the job is found pending there, times
    the probability of that. Then::

        V(i) = r*S(i) + min over j > i of V(j) + e(j)*(P(j) - P(i)) - (Q(j) - Q(i))

    For every j the expression is a straight line in P(i) with the slope -e(j), and each i asks
    for the lowest line at one place. As i falls, the lines come in the order of their slopes, and
    the places are in order, too. So only the lower convex hull of the lines is kept, in a list: a
    new line removes those at the near end that it makes useless, and the far end moves on from
    those whose places are past. The time taken is proportional to the number of ages.

    @param ages: the ages in seconds at which a request may be made, ascending.
    @param mass: the probability of an end between each age and the next, one fewer than
        C{ages}. It is taken to lie in the middle.
    @param request_cost: how many seconds of delay one request is worth, above 0.
    @param rest: the probability of an end beyond the last age.
    @return: for each age but the last, the index of the age at which to ask next; and the cost of
        the whole schedule in seconds.
    """
    last = len(mass)
    ended, weighted = [0.0], [0.0]
    for i, each in enumerate(mass):
        ended.append(ended[i] + each)
        weighted.append(weighted[i] + each * (ages[i] + ages[i + 1]) / 2)
    total = ended[last] + rest
    following = [last] * last
    # For each line: its downward slope, its height at 0, and the index of its age.
    hull: list[tuple[float, float, int]] = []
    far = 0
    cost = 0.0
    for i in range(last - 1, -1, -1):
        slope = ages[i + 1]
        height = cost + slope * ended[i + 1] - weighted[i + 1]
        while len(hull) - far >= 2:
            slope1, height1, _ = hull[-1]
            slope2, height2, _ = hull[-2]
            # The middle line is useless if the new one undercuts the older one earlier.
            if (height2 - height) * (slope2 - slope1) < (height2 - height1) * (slope2 - slope):
                break
            hull.pop()
        hull.append((slope, height, i + 1))
        place = ended[i]
        slope, height, j = hull[far]
        while far + 1 < len(hull):
            slope1, height1, j1 = hull[far + 1]
            if height1 - slope1 * place > height - slope * place:
                break
            slope, height, j = slope1, height1, j1
            far += 1
        cost = request_cost * (total - place) + height - slope * place + weighted[i]
        following[i] = j
    return following, cost


class OptimumSchedule:
    """
    The L{optimum} schedule for one distribution and one request cost: a L{PollingSchedule}.

    It is a table of a few hundred ages, so a call takes less than a microsecond. Beyond the
    horizon it is the cold rule.
    """

    __slots__ = ("_ages", "_gaps", "_horizon", "_request_cost", "_targets")

    def __init__(
        self,
        ages: Sequence[float],
        mass: Sequence[float],
        *,
        request_cost: float,
        horizon: float,
        rest: float = 0.0,
    ) -> None:
        """
        Compute the table; this takes some milliseconds.

        @param ages: the ages in seconds at which a request may be made, ascending.
        @param mass: the probability of an end between each age and the next.
        @param request_cost: how many seconds of delay one request is worth, above 0.
        @param horizon: the age in seconds from which on only the prior is known.
        @param rest: the probability of an end beyond the last age.
        """
        following, _ = optimum(ages, mass, request_cost, rest=rest)
        self._request_cost = request_cost
        self._horizon = horizon
        self._ages = array("d", ages[:-1])
        self._targets = array("d", [ages[j] for j in following])
        self._gaps = array("d", [math.inf]) * len(following)
        outlived = sum(mass) + rest
        for i, each in enumerate(mass):
            if following[i] == i + 1 and each > 0:
                # The best gap may be shorter than the distance of the ages.
                hazard = each / (ages[i + 1] - ages[i]) / (outlived - each / 2)
                self._gaps[i] = math.sqrt(2 * request_cost / hazard)
            outlived -= each

    def __call__(self, age: float) -> float:
        """
        Say how long to wait before asking again.

        @param age: seconds since the job began; below 0 it counts as 0.
        @return: the wait in seconds.
        """
        if not age < self._horizon:
            return cold_rule(age, self._request_cost)
        age = max(age, 0.0)
        i = bisect_right(self._ages, age * _ROUNDING) - 1
        wait = self._targets[i] - age
        return wait / max(1, round(wait / self._gaps[i]))
