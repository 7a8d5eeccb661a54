"""
When to ask again: the rule by which a client waits between two requests.

Pure: no clock, no randomness, no I/O. Ages and random numbers are arguments,
seconds come out. The server uses the same rule for its C{Retry-After}.

Watching a job costs r for every request plus one for every second by which its
end is noticed late. A job of which nothing is known is asked about at the ages
r*k*k (k = 0, 1, 2...): with that the cost tends to sqrt(2) times that of the
best fixed interval in hindsight, and no smooth rule has a better constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

#: What a request is worth, and the longest wait that a client chooses by itself (seconds).
POLLING_INTERVAL = 2.0
MAX_INTERVAL = 30.0
#: The longest wait (seconds) that a server can talk a client into.
RETRY_AFTER_LIMIT = 3600.0
#: A wait is spread forward by at most this part of it, and never by more than r/2.
JITTER = 0.25
#: Backoff stops doubling here; by then it is bounded anyway.
_MAX_DOUBLINGS = 32

#: A rule: from a job's age and from r, both in seconds, how many seconds to wait.
Plan = Callable[[float, float], float]


def cold(age: float, r: float) -> float:
    """
    The plan for a job of which nothing is known: ages r*k*k.

    @param age: seconds since the job began; what a stepped clock makes of it counts as 0.
    @param r: what a request is worth, in seconds, above 0.
    """
    return r + 2 * math.sqrt(r * _clamped(age))


@dataclass(frozen=True, slots=True)
class Pace:
    """
    A plan within its bounds.

    @ivar r: what a request is worth in seconds (a client's C{polling_interval}): above 0, and
        the shortest wait.
    @ivar max_interval: the longest wait in seconds, unless a server asks for a longer one; not
        below C{r}.
    @ivar plan: the rule that is bounded; L{cold} unless something is known of the job.
    """

    r: float = POLLING_INTERVAL
    max_interval: float = MAX_INTERVAL
    plan: Plan = cold

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
        wait = min(max(self.r, self.plan(age, self.r)), self.max_interval)
        return self._floored(min(wait + self._jitter(wait, u), self.max_interval), u, retry_after)

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
        spread = floor + self._jitter(floor, u)
        return max(wait, spread if floor > self.max_interval else min(spread, self.max_interval))

    def _jitter(self, wait: float, u: float) -> float:
        return u * min(JITTER * wait, self.r / 2)


def retry_after(age: float, r: float = POLLING_INTERVAL) -> int:
    """
    What a server tells one who asks about a pending job.

    @param age: the job's, in seconds.
    @param r: what a request is worth, in seconds.
    @return: whole seconds, at least 1 (RFC 9110 10.2.3).
    """
    return max(1, math.ceil(min(cold(age, r), RETRY_AFTER_LIMIT)))


def read_retry_after(text: str, now: float) -> float | None:
    """
    Read a C{Retry-After} header: seconds or an HTTP date (RFC 9110 10.2.3).

    @param now: seconds since the epoch by the clock that set the date: best the answer's own
        C{Date}, see L{read_date}.
    @return: seconds, 0 for what is past, C{None} for what is neither.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        # int() refuses thousands of digits; float() calls them infinite.
        return float(text)
    moment = read_date(text)
    return None if moment is None else max(0.0, moment - now)


def read_date(text: str) -> float | None:
    """
    Read an HTTP date in any of its three forms (RFC 9110 5.6.7).

    @return: seconds since the epoch, or C{None} if it is none.
    """
    try:
        moment = parsedate_to_datetime(text)
        # The obsolete form of asctime names no zone, and means UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _clamped(age: float) -> float:
    return age if age > 0 else 0.0
