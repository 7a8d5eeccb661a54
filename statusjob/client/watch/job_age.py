"""
The age of the watched job and, when it has ended, how long it took.

Pure: times are arguments, by the watcher's clock. L{JobAge} is told about each
request and each answer, and draws its conclusions from them.
"""

from __future__ import annotations

import math

#: Servers tell times in whole seconds: the difference of two of them is off by less than this.
_ROUNDING = 1.0
#: A server that calls a job older than a year (in seconds) has a wrong clock.
_LONGEST_CREDIBLE = 31_536_000.0


class JobAge:
    """
    The age of one job. It counts from the first request until more is known.

    @ivar known: whether the job's creation time is known, from the watcher or from the server.
    """

    def __init__(self, created: float | None) -> None:
        """
        @param created: when the job was created, in seconds; C{None} if the watcher does not know.
        """
        self.known = created is not None
        self._created = created
        self._last_request = -math.inf if created is None else created
        self._clock_was_set_back = False
        # The greatest age at which the job was certainly pending; None if there is none.
        self._pending_at: float | None = 0.0 if self.known else None

    def age(self, now: float) -> float:
        """Return the seconds since the job's creation, or 0 if the clock was set back too far."""
        return 0.0 if self._created is None else max(0.0, now - self._created)

    def request_sent(self, now: float) -> None:
        """Take note that a request is sent now."""
        if self._created is None:
            self._created = now
        self._clock_was_set_back |= now < self._last_request
        self._last_request = now

    def server_told(self, now: float, age: float) -> None:
        """
        Take note of the age that an answer tells.

        It is ignored if it is not credible, or if the age is known already.

        @param age: seconds, by the server's clock.
        """
        if not self.known and 0 <= age <= _LONGEST_CREDIBLE:
            self.known = True
            self._created = now - age
            self._pending_at = 0.0

    def found_pending(self) -> None:
        """Take note that the job was pending when the last request was sent."""
        self._pending_at = max(self._pending_at or 0.0, self.age(self._last_request))

    def found_ended(
        self, now: float, ended_since: float | None = None
    ) -> tuple[float, float] | None:
        """
        Tell how long the job took, now that it is found to have ended.

        @param ended_since: for how many seconds it has been over by the server's clock; C{None}
            if the server does not tell. It is ignored if it contradicts what was seen.
        @return: an age in seconds at which the job was pending, and one at which it had ended.
            C{None} if its age is not known, or if the clock was set back meanwhile.
        """
        if self._pending_at is None or self._clock_was_set_back or now < self._last_request:
            return None
        low, high = self._pending_at, self.age(now)
        if ended_since is not None:
            earliest = high - ended_since - _ROUNDING
            latest = high - ended_since + _ROUNDING
            if earliest <= high and latest >= low:
                return max(low, earliest), min(high, latest)
        return low, high
