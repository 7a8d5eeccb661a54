"""
An outlook: what past jobs of one kind say about when to ask about a pending one.

Pure. It takes some milliseconds to make an L{Outlook}, which is done off the
reactor's thread. To use it takes microseconds. What it is made of is remembered
in L{statusjob.server.forecast.learner}.

An outlook knows how long past jobs took, and how wrong the estimates of their
workers were (L{statusjob.pace.estimates}). It heeds the estimate of a worker only
if that would have made past jobs cheaper to watch than their durations alone.
Because a worker that has just begun may guess wildly, an estimate lengthens a
wait only so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from statusjob.pace.bounds import POLLING_INTERVAL, retry_after
from statusjob.pace.durations import Durations
from statusjob.pace.estimates import EstimateErrors

#: What a request is worth, in seconds of delay: the clients' default.
REQUEST_COST = POLLING_INTERVAL
#: An estimate makes a wait at most so many times as long as it would be without the estimate.
STRETCH = 4
#: Schedules are made for remaining times of REQUEST_COST * 2**i, with i below this number, which
#: is up to three days. One between two of them is scaled.
_STEPS = 18
#: Requests to one past job after which it is clear what heeding its estimates would have cost.
_REQUESTS = 32


class Estimate(NamedTuple):
    """
    What a worker has reported of the time that its job still needs.

    @ivar age: the age of the job, in seconds, when its worker reported.
    @ivar left: how many seconds the job still needed then, as the worker thought.
    """

    age: float
    left: float


class EstimatedJob(NamedTuple):
    """
    A past job whose worker had reported estimates.

    @ivar duration: how long the job took, in seconds.
    @ivar estimates: the estimates, the oldest first.
    """

    duration: float
    estimates: Sequence[Estimate]


class Outlook:
    """Says when to ask again about a pending job of one kind. It never changes."""

    __slots__ = ("_bias", "_by_remaining", "_heeds", "_plan")

    def __init__(
        self, durations: Sequence[float] = (), estimated: Sequence[EstimatedJob] = ()
    ) -> None:
        """
        @param durations: the durations of past jobs, in seconds, the newest last; at most
            L{statusjob.pace.durations.REMEMBERED}.
        @param estimated: the past jobs whose workers had reported estimates.
        @raise ValueError: if there are too many durations, or one is out of range.
        """
        self._plan = Durations(tuple((each, each) for each in durations)).plan(REQUEST_COST)
        errors = EstimateErrors()
        for duration, estimates in estimated:
            for age, left in estimates:
                errors = errors.learn(left, duration - age)
        self._bias = math.exp(errors.bias)
        # Whatever the bias, the corrected remaining times are the same multiples of REQUEST_COST,
        # so that kinds whose estimates are equally reliable share tables.
        self._by_remaining = tuple(
            errors.plan(REQUEST_COST * 2.0**i / self._bias, REQUEST_COST) for i in range(_STEPS)
        )
        # The next line uses it.
        self._heeds = True
        self._heeds = self._cost(estimated, heed=True) <= self._cost(estimated, heed=False)

    def retry_after(self, age: float, estimate: Estimate | None = None) -> int:
        """
        Compute the C{Retry-After} of an answer that a job is pending.

        @param age: the age of the job, in seconds.
        @param estimate: the last estimate of its worker, or C{None}.
        @return: whole seconds, from 1 to 3600.
        """
        if estimate is None or not self._heeds:
            return retry_after(age, REQUEST_COST, self._plan)
        return retry_after(age, REQUEST_COST, partial(self._wait_heeding, estimate))

    def _wait_heeding(self, estimate: Estimate, age: float) -> float:
        """Compute the wait if an estimate is heeded, in seconds."""
        expected = min(
            max(estimate.left * self._bias, REQUEST_COST / 8), REQUEST_COST * 2.0 ** (_STEPS - 1)
        )
        step = max(0, round(math.log2(expected / REQUEST_COST)))
        unit = expected / (REQUEST_COST * 2.0**step)
        wait = unit * self._by_remaining[step]((age - estimate.age) / unit)
        return min(wait, STRETCH * self._plan(age))

    def _cost(self, jobs: Sequence[EstimatedJob], *, heed: bool) -> float:
        """
        Compute what it would have cost to watch past jobs, asking whenever L{retry_after} says.

        @param heed: whether estimates are heeded.
        @return: the sum over all jobs of L{REQUEST_COST} for each request, and of the delay until
            the end was noticed; in seconds.
        """
        cost = 0.0
        for duration, estimates in jobs:
            age = 0.0
            for _ in range(_REQUESTS):
                reported = (each for each in reversed(estimates) if each.age <= age)
                age += self.retry_after(age, next(reported, None) if heed else None)
                cost += REQUEST_COST
                if age >= duration:
                    cost += age - duration
                    break
        return cost
