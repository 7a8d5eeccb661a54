"""
When to ask, as calculus has it: the cold rule, and the optimum schedule of a distribution.

Pure, and about nothing but numbers: where a distribution comes from is the
matter of L{statusjob.pace.durations} and L{statusjob.pace.estimates}, how a wait is bounded
that of L{statusjob.pace.bounds}.

Watching a job costs r seconds for every request, and one second for every
second by which its end is noticed late. Let S(t) be the probability that a job
outlives age t, f = -S' its density and h = f/S its hazard.

B{The best gap} (J. B. Keller, Optimum checking schedules for systems subject to
random failure, Management Science 21, 1974). Ask so often that n(t) requests a
second are made at age t. A request is made only if the job is still pending,
and an end is noticed half a gap, 1/(2n), late on average, so the cost is the
integral of r*n*S + f/(2n). It is least where its derivative by n vanishes:
r*S = f/(2*n*n), so that the gap is 1/n = sqrt(2*r/h).

B{Nothing known}. For a job that is known to take T seconds, the best fixed
interval d costs r*T/d + d/2, least at d = sqrt(2*r*T) where it is sqrt(2*r*T).
Asking at the ages r*k*k takes N = sqrt(T/r) requests and ends in a gap of about
2*sqrt(r*T), so it costs 2*sqrt(r*T), sqrt(2) times as much, whatever T is. No
smooth rule N(T) has a better constant: put N = a(s)*sqrt(T/r) with s = log(T);
its cost r*N + 1/(2*N') is sqrt(r*T) * (a + 1/(a + 2*a')). Were that below
2 - e for all s, then, since a + 1/a is never below 2, a' would be above some
positive number for ever, a would grow past 2, and with it the cost.

The hazard for which this is Keller's best gap is h = 2*r/gap**2 with
gap**2 = r*r + 4*r*t: that of the Lomax distribution S = (1 + 4*t/r)**-0.5. It
stands for ignorance wherever something is known only with a certain weight.

B{A distribution known} (R. E. Barlow, L. C. Hunter, F. Proschan, Optimum
checking procedures, J. SIAM 11, 1963). Asking at ages x1 < x2 < ... costs

    r*(S(0) + S(x1) + S(x2) + ...) + sum of the integrals of (xk - t)*f(t) from x(k-1) to xk

and the cheapest ages are found backwards, see L{optimum}.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence

#: A rule for one r: from a job's age to the wait before asking again, both in seconds.
PollingSchedule = Callable[[float], float]

#: Where nothing is known but ignorance, ages are told apart by this factor.
_COARSE = 2.0 ** (1 / 8)
#: How many such steps are planned beyond the last age of which something is known.
_BEYOND = 48
#: Rounding must not make an age that was aimed at fall short of itself.
_ROUNDING = 1 + 1e-9


def cold_rule(age: float, request_cost: float) -> float:
    """
    How long to wait when nothing is known of a job: it is asked at the ages r*k*k.

    @param age: seconds since the job began; what a stepped clock makes of it counts as 0.
    @param request_cost: what a request is worth, in seconds, above 0.
    """
    return request_cost + 2 * math.sqrt(request_cost * age) if age > 0 else request_cost


def prior_survival(age: float, request_cost: float) -> float:
    """
    The probability that a job of which nothing is known outlives an age: that for which
    L{cold_rule} is the best rule.

    @param age: seconds, 0 or more.
    @param request_cost: as in L{cold_rule}.
    """
    return 1 / math.sqrt(1 + 4 * age / request_cost)


def age_grid(low: float, step: float, count: int, *, least: float) -> tuple[list[float], int]:
    """
    Ages to plan with, from 0 on: closely where something is known, coarsely elsewhere.

    @param low: log of the age in seconds from which on something is known.
    @param step: by how much the logarithms of the ages from there on differ,
    @param count: for so many steps.
    @param least: an age in seconds before which there is no point in asking.
    @return: the ages in seconds, ascending, and the index of the first that is known of.
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
    The optimum checking schedule of a distribution, by dynamic programming.

    With P(i) the probability of an end up to the i-th age, Q(i) the integral of t*f(t) up to
    there and e(i) the age itself, the least cost still to come when a job is found pending at
    the i-th age, times the probability of that, is

        V(i) = r*S(i) + min over j > i of V(j) + e(j)*(P(j) - P(i)) - (Q(j) - Q(i))

    For every j that is a straight line in P(i), of slope -e(j). So each i asks for the lowest of
    some lines at one place. As i falls, lines come in order of slope and places in order, too:
    the lines that are lowest somewhere, the lower convex hull, are kept in a row, a new line
    strikes out those that it makes useless at the near end, and those whose place is past are
    dropped at the far end. All in all that takes a time proportional to the number of ages.

    @param ages: ascending, in seconds; where a request may be made.
    @param mass: of the distribution between each age and the next; taken to be in the middle.
    @param request_cost: what a request is worth, in seconds.
    @param rest: mass beyond the last age.
    @return: for each age but the last the index of the age at which to ask next, and the cost in
        seconds of it all.
    """
    last = len(mass)
    ended, weighted = [0.0], [0.0]
    for i, each in enumerate(mass):
        ended.append(ended[i] + each)
        weighted.append(weighted[i] + each * (ages[i] + ages[i + 1]) / 2)
    total = ended[last] + rest
    following = [last] * last
    # Of each line its slope (downwards), its height at 0, and what it stands for.
    hull: list[tuple[float, float, int]] = []
    far = 0
    cost = 0.0
    for i in range(last - 1, -1, -1):
        slope = ages[i + 1]
        height = cost + slope * ended[i + 1] - weighted[i + 1]
        while len(hull) - far >= 2:
            slope1, height1, _ = hull[-1]
            slope2, height2, _ = hull[-2]
            # The middle one is useless if the new one undercuts the older one before it does.
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
    The L{optimum} schedule of one distribution for one r: a L{PollingSchedule}.

    It is a table of a few hundred ages; looking something up takes some hundred nanoseconds.
    Beyond what is known it is the cold rule.
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
        @param ages: as in L{optimum}, and so are C{mass}, C{r} and C{rest}.
        @param horizon: the age in seconds from which on only ignorance is left.
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
                # Perhaps it should be asked more often than the ages are told apart.
                hazard = each / (ages[i + 1] - ages[i]) / (outlived - each / 2)
                self._gaps[i] = math.sqrt(2 * request_cost / hazard)
            outlived -= each

    def __call__(self, age: float) -> float:
        """
        How long to wait.

        @param age: seconds since the job began.
        """
        if not age < self._horizon:
            return cold_rule(age, self._request_cost)
        age = max(age, 0.0)
        i = bisect_right(self._ages, age * _ROUNDING) - 1
        wait = self._targets[i] - age
        return wait / max(1, round(wait / self._gaps[i]))
