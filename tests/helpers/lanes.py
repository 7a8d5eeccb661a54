"""Lanes that run work at once, or when a test tells them to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

T = TypeVar("T")


class InlineLane:
    """A lane that runs work at once, in the caller."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        return maybeDeferred(work)

    def close(self) -> None:
        """Do nothing: no work waits."""


class HeldLane:
    """A lane that runs work step by step, so that a test can look at the state in between."""

    def __init__(self) -> None:
        self._held: deque[Callable[[], object]] = deque()

    @property
    def held(self) -> int:
        """How many pieces of work wait."""
        return len(self._held)

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        result: Deferred[T] = Deferred()
        self._held.append(lambda: maybeDeferred(work).chainDeferred(result))
        return result

    def step(self) -> None:
        """Run the piece of work that has waited longest."""
        self._held.popleft()()

    def close(self) -> None:
        if self._held:
            raise RuntimeError("work is still held")
