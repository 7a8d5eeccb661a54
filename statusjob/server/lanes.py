"""
Lanes: where blocking work runs, off the reactor's thread, one piece at a time.

A test can give a lane that runs work at once, or one that holds it.
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
    """Runs pieces of work in the order given, never two at once."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Run C{work}; the Deferred fires on the reactor's thread."""

    def close(self) -> None:
        """Release what the lane holds. Nothing may be running, and no work may follow."""


class ThreadLane:
    """One thread of its own, begun with the first work (so after a daemon has forked)."""

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
