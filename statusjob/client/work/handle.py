"""
What a running job's function reports, sent to the server now and then.

Only the newest state counts: however often the function reports progress, at
most two reports per second are sent. Where the server expects heartbeats, they
are sent while there is nothing else to report. A report that fails is repeated,
with the newest state, for as long as the function runs. If the server refuses
it (because somebody cancelled the job, for example), that ends the job's run.
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
from statusjob.client.work.eta import EtaEstimate
from statusjob.contract import codec
from statusjob.contract.jobs import Report
from statusjob.jobs import Job
from statusjob.pace.bounds import Pace

#: Shortest time in seconds from one report to the next.
REPORT_INTERVAL = 0.5
#: Longest wait in seconds after a report that failed.
LONGEST_RETRY_WAIT = 30.0
#: How many heartbeats are sent in the time in which the server expects one.
HEARTBEATS_PER_LIMIT = 3
#: Shortest time in seconds between two heartbeats.
SHORTEST_HEARTBEAT = 0.1


class JobHandle:
    """
    A job that is being run: what the function given to L{WorkerClient.run} is called with.

    @ivar job: the job as the server last described it.
    @ivar problem: why nothing more can be reported, such as L{JobCancelled}; C{None} if it can.
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
        @param report: sends one report, once.
        @param stop: called when there is a L{problem}.
        @param random: returns random numbers from 0 to 1.
        """
        self.job = job
        self.problem: Exception | None = None
        self._reactor = reactor
        self._report = report
        self._stop = stop
        self._random = random
        self._heartbeat_interval: float | None = None
        if job.heartbeat is not None:
            self._heartbeat_interval = max(
                SHORTEST_HEARTBEAT, job.heartbeat / HEARTBEATS_PER_LIMIT
            )
        longest = min(LONGEST_RETRY_WAIT, self._heartbeat_interval or LONGEST_RETRY_WAIT)
        self._pace = Pace(min(1.0, longest), longest)
        now = reactor.seconds()
        # None once the function gives ETAs of its own.
        self._eta_estimate: EtaEstimate | None = EtaEstimate(now, job.progress or 0.0)
        # Members of the next report; an ETA as the time that it stands for.
        self._unreported: dict[str, Any] = {}
        # When the last report was sent, or failed.
        self._last_report = now
        self._failures = 0
        self._retry_after: float | None = None
        self._timer: IDelayedCall | None = None
        self._reporting: Deferred[None] | None = None
        self._closed = False
        self._schedule_report()

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
        Report how far the job is, as often as you like.

        An argument that is not given leaves its value as it is; C{None} clears it.

        @param progress: from 0 to 1.
        @param message: for people, at most 1 KiB.
        @param eta: seconds from now until the job will be done. As long as you never give it, it
            is estimated from the progress.
        @raise ValueError: if the values cannot be reported.
        """
        given = {"progress": progress, "message": message, "eta": eta}
        members = {name: value for name, value in given.items() if value is not UNSET}
        if any(isinstance(each, float) and not isfinite(each) for each in members.values()):
            raise ValueError("numbers must be finite")
        codec.decode(codec.encode(members), Report)
        now = self._reactor.seconds()
        if eta is not UNSET:
            self._eta_estimate = None
        elif self._eta_estimate is not None and isinstance(progress, (int, float)):
            eta = self._eta_estimate.update(now, progress)
        if isinstance(eta, (int, float)):
            members["eta"] = now + eta
        is_scheduled = bool(self._unreported)
        self._unreported.update(members)
        if not is_scheduled:
            self._schedule_report()

    async def close(self) -> Mapping[str, object]:
        """
        Send no more reports, and wait until none is under way.

        @return: members that were not reported yet, for the final report.
        """
        self._closed = True
        self._cancel_timer()
        if self._reporting is not None:
            # The final report must not overtake this one.
            await self._reporting
        self._unreported.pop("eta", None)
        return self._unreported

    def abandon(self) -> None:
        """Send no more reports, and cancel the one that is under way."""
        self._closed = True
        self._cancel_timer()
        if self._reporting is not None:
            self._reporting.cancel()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule_report(self) -> None:
        """Have the next report sent when it is due."""
        if self._closed or self._reporting is not None:
            return
        self._cancel_timer()
        if self._failures:
            wait = self._pace.backoff(
                self._failures, draw=self._random(), retry_after=self._retry_after
            )
        elif self._unreported:
            wait = REPORT_INTERVAL
        elif self._heartbeat_interval is not None:
            wait = self._heartbeat_interval
        else:
            return
        # If the clock was set back, the next report is not delayed by that.
        passed = max(0.0, self._reactor.seconds() - self._last_report)
        self._timer = self._reactor.callLater(max(0.0, wait - passed), self._begin_report)

    def _begin_report(self) -> None:
        self._timer = None
        self._last_report = self._reactor.seconds()
        self._reporting = Deferred.fromCoroutine(self._send(dict(self._unreported)))
        self._reporting.addErrback(self._report_failed)
        self._reporting.addCallback(self._report_ended)

    async def _send(self, unreported: Mapping[str, Any]) -> None:
        members = dict(unreported)
        if members.get("eta") is not None:
            members["eta"] = max(0.0, members["eta"] - self._last_report)
        self.job = await self._report(members)
        self._failures = 0
        for name, value in unreported.items():
            # Unless there is a newer value by now.
            if self._unreported[name] is value:
                del self._unreported[name]

    def _report_failed(self, failure: Failure) -> None:
        problem: Any = failure.value
        if isinstance(problem, Transient):
            self._last_report = self._reactor.seconds()
            self._failures += 1
            self._retry_after = problem.retry_after
            self._log.info("a report will be repeated: {problem}", problem=str(problem))
        elif not self._closed:
            self._closed = True
            self.problem = problem
            self._stop()

    def _report_ended(self, _: None) -> None:
        self._reporting = None
        self._schedule_report()
