"""
Turns: many things that have something to do at the same time do it a few per iteration of the
reactor, so that thousands of them do not hold it up.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

T = TypeVar("T")


class Turns(Generic[T]):
    """Those that wait for a turn, in the order in which they came."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        take: Callable[[T], None],
        limit: int,
        *,
        resting: bool = False,
    ) -> None:
        """
        @param take: lets one take its turn. If it raises, that is logged.
        @param limit: most turns in one iteration of the reactor.
        @param resting: whether to rest after some turns for as long as they took, so that at least
            half of the time, and Python's global lock, is left to others.
        """
        self._reactor = reactor
        self._take = take
        self._limit = limit
        self._resting = resting
        self._waiting: dict[T, None] = {}
        self._call: IDelayedCall | None = None

    def add(self, one: T) -> None:
        """Let C{one} take a turn soon. If it waits for one already, nothing changes."""
        self._waiting[one] = None
        if self._call is None:
            self._call = self._reactor.callLater(0, self._next)

    def discard(self, one: T) -> None:
        """Let C{one} take no turn, if it waits for one."""
        self._waiting.pop(one, None)

    def clear(self) -> None:
        """Let nobody take a turn, and leave nothing on the reactor."""
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _next(self) -> None:
        self._call = None
        begin = self._reactor.seconds()
        for one in tuple(islice(self._waiting, self._limit)):
            # The turn of another may have discarded it.
            if one in self._waiting:
                del self._waiting[one]
                try:
                    self._take(one)
                except Exception:
                    self._log.failure("a turn failed")
        if self._waiting and self._call is None:
            took = max(0.0, self._reactor.seconds() - begin)
            self._call = self._reactor.callLater(took if self._resting else 0, self._next)
