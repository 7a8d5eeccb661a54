"""
For how long the server has been able to hear workers.

A worker that is silent for longer than its job's heartbeat is lost. But nobody is judged by a time
in which the server could not hear: before its start, while its process was stopped or its machine
asleep, around a step of the clock, while nothing could be stored, or once its ports are closed.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

#: Seconds between two ticks. One that comes later than expected by more than L{LATE} seconds ends
#: a gap.
TICK = 0.25
LATE = 1.0
#: The clock counts as set if it moves against the reactor's by more than so many seconds.
CLOCK_STEP = 0.5


class Listening:
    """Measures for how long the server has listened without a gap. A part of the server."""

    def __init__(self, reactor: IReactorTime, now: Callable[[], float]) -> None:
        """
        @param now: gives the present by the clock that may be set, in seconds since the epoch.
        """
        self._reactor = reactor
        self._now = now
        self._deaf = True
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self._begin(reactor.seconds())

    def start(self) -> None:
        """Listen from now on."""
        self._deaf = False
        self._begin(self._reactor.seconds())
        self._loop.start(TICK)

    async def stop(self, seconds: float = 0.0) -> None:
        """Listen no more."""
        self.cease()
        if self._loop.running:
            self._loop.stop()

    def seconds(self) -> float:
        """
        For how many seconds the server has listened until now. It may be called in a lane: the
        reactor may be late to notice a gap, so this looks for one, too.
        """
        present = self._reactor.seconds()
        return 0.0 if self._deaf or self._interrupted(present) else present - self._since

    def interrupt(self) -> None:
        """Note that the server could not hear until now."""
        self._begin(self._reactor.seconds())

    def cease(self) -> None:
        """Note that the server hears nobody any more."""
        self._deaf = True

    def _begin(self, present: float) -> None:
        self._since = self._ticked = present
        self._ahead = self._now() - present

    def _interrupted(self, present: float) -> bool:
        late = present - self._ticked - TICK
        return late > LATE or abs(self._now() - present - self._ahead) > CLOCK_STEP

    def _tick(self) -> None:
        present = self._reactor.seconds()
        if self._interrupted(present):
            self._begin(present)
        self._ticked = present
