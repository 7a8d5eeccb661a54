"""
A long poll: one wait for one job, no longer than its client asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from twisted.internet.defer import Deferred

from statusjob.jobs import Job
from statusjob.server.waiting.watchers import Topic, Watchers, job_topic


class Wait:
    """
    One wait for one job, no longer than it may take: what a long-poll does.

    Used by C{with}: inside, the job is watched. Read it there, and if that is not what is hoped
    for, ask for what L{changed} brings.
    """

    __slots__ = ("_done", "_newest", "_over", "_seconds", "_watchers", "_woken", "topics")

    def __init__(self, watchers: Watchers, job_id: str | None, seconds: float) -> None:
        """
        @param job_id: C{None} for the demo job.
        @param seconds: how long, from now on.
        """
        self.topics: Sequence[Topic] = (job_topic(job_id),)
        self._watchers = watchers
        self._seconds = seconds
        self._newest: Job | None = None
        self._over = seconds <= 0
        self._done: Callable[[Job], bool] | None = None
        self._woken: Deferred[None] | None = None

    def __enter__(self) -> Wait:
        """
        @raise TooManyWatchers: if there is no room.
        """
        self._watchers.enter(self)
        self._watchers.remind(self, self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchers.leave(self)

    async def changed(self, done: Callable[[Job], bool]) -> Job | None:
        """
        Wait until a state that has come since this was entered is hoped for.

        @param done: whether it is.
        @return: the newest such; C{None} if time is up or the server is stopping.
        """
        self._done = done
        if not (self._over or self._watchers.stopping or self._hoped_for()):
            self._woken = Deferred()
            await self._woken
        return self._newest if self._hoped_for() else None

    def tell(self, job: Job) -> bool:
        # Where there are many nodes, updates may come out of order. Ids sort by their making.
        newest = self._newest
        if newest is None or (job.id, job.version) > (newest.id, newest.version):
            self._newest = job
        return self._done is not None and self._hoped_for()

    def ring(self) -> None:
        self._over = True

    def turn(self) -> None:
        if self._woken is not None:
            woken, self._woken = self._woken, None
            woken.callback(None)

    def _hoped_for(self) -> bool:
        return self._newest is not None and self._done is not None and self._done(self._newest)
