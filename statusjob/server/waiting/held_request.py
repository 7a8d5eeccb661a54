"""
A long poll: one wait for one job, no longer than its client asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from twisted.internet.defer import Deferred

from statusjob.jobs import Job
from statusjob.server.waiting.watchers import Topic, Watchers, job_topic


class LongPoll:
    """
    One wait for one job, no longer than it may take: what a long-poll does.

    Used by C{with}: inside, the job is watched. Read it there, and if that is not what is hoped
    for, ask for what L{next_state} brings.
    """

    __slots__ = (
        "_is_wanted",
        "_newest",
        "_seconds",
        "_time_is_up",
        "_waiting",
        "_watchers",
        "topics",
    )

    def __init__(self, watchers: Watchers, job_id: str | None, seconds: float) -> None:
        """
        @param job_id: C{None} for the demo job.
        @param seconds: how long, from now on.
        """
        self.topics: Sequence[Topic] = (job_topic(job_id),)
        self._watchers = watchers
        self._seconds = seconds
        self._newest: Job | None = None
        self._time_is_up = seconds <= 0
        self._is_wanted: Callable[[Job], bool] | None = None
        self._waiting: Deferred[None] | None = None

    def __enter__(self) -> LongPoll:
        """
        @raise TooManyWatchers: if there is no room.
        """
        self._watchers.enter(self)
        self._watchers.set_timer(self, self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchers.leave(self)

    async def next_state(self, done: Callable[[Job], bool]) -> Job | None:
        """
        Wait until a state that has come since this was entered is hoped for.

        @param done: whether it is.
        @return: the newest such; C{None} if time is up or the server is stopping.
        """
        self._is_wanted = done
        if not (self._time_is_up or self._watchers.stopping or self._has_arrived()):
            self._waiting = Deferred()
            await self._waiting
        return self._newest if self._has_arrived() else None

    def note_update(self, job: Job) -> bool:
        # Where there are many nodes, updates may come out of order. Ids sort by their making.
        newest = self._newest
        if newest is None or (job.id, job.version) > (newest.id, newest.version):
            self._newest = job
        return self._is_wanted is not None and self._has_arrived()

    def note_timer(self) -> None:
        self._time_is_up = True

    def take_turn(self) -> None:
        if self._waiting is not None:
            woken, self._waiting = self._waiting, None
            woken.callback(None)

    def _has_arrived(self) -> bool:
        return (
            self._newest is not None
            and self._is_wanted is not None
            and self._is_wanted(self._newest)
        )
