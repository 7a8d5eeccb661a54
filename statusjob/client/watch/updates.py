"""
Something that comes by itself, offered as an asynchronous iterator.

Only the newest is kept for whoever is slow. Nothing happens before the first is
asked for; nothing is left once the iterator is closed, or gone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.jobs import Job

#: Follows a job until its end, and tells each state.
Follow = Callable[[Callable[[Job], object]], Coroutine[Any, Any, None]]


class Updates:
    """
    The states of a job, the newer ones as they come, the last one when it has ended: an
    asynchronous iterator.

    To leave it early, C{break}: with the iterator, what it had under way is gone. Whoever keeps
    it, or wants to wait for that, calls L{aclose} (C{contextlib.aclosing} does). Cancelling the
    wait for the next state ends it, too.
    """

    def __init__(self, reactor: IReactorTime, follow: Follow) -> None:
        # What goes on by itself must not keep alive whoever may lose interest.
        self._latest = _Latest(reactor, follow)

    def __aiter__(self) -> Updates:
        return self

    async def __anext__(self) -> Job:
        job = await self._latest.take()
        if job is None:
            raise StopAsyncIteration
        return job

    def aclose(self) -> Deferred[None]:
        """
        Leave it.

        @return: fires when nothing is under way any more.
        """
        return self._latest.close()

    def __del__(self) -> None:
        self._latest.close()


class _Latest:
    """
    Between what tells states and who takes them.

    Who takes is woken in a turn of its own: it may well end what is telling.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, follow: Follow) -> None:
        self._reactor = reactor
        self._follow = follow
        self._following: Deferred[None] | None = None
        self._under_way = False
        self._job: Job | None = None
        self._failure: Failure | None = None
        self._over = False
        self._taking: Deferred[Job | None] | None = None
        self._waking: IDelayedCall | None = None
        self._closing: list[Deferred[None]] = []

    def take(self) -> Deferred[Job | None]:
        """
        The newest state that was not taken yet, when it is there; C{None} at the end.

        @return: fails with what ended it, if that was not the end of the job. Cancelling it
            closes this.
        """
        if self._taking is not None:
            return fail(RuntimeError("the next state is being waited for already"))
        if self._following is None and not self._over:
            self._under_way = True
            self._following = Deferred.fromCoroutine(self._follow(self._put))
            self._following.addBoth(self._ended)
        if self._there:
            return self._next()
        self._taking = Deferred(self._given_up)
        return self._taking

    def close(self) -> Deferred[None]:
        """Take no more; fires when nothing is under way any more."""
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        over, self._over = self._over, True
        self._job = self._failure = None
        self._wake()
        if self._under_way and not over:
            assert self._following is not None
            self._following.cancel()
        if not self._under_way:
            self._closed()
        return closed

    @property
    def _there(self) -> bool:
        """Whether there is something to take."""
        return self._job is not None or self._over

    def _next(self) -> Deferred[Job | None]:
        job, self._job = self._job, None
        if job is None and self._failure is not None:
            failure, self._failure = self._failure, None
            return fail(failure)
        return succeed(job)

    def _put(self, job: Job) -> None:
        if not self._over:
            self._job = job
            self._wake()

    def _ended(self, result: Failure | None) -> None:
        if isinstance(result, Failure) and not self._over:
            self._failure = result
        elif isinstance(result, Failure) and result.check(CancelledError) is None:
            self._log.failure("a stream of updates that was left failed", result)
        self._over = True
        self._under_way = False
        self._wake()
        self._closed()

    def _closed(self) -> None:
        closing, self._closing = self._closing, []
        for each in closing:
            each.callback(None)

    def _wake(self) -> None:
        if self._taking is not None and self._waking is None:
            self._waking = self._reactor.callLater(0, self._woken)

    def _woken(self) -> None:
        self._waking = None
        taking, self._taking = self._taking, None
        assert taking is not None
        self._next().chainDeferred(taking)

    def _given_up(self, _: object) -> None:
        self._taking = None
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        self.close()
