"""
What past jobs of one kind say about when to ask about the next: the waits behind C{Retry-After}.

Pure. Making an L{Outlook} takes some milliseconds and is done off the reactor;
from then on it is only looked up, in microseconds. Who remembers the past is
L{statusjob.server.forecast.learner}'s matter.

What is known of a job is how long others of its kind took and, if its worker
says so, an estimate of the time that is left. How far to trust estimates is
learned, too: by how much they are usually wrong (L{statusjob.pace.estimates}), and whether
those who heeded them would have been better off with the durations alone. And
because a worker that has just begun may guess wildly, an estimate only lengthens
a wait so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from statusjob.pace.bounds import POLLING_INTERVAL, retry_after
from statusjob.pace.durations import Durations
from statusjob.pace.estimates import EstimateErrors

#: What a request is worth, in seconds: the clients' default.
R = POLLING_INTERVAL
#: An estimate makes a wait at most so many times as long as it would be without.
STRETCH = 4
#: Estimates are told apart by powers of two, from R up to R * 2**17 (three days).
_RUNGS = 18
#: A job is not followed any further than so many requests to see who would have been better off.
_REQUESTS = 32


class Estimate(NamedTuple):
    """
    What a worker thinks of its job.

    @ivar age: the job's, in seconds, when its worker said
    @ivar left: that so many seconds were left.
    """

    age: float
    left: float


class Estimated(NamedTuple):
    """
    A job that has ended.

    @ivar duration: its own, in seconds.
    @ivar estimates: what its worker had said meanwhile, the oldest first.
    """

    duration: float
    estimates: Sequence[Estimate]


class Outlook:
    """When to ask about a job of one kind. Nothing of it changes."""

    __slots__ = ("_bias", "_heeds", "_hinted", "_plan")

    def __init__(
        self, durations: Sequence[float] = (), estimated: Sequence[Estimated] = ()
    ) -> None:
        """
        @param durations: of past jobs, in seconds, the newest last; at most
            L{statusjob.pace.durations.REMEMBERED}.
        @param estimated: those of them whose workers gave estimates.
        @raise ValueError: if that is not what they can be.
        """
        self._plan = Durations(tuple((each, each) for each in durations)).plan(R)
        hints = EstimateErrors()
        for duration, estimates in estimated:
            for age, left in estimates:
                hints = hints.learn(left, duration - age)
        self._bias = math.exp(hints.bias)
        # What is between two rungs is scaled to one. Whatever the bias, they lie at the same
        # multiples of R, so that kinds whose estimates are as reliable share tables.
        self._hinted = tuple(hints.plan(R * 2.0**i / self._bias, R) for i in range(_RUNGS))
        # Asked below already.
        self._heeds = True
        self._heeds = self._cost(estimated, heed=True) <= self._cost(estimated, heed=False)

    def retry_after(self, age: float, estimate: Estimate | None = None) -> int:
        """
        What to tell one who asks about a pending job.

        @param age: the job's, in seconds.
        @param estimate: its worker's last one, if there is one.
        @return: whole seconds, from 1 up to an hour.
        """
        if estimate is None or not self._heeds:
            return retry_after(age, R, self._plan)
        return retry_after(age, R, partial(self._heeding, estimate))

    def _heeding(self, estimate: Estimate, age: float) -> float:
        """The wait if a worker is believed, as far as it is."""
        expected = min(max(estimate.left * self._bias, R / 8), R * 2.0 ** (_RUNGS - 1))
        rung = max(0, round(math.log2(expected / R)))
        unit = expected / (R * 2.0**rung)
        hinted = unit * self._hinted[rung]((age - estimate.age) / unit)
        return min(hinted, STRETCH * self._plan(age))

    def _cost(self, jobs: Sequence[Estimated], *, heed: bool) -> float:
        """
        What it would have cost to follow these jobs, asking whenever it is said to be worth it.

        @param heed: whether estimates are heeded.
        """
        cost = 0.0
        for duration, estimates in jobs:
            age = 0.0
            for _ in range(_REQUESTS):
                said = (each for each in reversed(estimates) if each.age <= age)
                age += self.retry_after(age, next(said, None) if heed else None)
                cost += R
                if age >= duration:
                    cost += age - duration
                    break
        return cost
