"""Measures how late a reactor makes its calls, which is how long other calls have blocked it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IDelayedCall

#: Seconds between two looks at the clock.
PERIOD = 0.001


@dataclass(frozen=True, slots=True)
class Lag:
    """By how many milliseconds the calls of a reactor were late."""

    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f}, p99 {self.p99:.1f}, max {self.longest:.1f} ms"


class Meter:
    """Schedules a call again and again, and measures how late it is made."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._late: list[float] = []
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._late.clear()
        self._due = time.perf_counter() + PERIOD
        self._call = self._reactor.callLater(PERIOD, self._look)

    def stop(self) -> Lag:
        """Stop, and return what was measured."""
        assert self._call is not None
        self._call.cancel()
        cuts = statistics.quantiles([*self._late, 0.0], n=100, method="inclusive")
        return Lag(cuts[49] * 1000, cuts[98] * 1000, max(self._late) * 1000)

    def _look(self) -> None:
        now = time.perf_counter()
        self._late.append(max(0.0, now - self._due))
        self._due = now + PERIOD
        self._call = self._reactor.callLater(PERIOD, self._look)
