"""
When to ask again: the rule by which a client waits between two requests, bounded.

Pure: no clock, no randomness, no I/O. Ages and random numbers are arguments,
seconds come out. The server uses the same rule for its C{Retry-After}. What
would be best without bounds is the L{Plan}'s: the cold rule of
L{statusjob.pace.schedule} unless something is known, from past durations
(L{statusjob.pace.durations}) or from a hint (L{statusjob.pace.estimates}).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from statusjob.pace.schedule import Plan, cold

#: What a request is worth, and the longest wait that a client chooses by itself (seconds).
POLLING_INTERVAL = 2.0
MAX_INTERVAL = 30.0
#: The longest wait (seconds) that a server can talk a client into.
RETRY_AFTER_LIMIT = 3600.0
#: A wait is spread forward by at most this part of it, and never by more than r/2.
JITTER = 0.25
#: Backoff stops doubling here; by then it is bounded anyway.
_MAX_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Pace:
    """
    A plan within its bounds.

    @ivar r: what a request is worth in seconds (a client's C{polling_interval}): above 0, and
        the shortest wait.
    @ivar max_interval: the longest wait in seconds, unless a server asks for a longer one; not
        below C{r}.
    @ivar plan: the rule that is bounded, made for this C{r}; C{None} for L{cold}.
    """

    r: float = POLLING_INTERVAL
    max_interval: float = MAX_INTERVAL
    plan: Plan | None = None

    def __post_init__(self) -> None:
        """
        @raise ValueError: if a bound is not a positive finite number, or they are crossed.
        """
        if not (math.isfinite(self.r) and self.r > 0):
            raise ValueError(f"a polling interval must be above 0 seconds, not {self.r!r}")
        if not (math.isfinite(self.max_interval) and self.max_interval >= self.r):
            raise ValueError(
                f"the longest interval ({self.max_interval!r} s) must be finite and not below"
                f" the polling interval ({self.r!r} s)"
            )

    def next_wait(self, age: float, *, u: float, retry_after: float | None = None) -> float:
        """
        How long to wait after an answer that was not the last.

        @param age: seconds since the job began.
        @param u: a random number from 0 to 1.
        @param retry_after: the server's word, in seconds; a floor. What is absurd is ignored.
        @return: seconds, counted from the answer.
        """
        planned = cold(age, self.r) if self.plan is None else self.plan(age)
        wait = min(max(self.r, planned), self.max_interval)
        wait += self._jitter(wait, u)
        if wait > self.max_interval:
            # Those who wait for as long as they may are spread, too: to the other side.
            wait = max(self.r, 2 * self.max_interval - wait)
        return self._floored(wait, u, retry_after)

    def backoff(self, failures: int, *, u: float, retry_after: float | None = None) -> float:
        """
        How long to wait after requests that failed: r * 2**failures, less up to half of it, so
        that clients that failed together do not come back together.

        @param failures: how many there were in a row, at least 1.
        @param u: a random number from 0 to 1.
        @param retry_after: as in L{next_wait}.
        @return: seconds, counted from the failure.
        """
        longest = min(self.r * 2.0 ** min(failures, _MAX_DOUBLINGS), self.max_interval)
        return self._floored(max(self.r, longest * (1 - u / 2)), u, retry_after)

    def _floored(self, wait: float, u: float, retry_after: float | None) -> float:
        """Not before the server's word; those who were told the same one are spread, too."""
        if retry_after is None or math.isnan(retry_after) or retry_after <= wait:
            return wait
        floor = min(retry_after, RETRY_AFTER_LIMIT)
        return max(wait, floor + self._jitter(floor, u))

    def _jitter(self, wait: float, u: float) -> float:
        return u * min(JITTER * wait, self.r / 2)


def retry_after(age: float, r: float = POLLING_INTERVAL, plan: Plan | None = None) -> int:
    """
    What a server tells one who asks about a pending job.

    @param age: the job's, in seconds.
    @param r: what a request is worth, in seconds.
    @param plan: a rule made for this C{r}; C{None} for L{cold}.
    @return: whole seconds, at least 1 (RFC 9110 10.2.3).
    """
    wait = cold(age, r) if plan is None else plan(age)
    return max(1, math.ceil(min(wait, RETRY_AFTER_LIMIT)))
