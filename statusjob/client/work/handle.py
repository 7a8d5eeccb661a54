"""
A job that is being done: what its worker says of it, told to the server now and then.

The newest counts: however often there is progress, it is reported twice a second
at most. Where a heartbeat is expected and nothing is said, one is sent. A report
that fails is tried again, with what is newest then, for as long as the work goes
on; what the server does not accept any more, because somebody cancelled the job,
say, ends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from math import isfinite
from typing import Any

from msgspec import UNSET, UnsetType
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.client.errors import Transient
from statusjob.client.work.eta import Extrapolation
from statusjob.contract import codec
from statusjob.contract.jobs import Report
from statusjob.jobs import Job
from statusjob.pace.bounds import Pace

#: Shortest time from one report to the next, and the longest wait after one that failed (seconds).
REPORT_INTERVAL = 0.5
LONGEST_WAIT = 30.0
#: So many reports there are in the time in which one is expected; at most one in so many seconds.
BEATS = 3
SHORTEST_BEAT = 0.1


class JobHandle:
    """
    What the work of L{WorkerClient.run} is given.

    @ivar job: as the server last told.
    @ivar problem: why nothing more can be said of it, if so: L{JobCancelled}, say.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        job: Job,
        *,
        report: Callable[[Mapping[str, object]], Awaitable[Job]],
        stop: Callable[[], object],
        random: Callable[[], float],
    ) -> None:
        """
        @param report: makes one report, once.
        @param stop: called when there is a L{problem}.
        @param random: draws numbers from 0 to 1.
        """
        self._reactor = reactor
        self._report = report
        self._stop = stop
        self._random = random
        self.job = job
        self.problem: Exception | None = None
        self._beat: float | None = None
        if job.heartbeat is not None:
            self._beat = max(SHORTEST_BEAT, job.heartbeat / BEATS)
        longest = min(LONGEST_WAIT, self._beat or LONGEST_WAIT)
        self._pace = Pace(min(1.0, longest), longest)
        now = reactor.seconds()
        self._extrapolation: Extrapolation | None = Extrapolation(now, job.progress or 0.0)
        # Members of the next report; an eta as the time that it stands for.
        self._unsaid: dict[str, Any] = {}
        # When the last report was begun, or failed.
        self._said_at = now
        self._failures = 0
        self._asked_to_wait: float | None = None
        self._next: IDelayedCall | None = None
        self._saying: Deferred[None] | None = None
        self._closed = False
        self._plan()

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    def progress(
        self,
        progress: float | UnsetType | None = UNSET,
        *,
        message: str | UnsetType | None = UNSET,
        eta: float | UnsetType | None = UNSET,
    ) -> None:
        """
        Say how far it is, as often as you like. What is not given stays as it is, C{None} clears
        it.

        @param progress: 0 to 1.
        @param message: for people, at most 1 KiB.
        @param eta: seconds from now until it will be done. As long as you never say, it is told
            from the progress, when there has been some.
        @raise ValueError: if that cannot be reported.
        """
        given = {"progress": progress, "message": message, "eta": eta}
        members = {name: value for name, value in given.items() if value is not UNSET}
        if any(isinstance(each, float) and not isfinite(each) for each in members.values()):
            raise ValueError("numbers must be finite")
        codec.decode(codec.encode(members), Report)
        now = self._reactor.seconds()
        if eta is not UNSET:
            self._extrapolation = None
        elif self._extrapolation is not None and isinstance(progress, (int, float)):
            eta = self._extrapolation.told(now, progress)
        if isinstance(eta, (int, float)):
            members["eta"] = now + eta
        planned = bool(self._unsaid)
        self._unsaid.update(members)
        if not planned:
            self._plan()

    async def close(self) -> Mapping[str, object]:
        """
        Say no more.

        @return: what was not said yet, to be said along with the last word.
        """
        self._closed = True
        self._cancel()
        if self._saying is not None:
            # Reports must not overtake each other.
            await self._saying
        self._unsaid.pop("eta", None)
        return self._unsaid

    def abandon(self) -> None:
        """Say no more; what is being said is cut short."""
        self._closed = True
        self._cancel()
        if self._saying is not None:
            self._saying.cancel()

    def _cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _plan(self) -> None:
        """Have the next report made when it is due."""
        if self._closed or self._saying is not None:
            return
        self._cancel()
        if self._failures:
            wait = self._pace.backoff(
                self._failures, draw=self._random(), retry_after=self._asked_to_wait
            )
        elif self._unsaid:
            wait = REPORT_INTERVAL
        elif self._beat is not None:
            wait = self._beat
        else:
            return
        # A clock that was set back must not silence it.
        passed = max(0.0, self._reactor.seconds() - self._said_at)
        self._next = self._reactor.callLater(max(0.0, wait - passed), self._say)

    def _say(self) -> None:
        self._next = None
        self._said_at = self._reactor.seconds()
        self._saying = Deferred.fromCoroutine(self._once(dict(self._unsaid)))
        self._saying.addErrback(self._failed)
        self._saying.addCallback(self._said)

    async def _once(self, said: Mapping[str, Any]) -> None:
        members = dict(said)
        if members.get("eta") is not None:
            members["eta"] = max(0.0, members["eta"] - self._said_at)
        self.job = await self._report(members)
        self._failures = 0
        for name, value in said.items():
            # Unless there is something newer by now.
            if self._unsaid[name] is value:
                del self._unsaid[name]

    def _failed(self, failure: Failure) -> None:
        problem: Any = failure.value
        if isinstance(problem, Transient):
            self._said_at = self._reactor.seconds()
            self._failures += 1
            self._asked_to_wait = problem.retry_after
            self._log.info("a report is repeated soon: {problem}", problem=str(problem))
        elif not self._closed:
            self._closed = True
            self.problem = problem
            self._stop()

    def _said(self, _: None) -> None:
        self._saying = None
        self._plan()
