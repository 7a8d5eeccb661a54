"""
What a running job's function reports, sent to the server now and then.

Only the newest state counts: however often the function reports progress, at
most two reports per second are sent. Where the server expects heartbeats, they
are sent while there is nothing else to report. A report that fails is repeated,
with the newest state, for as long as the function runs. If the server says that
the job has ended (because somebody cancelled it, for example), that ends the
job's run; nothing else does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from msgspec import UNSET, UnsetType
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.client.errors import (
    BadRequest,
    JobFinished,
    JobNotFound,
    StatusjobError,
    Transient,
)
from statusjob.client.http.cancelling import Cancellation
from statusjob.client.models import LocatedJob
from statusjob.client.work.eta import EtaEstimate
from statusjob.client.work.retries import (
    LONGEST_WAIT,
    RetryWaits,
    failure_level,
    heartbeat_interval,
)
from statusjob.contract.clamping import clamp_members
from statusjob.contract.jobs import CENTURY

#: Shortest time in seconds from one report to the next.
REPORT_INTERVAL = 0.5


class JobHandle:
    """
    A job that is being run: what the function given to L{WorkerClient.run} is called with.

    Everything may be used in any thread.

    @ivar job: the job as the server last described it.
    @ivar problem: how the job has ended although its work goes on, such as L{JobCancelled};
        C{None} if it has not.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        job: LocatedJob,
        *,
        report: Callable[[Mapping[str, object]], Coroutine[Any, Any, LocatedJob]],
        stop: Callable[[], object],
        cancellation: Cancellation,
        random: Callable[[], float],
    ) -> None:
        """
        Begin to report. To be called in the reactor's thread.

        @param report: sends one report, once.
        @param stop: called when there is a L{problem}.
        @param cancellation: tells whether the caller has cancelled the job's run.
        @param random: returns random numbers from 0 to 1.
        """
        self.job = job
        self.problem: JobFinished | None = None
        self._reactor = reactor
        self._thread = threading.get_ident()
        self._report = report
        self._stop = stop
        self._cancellation = cancellation
        self._heartbeat_interval: float | None = None
        if job.heartbeat is not None:
            self._heartbeat_interval = heartbeat_interval(job.heartbeat)
        self._waits = RetryWaits(LONGEST_WAIT, random=random, heartbeat=job.heartbeat)
        now = reactor.seconds()
        # None once the function gives ETAs of its own.
        self._eta_estimate: EtaEstimate | None = EtaEstimate(now, job.progress or 0.0)
        # Members of the next report; an ETA as the time that it stands for.
        self._unreported: dict[str, Any] = {}
        # What other threads have reported, and when, until the reactor has time for it.
        self._lock = threading.Lock()
        self._handed_over: dict[str, Any] | None = None
        self._handed_over_at = now
        # The names of numbers that were ignored, each of which is logged once.
        self._ignored: set[str] = set()
        # When the last report was sent, or failed.
        self._last_report = now
        self._failures = 0
        self._retry_after: float | None = None
        self._timer: IDelayedCall | None = None
        self._reporting: Deferred[None] | None = None
        # Whether no more reports are sent, and whether even the final one takes no more members.
        self._closed = self._work_ended = False
        self._schedule_report()

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def stopped(self) -> bool:
        """
        Whether nobody waits for the work any more: the job or its run was cancelled, or it ended.

        What awaits a C{Deferred} is cancelled then. Work in a thread cannot be; it should look
        here now and then, and return.
        """
        return self.problem is not None or self._cancellation.requested

    def progress(
        self,
        progress: float | UnsetType | None = UNSET,
        *,
        message: str | UnsetType | None = UNSET,
        eta: float | UnsetType | None = UNSET,
    ) -> None:
        """
        Report how far the job is, as often as you like, in any thread.

        An argument that is not given leaves its value as it is; C{None} clears it.

        @param progress: from 0 to 1. What is less or more counts as that, and NaN is ignored.
        @param message: for people. It is truncated to 1 KiB.
        @param eta: seconds from now until the job will be done. As long as you never give it, it
            is estimated from the progress.
        @raise TypeError: if a value has the wrong type.
        """
        given = {"progress": progress, "message": message, "eta": eta}
        members = clamp_members(given, self._log_ignored)
        now = self._reactor.seconds()
        if members.get("eta") is not None:
            members["eta"] += now
        if threading.get_ident() == self._thread:
            self._add(members, now)
        else:
            self._hand_over(members, now)

    async def close(self) -> Mapping[str, object]:
        """
        Send no more reports, and wait until none is under way.

        @return: members that were not reported yet, for the final report.
        @raise CancelledError: if the wait is cancelled.
        """
        self._closed = self._work_ended = True
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
            self._reporting.addErrback(lambda failure: failure.trap(CancelledError))
            self._reporting.cancel()

    def _log_ignored(self, name: str) -> None:
        if name not in self._ignored:
            self._ignored.add(name)
            self._log.warn("the {name} of job {id} was NaN, and is ignored", name=name, id=self.id)

    def _hand_over(self, members: Mapping[str, Any], now: float) -> None:
        """Let the reactor's thread add members, however many come until it has time for that."""
        with self._lock:
            waiting = self._handed_over
            self._handed_over = {**(waiting or {}), **members}
            self._handed_over_at = now
        if waiting is None:
            self._reactor.callFromThread(self._take_over)

    def _take_over(self) -> None:
        with self._lock:
            members, self._handed_over = self._handed_over, None
            now = self._handed_over_at
        if members is not None:
            self._add(members, now)

    def _add(self, members: dict[str, Any], now: float) -> None:
        """
        Add members to the next report.

        @param members: an ETA among them is the time that it stands for.
        @param now: the time at which the function reported them.
        """
        if self._work_ended:
            # Another thread may not know it yet. All tries of the final report must be the same.
            return
        if "eta" in members:
            self._eta_estimate = None
        elif self._eta_estimate is not None and members.get("progress") is not None:
            estimate = self._eta_estimate.update(now, members["progress"])
            if estimate is not None:
                members["eta"] = now + estimate
        is_scheduled = bool(self._unreported)
        self._unreported.update(members)
        if not is_scheduled:
            self._schedule_report()

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
            wait = self._waits.after(self._failures, self._retry_after)
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
        if self._cancellation.requested:
            return
        self._last_report = self._reactor.seconds()
        self._reporting = Deferred.fromCoroutine(self._send(dict(self._unreported)))
        self._reporting.addErrback(self._report_failed)
        self._reporting.addCallback(self._report_ended)

    async def _send(self, unreported: Mapping[str, Any]) -> None:
        members = dict(unreported)
        if members.get("eta") is not None:
            members["eta"] = min(max(0.0, members["eta"] - self._last_report), CENTURY)
        try:
            self.job = await self._report(members)
        except BadRequest as problem:
            # An older server may not accept what this client sends. Heartbeats must go on.
            if not members:
                raise
            self._log.warn(
                "the server does not accept {members} of job {id}: {problem}",
                members=", ".join(members),
                id=self.id,
                problem=str(problem),
            )
        self._failures = 0
        for name, value in unreported.items():
            # Unless there is a newer value by now.
            if self._unreported[name] is value:
                del self._unreported[name]

    def _report_failed(self, failure: Failure) -> Failure | None:
        problem: Any = failure.value
        if self._closed:
            # What is wrong with the job will be told by the answer to the final report.
            return failure if isinstance(problem, CancelledError) else None
        if isinstance(problem, JobFinished):
            self._closed = True
            self.problem = problem
            self._stop()
        elif isinstance(problem, JobNotFound):
            self._closed = True
            self._log.warn(
                "nothing more is reported before the end of job {id}: {problem}",
                id=self.id,
                problem=str(problem),
            )
        else:
            self._last_report = self._reactor.seconds()
            self._failures += 1
            self._retry_after = problem.retry_after if isinstance(problem, Transient) else None
            if isinstance(problem, StatusjobError):
                self._log.emit(
                    failure_level(self._failures),
                    "a report on job {id} will be repeated: {problem}",
                    id=self.id,
                    problem=str(problem),
                )
            else:
                self._log.failure("a report could not be made", failure)
        return None

    def _report_ended(self, _: None) -> None:
        self._reporting = None
        self._schedule_report()
