"""
One run of a job: its work, the reports while that goes on, and the report of its end.

Nothing that goes wrong with reports stops the work, except that the job has ended. Nothing is
reported after the run was cancelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.client.errors import BadOutput, JobFailed, StatusjobError
from statusjob.client.http.cancelling import Cancellation
from statusjob.client.models import LocatedJob
from statusjob.client.work.handle import JobHandle
from statusjob.client.work.requests import (
    JobRequests,
    ReportedJob,
    creation_time,
    encode_output,
    failure_members,
)
from statusjob.client.work.retries import report_timeout
from statusjob.jobs import Status

Work = Callable[[JobHandle], object]


class JobRun:
    """One run of a job, in which L{run} is called once."""

    _log = Logger()

    def __init__(self, requests: JobRequests, cancellation: Cancellation) -> None:
        """
        @param cancellation: tells whether the caller has cancelled the run.
        """
        self._requests = requests
        self._cancellation = cancellation

    async def run(self, job: ReportedJob, work: Work) -> LocatedJob:
        """
        Run a job.

        @return: the job as it ended.
        @raise Exception: what C{work} raised, or what ended the run or its reporting.
        """
        session = self._requests.session
        async with session.in_use():
            # A first report, which fails if the job has ended already.
            begun, answer = await self._requests.repeat(
                lambda: self._requests.ask("PATCH", "jobs", job.id, body={}),
                heartbeat=job.heartbeat,
            )
            self._cancellation.check()
            created_at = creation_time(begun, answer, session.reactor.seconds())
            self._job = ReportedJob.of(begun, created_at)
            handle = self._handle = JobHandle(
                session.reactor,
                begun,
                report=self._report,
                stop=lambda: working.cancel(),
                cancellation=self._cancellation,
                random=self._requests.random,
            )
            working: Deferred[Any] = maybeDeferred(work, handle)
            try:
                # In a tuple, so that no exception of the work is mistaken for one of ours.
                (result,) = await working.addBoth(lambda result: (result,))
                self._cancellation.check()
                if isinstance(result, Failure):
                    assert result.value is not None
                    await self._fail(result.value)
                    result.raiseException()
                return await self._complete(result)
            finally:
                handle.abandon()

    async def _report(self, members: Mapping[str, object]) -> LocatedJob:
        timeout = report_timeout(self._job.heartbeat)
        return await self._requests.report(self._job.id, members, timeout=timeout)

    async def _complete(self, output: Any) -> LocatedJob:
        """Report that the work is done."""
        if self._handle.problem is not None:
            self._handle.problem.output = output
            raise self._handle.problem
        members: dict[str, object] = {"result": Status.COMPLETED}
        if output is not None:
            try:
                members["output"] = encode_output(output)
            except BadOutput as error:
                await self._fail(error)
                raise
        return await self._end(members, output)

    async def _fail(self, error: BaseException) -> None:
        """Report that the work failed; log it if that cannot be reported."""
        if self._handle.problem is not None:
            if isinstance(error, JobFailed):
                self._handle.problem.output = error.output
            raise self._handle.problem from error
        # The text of an exception may be confidential, and everyone who watches sees this.
        reason = error if isinstance(error, JobFailed) else JobFailed(message=type(error).__name__)
        members = failure_members(reason)
        try:
            if reason.output is not None:
                members["output"] = encode_output(reason.output)
        except BadOutput as problem:
            self._log.warn(
                "the output of failed job {id} is not reported: {problem}",
                id=self._job.id,
                problem=str(problem),
            )
        try:
            await self._end(members, reason.output)
        except StatusjobError as problem:
            self._log.warn(
                "the failure of job {id} was not reported: {problem}",
                id=self._job.id,
                problem=str(problem),
            )

    async def _end(self, members: Mapping[str, object], output: Any) -> LocatedJob:
        """Send the final report, with what was not reported yet."""
        # An output may be large, and take long to send. Only on the connection that is there may
        # it not take longer than any report.
        timeout = report_timeout(self._job.heartbeat)

        async def report() -> LocatedJob:
            nonlocal timeout
            first_timeout, timeout = timeout, math.inf
            body = {**await self._handle.close(), **members}
            return await self._requests.report(self._job.id, body, timeout=first_timeout)

        return await self._requests.repeat_final(report, self._job, output)
