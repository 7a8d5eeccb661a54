"""
How long to wait between two requests: a polling schedule, limited and with jitter.

Pure: ages and random numbers are arguments, and waits in seconds come out. The polling schedule
is the cold rule (L{statusjob.pace.schedule.cold_rule}) unless something is known from past
durations (L{statusjob.pace.durations}) or from an estimate (L{statusjob.pace.estimates}).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from statusjob.pace.schedule import PollingSchedule, cold_rule

#: The default request cost, and the longest wait that a client chooses by itself (seconds).
POLLING_INTERVAL = 2.0
MAX_INTERVAL = 30.0
#: The longest wait (seconds) that a server can impose by C{Retry-After}.
RETRY_AFTER_LIMIT = 3600.0
#: Jitter is at most this part of a wait, and never more than half the request cost.
JITTER = 0.25
#: Backoff doubles at most this often, so that no number overflows.
_MAX_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Pace:
    """
    A polling schedule and its limits.

    @ivar request_cost: how many seconds of delay one request is worth, above 0. It is also the
        shortest wait, and a client's C{polling_interval}.
    @ivar max_interval: the longest wait in seconds, not below C{request_cost}. Only a server's
        C{Retry-After} can exceed it.
    @ivar schedule: the polling schedule, made for the same C{request_cost}; C{None} for
        L{cold_rule}.
    """

    request_cost: float = POLLING_INTERVAL
    max_interval: float = MAX_INTERVAL
    schedule: PollingSchedule | None = None

    def __post_init__(self) -> None:
        """
        Check the limits.

        @raise ValueError: if C{request_cost} or C{max_interval} is not a positive finite number,
            or if C{max_interval} is below C{request_cost}.
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
        Say how long to wait after an answer that the job is still pending.

        @param age: seconds since the job began.
        @param draw: a random number from 0 to 1, for the jitter.
        @param retry_after: the seconds of the server's C{Retry-After}, if it sent one: the
            shortest wait. NaN is ignored, and more than L{RETRY_AFTER_LIMIT} counts as that.
        @return: seconds, counted from the answer.
        """
        planned = (
            cold_rule(age, self.request_cost) if self.schedule is None else self.schedule(age)
        )
        wait = min(max(self.request_cost, planned), self.max_interval)
        wait += self._jitter(wait, draw)
        if wait > self.max_interval:
            # At the limit, jitter goes backward instead, so that clients are spread there, too.
            wait = max(self.request_cost, 2 * self.max_interval - wait)
        return self._not_before(wait, draw, retry_after)

    def backoff(self, failures: int, *, draw: float, retry_after: float | None = None) -> float:
        """
        Say how long to wait after failed requests.

        The wait is C{request_cost * 2**failures}, less up to half of that, so that clients that
        failed together do not come back together.

        @param failures: the number of failures in a row, at least 1.
        @param draw: a random number from 0 to 1, for the jitter.
        @param retry_after: the seconds of the server's C{Retry-After}, as in L{next_wait}.
        @return: seconds, counted from the last failure.
        """
        longest = min(self.request_cost * 2.0 ** min(failures, _MAX_DOUBLINGS), self.max_interval)
        return self._not_before(
            max(self.request_cost, longest * (1 - draw / 2)), draw, retry_after
        )

    def _not_before(self, wait: float, draw: float, retry_after: float | None) -> float:
        """Lengthen a wait to the server's C{Retry-After}, plus jitter for all who were told it."""
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
    Compute the C{Retry-After} of an answer that a job is pending.

    @param age: the age of the job in seconds.
    @param request_cost: how many seconds of delay one request is worth, above 0.
    @param schedule: a polling schedule made for the same C{request_cost}; C{None} for
        L{cold_rule}.
    @return: whole seconds (RFC 9110 10.2.3), from 1 to L{RETRY_AFTER_LIMIT}.
    """
    wait = cold_rule(age, request_cost) if schedule is None else schedule(age)
    return max(1, math.ceil(min(wait, RETRY_AFTER_LIMIT)))
