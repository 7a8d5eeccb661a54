"""
Batches: calls that arrive while a lane is busy run together, as its next piece of work.

Calls are grouped on the reactor's thread, and only SQL runs in a lane. So a test can run the same
store inline, or hold a commit and look at everything else meanwhile.
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
from statusjob.server.store.outage import Outage

T = TypeVar("T")

#: Most calls in one batch, and most calls that may wait for a batch.
BATCH_LIMIT = 256
QUEUE_LIMIT = 10_000


class CallResult(Struct, Generic[T], frozen=True):
    """
    The result of one call of a batch.

    @ivar value: what the call returned.
    @ivar error: what the call raised; C{None} if it returned.
    """

    value: T | None = None
    error: Exception | None = None


class Batches(Generic[T]):
    """
    Groups calls into batches for a lane. One batch is in flight; calls that arrive meanwhile make
    up the next one.
    """

    def __init__(
        self,
        lane: Lane,
        perform: Callable[[Sequence[Callable[[Any], Any]]], tuple[list[CallResult[Any]], T]],
        settled: Callable[[T], None],
        outage: Outage | None = None,
        *,
        drop_cancelled: bool = False,
    ) -> None:
        """
        @param perform: runs a batch in the lane. It returns one result per call, in order, and a
            value for the whole batch. It may end the batch early, after at least one call: those
            without a result begin the next batch. If it raises, every call of the batch fails with
            that.
        @param settled: receives the value for the whole batch on the reactor's thread, before any
            call is answered.
        @param outage: is told which batches failed as a whole.
        @param drop_cancelled: whether a call that waits is not run once its answer is cancelled.
            This is for calls that change nothing: who has hung up does not delay others.
        """
        self._lane = lane
        self._perform = perform
        self._settled = settled
        self._outage = outage
        self._drop_cancelled = drop_cancelled
        self._waiting: deque[tuple[Callable[[Any], Any], Deferred[Any]]] = deque()
        self._busy = False
        self._closed = False
        self._idle: list[Deferred[None]] = []

    def add(self, call: Callable[[Any], Any]) -> Deferred[Any]:
        """
        Add a call to the next batch.

        @return: fires with the call's value, or fails with what it raised, or with L{StoreBusy} if
            too many calls wait already. Cancelling it ends only the wait, not the call, unless
            cancelled calls are dropped.
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
        """Refuse further calls. Fires once no call waits or is in flight."""
        self._closed = True
        idle: Deferred[None] = Deferred()
        if self._busy:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def _next(self) -> None:
        self._busy = True
        batch: list[tuple[Callable[[Any], Any], Deferred[Any]]] = []
        while self._waiting and len(batch) < BATCH_LIMIT:
            call, answer = self._waiting.popleft()
            if not (self._drop_cancelled and answer.called):
                batch.append((call, answer))
        if not batch:
            self._start_next_or_rest(None)
            return
        calls = [call for call, _ in batch]
        running = self._lane.run(lambda: self._perform(calls))
        running.addCallbacks(
            self._answer, self._fail_all, callbackArgs=(batch,), errbackArgs=(batch,)
        )
        running.addBoth(self._start_next_or_rest)

    def _answer(
        self,
        performed: tuple[list[CallResult[Any]], T],
        batch: list[tuple[Callable[[Any], Any], Deferred[Any]]],
    ) -> None:
        results, shared = performed
        if self._outage is not None:
            self._outage.note_success()
        self._waiting.extendleft(reversed(batch[len(results) :]))
        self._settled(shared)
        for (_, answer), result in zip(batch, results, strict=False):
            if result.error is None:
                answer.callback(result.value)
            else:
                answer.errback(result.error)

    def _fail_all(
        self, reason: Failure, batch: list[tuple[Callable[[Any], Any], Deferred[Any]]]
    ) -> None:
        error = cast(Exception, reason.value)
        if self._outage is not None:
            self._outage.note_failure(error)
        for _, answer in batch:
            answer.errback(error)

    def _start_next_or_rest(self, result: object) -> object:
        # Only now, so that all calls which the answers caused make up one batch.
        if self._waiting:
            self._next()
        else:
            self._busy = False
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)
        return result
