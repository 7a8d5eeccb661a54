"""
One run of watching a job, from the first request to the last.

A run ends once, for whichever reason comes first: the job has ended, L{Run.end}
was called, there was an error, the timeout has passed, or the run was
cancelled. What is under way is then cancelled, so that nothing stays on the
reactor. How the requests are made is in L{statusjob.client.watch.strategies}.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.task import LoopingCall

from statusjob.client.errors import MonitoringTimeout
from statusjob.client.http.session import Session
from statusjob.client.watch.strategies import Requests, WatchOptions
from statusjob.client.watch.watched import Watched

W = TypeVar("W", bound=Watched)


class Run(Generic[W]):
    """
    One run.

    @ivar watched: what is asked for, with its newest state.
    @ivar ended: whether the run has ended.
    """

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
        self._clock = session.reactor
        self._timeout = options.timeout
        self._problem: Exception | None = None
        self._requests = Requests(session, options, watched, self.update, long_polls=long_polls)
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
            self.update(self.watched.known)
            if prepare is not None and not self.ended:
                await self._requests.interruptible(prepare())
            if not self.ended:
                wait = self._requests.first_wait()
                await self._loop.start(wait, now=not wait)
        except Exception as error:
            if self.ended and not isinstance(error, CancelledError):
                raise
            # If the run has ended already, this is the cancellation of what was under way.
            self.end(error)
        finally:
            if timer is not None and timer.active():
                timer.cancel()
        if self._problem is not None:
            raise self._problem

    def end(self, problem: Exception | None = None) -> None:
        """
        End the run and cancel what is under way. Only the first call counts.

        @param problem: what L{run} raises.
        """
        if self.ended:
            return
        self.ended = True
        self._problem = problem
        if self._loop.running:
            self._loop.stop()
        self._requests.interrupt()

    def update(self, is_new: bool) -> None:
        """
        Tell the newest state to the caller, and end the run if the job has ended.

        @param is_new: whether there is a state that was not told yet.
        """
        if is_new and not self.ended:
            try:
                self.watched.tell()
            except Exception as error:
                # It is an error of the caller's callback, and goes to the caller.
                self.end(error)
        if self.watched.terminal:
            self.end()

    async def _ask_until_wait(self) -> None:
        """Make requests until there is a time to wait before the next one."""
        wait = 0.0
        # A long poll that follows another at once takes the slot that has just become free.
        while not wait and not self.ended:
            wait = await self._requests.make_one()
        # The wait is measured from the answer; a changed interval alone would snap to a grid.
        self._loop.interval = wait
        self._loop.starttime = self._clock.seconds()
