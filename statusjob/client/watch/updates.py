"""
The updates of a job, offered as an asynchronous iterator.

Only the newest update is kept for a consumer that is slow. Nothing is requested
before the first update is asked for, and nothing is left when the iterator is
closed or no longer referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.client.models import LocatedJob

#: Follows a job until its end, and calls its argument with each state.
Follow = Callable[[Callable[[LocatedJob], object]], Coroutine[Any, Any, None]]


class Updates:
    """
    The states of a job as they come, the last when the job has ended: an asynchronous iterator.

    To leave it early, C{break}: when the iterator is no longer referred to, everything that it
    has under way is cancelled. If you keep a reference, or want to wait for that, call L{aclose}
    (C{contextlib.aclosing} does). Cancelling the wait for the next state closes the iterator, too.
    """

    def __init__(self, reactor: IReactorTime, follow: Follow) -> None:
        # What is under way refers to _latest and not to self, so that __del__ is called although
        # it goes on.
        self._latest = _Latest(reactor, follow)

    def __aiter__(self) -> Updates:
        return self

    async def __anext__(self) -> LocatedJob:
        job = await self._latest.take()
        if job is None:
            raise StopAsyncIteration
        return job

    def aclose(self) -> Deferred[None]:
        """
        Close the iterator.

        @return: fires when nothing is under way any more.
        """
        return self._latest.close()

    def __del__(self) -> None:
        # Garbage is collected in any thread.
        self._latest.close_from_any_thread()


class _Latest:
    """
    Holds the newest state, between the run that brings states and the consumer that takes them.

    The consumer is resumed in a reactor turn of its own, because it may close the iterator, which
    cancels the run.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, follow: Follow) -> None:
        self._reactor = reactor
        self._follow = follow
        self._following: Deferred[None] | None = None
        self._under_way = False
        self._job: LocatedJob | None = None
        self._failure: Failure | None = None
        self._over = False
        self._consumer: Deferred[LocatedJob | None] | None = None
        self._resumption: IDelayedCall | None = None
        self._closing: list[Deferred[None]] = []

    def take(self) -> Deferred[LocatedJob | None]:
        """
        Wait for a state that was not taken yet.

        @return: fires with the newest such state, or with C{None} after the last one. Fails with
            what ended the run, if that was not the end of the job. Cancelling it closes this.
        """
        if self._consumer is not None:
            return fail(RuntimeError("another call already waits for the next state"))
        if self._following is None and not self._over:
            self._under_way = True
            self._following = Deferred.fromCoroutine(self._follow(self._put))
            self._following.addBoth(self._run_ended)
        if self._job is not None or self._over:
            return self._next()
        self._consumer = Deferred(self._consumer_cancelled)
        return self._consumer

    def close(self) -> Deferred[None]:
        """
        Cancel what is under way, and discard what was not taken.

        @return: fires when nothing is under way any more.
        """
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        was_over, self._over = self._over, True
        self._job = self._failure = None
        self._resume_consumer()
        if self._under_way and not was_over:
            assert self._following is not None
            self._following.cancel()
        if not self._under_way:
            self._fire_closing()
        return closed

    def close_from_any_thread(self) -> None:
        """Close this, in the reactor's thread."""
        if not self._under_way:
            return
        if IReactorFromThreads.providedBy(self._reactor):
            self._reactor.callFromThread(self.close)
        else:
            # A clock of a test has no threads.
            self.close()

    def _next(self) -> Deferred[LocatedJob | None]:
        job, self._job = self._job, None
        if job is None and self._failure is not None:
            failure, self._failure = self._failure, None
            return fail(failure)
        return succeed(job)

    def _put(self, job: LocatedJob) -> None:
        if not self._over:
            self._job = job
            self._resume_consumer()

    def _run_ended(self, result: Failure | None) -> None:
        if isinstance(result, Failure) and not self._over:
            self._failure = result
        elif isinstance(result, Failure) and result.check(CancelledError) is None:
            self._log.failure("following a job failed after its updates were closed", result)
        self._over = True
        self._under_way = False
        self._resume_consumer()
        self._fire_closing()

    def _fire_closing(self) -> None:
        closing, self._closing = self._closing, []
        for each in closing:
            each.callback(None)

    def _resume_consumer(self) -> None:
        if self._consumer is not None and self._resumption is None:
            self._resumption = self._reactor.callLater(0, self._give_next)

    def _give_next(self) -> None:
        self._resumption = None
        consumer, self._consumer = self._consumer, None
        assert consumer is not None
        self._next().chainDeferred(consumer)

    def _consumer_cancelled(self, _: object) -> None:
        self._consumer = None
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None
        self.close()
