"""
Batches: calls that arrive while a lane is busy are run together as its next piece of work.

Grouping happens on the reactor and only SQL runs in a lane, so that a test can
run the same store inline, or hold a commit and look at the world meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from statusjob.server.lanes import Lane
from statusjob.server.store.interface import StoreBusy, StoreUnavailable

T = TypeVar("T")

#: Calls that go into one batch, and calls that may wait for theirs.
BATCH_LIMIT = 256


QUEUE_LIMIT = 10_000


class Outcome(Struct, Generic[T], frozen=True):
    """What became of one call of a batch: a value, or why there is none."""

    value: T | None = None
    error: Exception | None = None


class Batches(Generic[T]):
    """
    Groups calls into batches for a lane: one is in flight, what arrives meanwhile is the next.

    @ivar _perform: runs in the lane; gives one outcome a call, in order, and something more
        that concerns the whole batch. If it raises, every call of the batch fails with that.
    @ivar _settled: told that something more on the reactor, before any call is answered.
    """

    def __init__(
        self,
        lane: Lane,
        perform: Callable[[Sequence[Callable[[Any], Any]]], tuple[list[Outcome[Any]], T]],
        settled: Callable[[T], None],
    ) -> None:
        self._lane = lane
        self._perform = perform
        self._settled = settled
        self._waiting: deque[tuple[Callable[[Any], Any], Deferred[Any]]] = deque()
        self._busy = False
        self._closed = False
        self._idle: list[Deferred[None]] = []

    def add(self, call: Callable[[Any], Any]) -> Deferred[Any]:
        """
        Let C{call} take part in the next batch.

        The Deferred has no canceller: cancelling it abandons the wait, not the call. It fails
        with L{StoreBusy} if too many calls wait already.
        """
        answer: Deferred[Any] = Deferred()
        if self._closed:
            answer.errback(StoreUnavailable("the store is closed"))
        elif len(self._waiting) >= QUEUE_LIMIT:
            answer.errback(StoreBusy("too much is waiting to be stored"))
        else:
            self._waiting.append((call, answer))
            if not self._busy:
                self._next()
        return answer

    def close(self) -> Deferred[None]:
        """Take no more calls; fires when none waits and none is in flight."""
        self._closed = True
        idle: Deferred[None] = Deferred()
        if self._busy:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def _next(self) -> None:
        self._busy = True
        batch = [self._waiting.popleft() for _ in range(min(BATCH_LIMIT, len(self._waiting)))]
        calls = [call for call, _ in batch]
        running = self._lane.run(lambda: self._perform(calls))
        running.addCallbacks(self._answer, _every, callbackArgs=(batch,), errbackArgs=(batch,))
        running.addBoth(self._go_on)

    def _answer(
        self,
        result: tuple[list[Outcome[Any]], T],
        batch: list[tuple[Callable[[Any], Any], Deferred[Any]]],
    ) -> None:
        outcomes, more = result
        self._settled(more)
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            if outcome.error is None:
                answer.callback(outcome.value)
            else:
                answer.errback(outcome.error)

    def _go_on(self, result: object) -> object:
        # Only now, so that calls which the answers provoked form one batch, not one and a rest.
        if self._waiting:
            self._next()
        else:
            self._busy = False
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)
        return result


def _every(reason: Failure, batch: list[tuple[Callable[[Any], Any], Deferred[Any]]]) -> None:
    for _, answer in batch:
        answer.errback(cast(Exception, reason.value))
