"""
When to ask again: the rule by which a client waits between two requests, bounded.

Pure: no clock, no randomness, no I/O. Ages and random numbers are arguments,
seconds come out. The server uses the same rule for its C{Retry-After}. What
would be best without bounds is the L{PollingSchedule}'s: the cold rule of
L{statusjob.pace.schedule} unless something is known, from past durations
(L{statusjob.pace.durations}) or from a hint (L{statusjob.pace.estimates}).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from statusjob.pace.schedule import PollingSchedule, cold_rule

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
    @ivar plan: the rule that is bounded, made for this C{r}; C{None} for L{cold_rule}.
    """

    request_cost: float = POLLING_INTERVAL
    max_interval: float = MAX_INTERVAL
    schedule: PollingSchedule | None = None

    def __post_init__(self) -> None:
        """
        @raise ValueError: if a bound is not a positive finite number, or they are crossed.
        """
        if not (math.isfinite(self.request_cost) and self.request_cost > 0):
            raise ValueError(
                f"a polling interval must be above 0 seconds, not {self.request_cost!r}"
            )
        if not (math.isfinite(self.max_interval) and self.max_interval >= self.request_cost):
            raise ValueError(
                f"the longest interval ({self.max_interval!r} s) must be finite and not below"
                f" the polling interval ({self.request_cost!r} s)"
            )

    def next_wait(self, age: float, *, draw: float, retry_after: float | None = None) -> float:
        """
        How long to wait after an answer that was not the last.

        @param age: seconds since the job began.
        @param draw: a random number from 0 to 1.
        @param retry_after: the server's word, in seconds; a floor. What is absurd is ignored.
        @return: seconds, counted from the answer.
        """
        planned = (
            cold_rule(age, self.request_cost) if self.schedule is None else self.schedule(age)
        )
        wait = min(max(self.request_cost, planned), self.max_interval)
        wait += self._jitter(wait, draw)
        if wait > self.max_interval:
            # Those who wait for as long as they may are spread, too: to the other side.
            wait = max(self.request_cost, 2 * self.max_interval - wait)
        return self._not_before(wait, draw, retry_after)

    def backoff(self, failures: int, *, draw: float, retry_after: float | None = None) -> float:
        """
        How long to wait after requests that failed: r * 2**failures, less up to half of it, so
        that clients that failed together do not come back together.

        @param failures: how many there were in a row, at least 1.
        @param draw: a random number from 0 to 1.
        @param retry_after: as in L{next_wait}.
        @return: seconds, counted from the failure.
        """
        longest = min(self.request_cost * 2.0 ** min(failures, _MAX_DOUBLINGS), self.max_interval)
        return self._not_before(
            max(self.request_cost, longest * (1 - draw / 2)), draw, retry_after
        )

    def _not_before(self, wait: float, draw: float, retry_after: float | None) -> float:
        """Not before the server's word; those who were told the same one are spread, too."""
        if retry_after is None or math.isnan(retry_after) or retry_after <= wait:
            return wait
        floor = min(retry_after, RETRY_AFTER_LIMIT)
        return max(wait, floor + self._jitter(floor, draw))

    def _jitter(self, wait: float, draw: float) -> float:
        return draw * min(JITTER * wait, self.request_cost / 2)


def retry_after(
    age: float, request_cost: float = POLLING_INTERVAL, schedule: PollingSchedule | None = None
) -> int:
    """
    What a server tells one who asks about a pending job.

    @param age: the job's, in seconds.
    @param r: what a request is worth, in seconds.
    @param plan: a rule made for this C{r}; C{None} for L{cold_rule}.
    @return: whole seconds, at least 1 (RFC 9110 10.2.3).
    """
    wait = cold_rule(age, request_cost) if schedule is None else schedule(age)
    return max(1, math.ceil(min(wait, RETRY_AFTER_LIMIT)))
