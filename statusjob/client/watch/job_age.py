"""
How old the watched job is, and in the end how long it took, as far as that can be told.

Pure: times are arguments, by the clock of whoever watches. It is told what was
asked and answered, and decides nothing.
"""

from __future__ import annotations

import math

#: Servers tell times in whole seconds, so the difference of two is off by less than this.
_ROUNDING = 1.0
#: A server that calls a job older than a year has another idea of time.
_CREDIBLE = 31_536_000.0


class Lifetime:
    """The life of one job. Its age counts from the first question, unless more is known."""

    def __init__(self, created: float | None) -> None:
        """
        @param created: when it was created, if the watcher knows.
        """
        self._created = created
        self._known = created is not None
        self._asked = -math.inf if created is None else created
        self._clock_was_set_back = False
        self._pending: float | None = 0.0 if self._known else None

    def age(self, now: float) -> float:
        """Seconds since it was created; 0 if a clock was set back further than that."""
        return 0.0 if self._created is None else max(0.0, now - self._created)

    def ask(self, now: float) -> None:
        """A question goes out."""
        if self._created is None:
            self._created = now
        self._clock_was_set_back |= now < self._asked
        self._asked = now

    def told(self, now: float, age: float) -> None:
        """
        An answer tells how old it is.

        @param age: seconds, by the server's clock. What the watcher knew beforehand is better.
        """
        if not self._known and 0 <= age <= _CREDIBLE:
            self._known = True
            self._created = now - age
            self._pending = 0.0

    def pending(self) -> None:
        """The answer to the last question was that it is pending."""
        self._pending = max(self._pending or 0.0, self.age(self._asked))

    def ended(self, now: float, since: float | None = None) -> tuple[float, float] | None:
        """
        How long it took, now that it is found to have ended.

        @param since: for how many seconds it has been over by the server's clock, if that tells.
        @return: an age in seconds at which it was pending, and one at which it was not; C{None}
            if it is not known how old it is, or if the clock was set back meanwhile.
        """
        if self._pending is None or self._clock_was_set_back or now < self._asked:
            return None
        low, high = self._pending, self.age(now)
        if since is not None:
            later, sooner = high - since - _ROUNDING, high - since + _ROUNDING
            if later <= high and sooner >= low:
                return max(low, later), min(high, sooner)
        return low, high
