"""
Lanes for tests: one runs work at once, one holds it until the test lets it go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

T = TypeVar("T")


class InlineLane:
    """For tests: work runs at once, in the caller."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        return maybeDeferred(work)

    def close(self) -> None:
        """Nothing is held."""


class HeldLane:
    """For tests: work runs when told to, so that a test can look at the world before it does."""

    def __init__(self) -> None:
        self._held: deque[Callable[[], object]] = deque()

    @property
    def held(self) -> int:
        """How many pieces of work wait for their step."""
        return len(self._held)

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        result: Deferred[T] = Deferred()
        self._held.append(lambda: maybeDeferred(work).chainDeferred(result))
        return result

    def step(self) -> None:
        """Run the oldest piece of work that is held."""
        self._held.popleft()()

    def close(self) -> None:
        if self._held:
            raise RuntimeError("work is still held")
