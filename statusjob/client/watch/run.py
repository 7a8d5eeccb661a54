"""
One run of watching a job, from the first request to the last.

A run ends once, for whichever reason comes first: the job has ended, L{Run.end}
was called, there was an error, the timeout has passed, or the run was
cancelled. What is under way is then cancelled, so that nothing stays on the
reactor. Only a callback is treated differently: one that is under way at the end
of the job is waited for, and one that is under way when L{Run.end} is called
goes on. How the requests are made is in L{statusjob.client.watch.requests}.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.client.errors import MonitoringTimeout
from statusjob.client.http.session import Session
from statusjob.client.watch.callbacks import Callbacks
from statusjob.client.watch.requests import Interrupted, WatchOptions, WatchRequests
from statusjob.client.watch.watched import Watched

W = TypeVar("W", bound=Watched)


class Run(Generic[W]):
    """
    One run.

    @ivar watched: what is asked for, with its newest state.
    @ivar ended: whether nothing more is asked for: the job has ended, or the run.
    """

    _log = Logger()

    def __init__(
        self,
        session: Session,
        options: WatchOptions,
        watched: W,
        *,
        long_polls: bool = False,
    ) -> None:
        """
        @param long_polls: whether the server is known to support long polls.
        """
        self.watched = watched
        self.ended = False
        # Whether the run has ended, so that it waits for no callback.
        self._over = False
        self._clock = session.reactor
        self._timeout = options.timeout
        self._problem: BaseException | None = None
        self._requests = WatchRequests(
            session, options, watched, self.update, long_polls=long_polls
        )
        self._callbacks = Callbacks(self._callback_failed)
        self._loop = LoopingCall(self._ask_until_wait)
        self._loop.clock = session.reactor

    async def run(self, prepare: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """
        Watch the job until the run ends. To be called once.

        @param prepare: called before the first request.
        @raise Exception: what ended the run, unless the job has ended or L{end} was called.
        """
        timer = None
        if self._timeout is not None:
            late = MonitoringTimeout(f"no terminal result within {self._timeout:g} s")
            timer = self._clock.callLater(self._timeout, self.end, late)
        try:
            with suppress(Interrupted):
                await self._ask(prepare)
            # Here the job or the run has ended.
            with suppress(Interrupted):
                await self._wait_for_callbacks()
        except Exception as error:
            if self.ended and not isinstance(error, CancelledError):
                raise
            self.end(error)
        finally:
            if timer is not None and timer.active():
                timer.cancel()
        if self._problem is not None:
            self._callbacks.cancel()
            raise self._problem

    def end(self, problem: BaseException | None = None) -> None:
        """
        End the run and cancel what is under way. Only the first call counts.

        @param problem: what L{run} raises. Without one, a callback that is under way goes on.
        """
        if self._over:
            return
        self._over = True
        self._problem = problem
        self._stop_asking()

    def update(self, is_new: bool) -> None:
        """
        Tell the newest state to the caller, and ask no more if the job has ended.

        @param is_new: whether there is a state that was not told yet.
        """
        if is_new and not self.ended:
            self._callbacks.call(self.watched.tell)
        if self.watched.terminal and not self.ended:
            self._stop_asking()

    def _stop_asking(self) -> None:
        self.ended = True
        # This order: a loop that is stopped lets the run go on to its last wait at once.
        self._requests.interrupt()
        if self._loop.running:
            self._loop.stop()

    async def _ask(self, prepare: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        """Make requests until the job or the run has ended."""
        self.update(self.watched.known)
        await self._wait_for_callbacks()
        if prepare is not None and not self.ended:
            await self._requests.interruptible(prepare())
        if not self.ended:
            wait = self._requests.first_wait()
            await self._loop.start(wait, now=not wait)

    async def _ask_until_wait(self) -> None:
        """Make requests until there is a time to wait before the next one."""
        wait = 0.0
        # A long poll that follows another at once takes the slot that has just become free.
        while not wait and not self.ended:
            wait = await self._requests.make_one()
            answered = self._clock.seconds()
            if not self.ended:
                await self._wait_for_callbacks()
            # The wait is measured from the answer. A clock that was set does not change it.
            now = self._clock.seconds()
            wait = max(0.0, wait - max(0.0, now - answered))
        # A changed interval alone would snap to a grid.
        self._loop.interval = wait
        self._loop.starttime = self._clock.seconds()

    async def _wait_for_callbacks(self) -> None:
        """Wait until no callback is under way, unless the run ends before that."""
        while not self._over and not self._callbacks.idle:
            await self._requests.interruptible(self._callbacks.wait())

    def _callback_failed(self, failure: Failure) -> None:
        """Let the error of a callback go to the caller; log it if the run has ended before."""
        if not self._over:
            self.end(failure.value)
        elif failure.check(CancelledError) is None:
            self._log.failure("a callback failed after the watching of its job", failure)
