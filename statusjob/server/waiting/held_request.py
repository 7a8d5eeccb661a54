"""
The long poll: a request that is held until a job has a state that its client waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from twisted.internet.defer import Deferred

from statusjob.jobs import Job
from statusjob.server.waiting.watchers import Topic, Watchers, job_topic


class LongPoll:
    """
    One long poll for one job.

    It is used by C{with}: inside, the job is watched. Read the job there and, if its state is not
    wanted, await L{next_state}.
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
        @param seconds: how long to wait at most, counted from C{with}.
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
        @raise TooManyWatchers: if one of the limits is reached.
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

    async def next_state(self, is_wanted: Callable[[Job], bool]) -> Job | None:
        """
        Wait for a wanted state, also one that has come since C{with}.

        @param is_wanted: tells whether a state is wanted.
        @return: the newest state, which is wanted; C{None} if time is up or the server stops.
        """
        self._is_wanted = is_wanted
        if not (self._time_is_up or self._watchers.stopping or self._has_arrived()):
            self._waiting = Deferred()
            await self._waiting
        return self._newest if self._has_arrived() else None

    def note_update(self, job: Job) -> bool:
        # With several nodes, updates may come out of order. Ids sort by the time of creation: the
        # newest demo job is the one that counts.
        newest = self._newest
        if newest is None or (job.id, job.version) > (newest.id, newest.version):
            self._newest = job
        return self._is_wanted is not None and self._has_arrived()

    def note_timer(self) -> None:
        self._time_is_up = True

    def take_turn(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def _has_arrived(self) -> bool:
        return (
            self._newest is not None
            and self._is_wanted is not None
            and self._is_wanted(self._newest)
        )
