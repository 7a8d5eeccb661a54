"""
Lanes: a lane runs blocking work off the reactor's thread, one piece at a time.

Tests use lanes that run work at once, or hold it until the test lets it go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Lane(Protocol):
    """Runs pieces of work in the order in which they are given, never two at the same time."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """
        Run C{work}.

        @return: a Deferred that fires with its result, on the reactor's thread.
        """

    def close(self) -> None:
        """End the lane. No work may be running, and none may follow."""


class ThreadLane:
    """
    A lane with one thread of its own.

    The thread begins with the first piece of work, and so after a daemon has forked.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(1, 1, name)

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        if not self._pool.started:
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, work)

    def close(self) -> None:
        if self._pool.started:
            self._pool.stop()
