"""
C{WorkerClient}, for those who run jobs: it creates jobs and reports on them.

Every report may be repeated without harm, and is repeated for some time until
the server has answered. A job is created under an idempotency key, so that one
job is created however many tries that takes.
"""

from __future__ import annotations

import random as _random
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from statusjob.client.errors import BadSetting, JobFailed
from statusjob.client.http import answers
from statusjob.client.http.connections import WIRE_LIMIT
from statusjob.client.http.session import (
    REQUEST_TIMEOUT,
    KeepsConnections,
    Requester,
    Session,
)
from statusjob.client.models import CreatedJob, JobPage, LocatedJob, WebhookRegistration
from statusjob.client.work.requests import (
    JobName,
    JobRequests,
    ReportedJob,
    creation_time,
    encode_output,
    failure_members,
)
from statusjob.client.work.retries import RETRY_FOR, report_timeout
from statusjob.client.work.run import JobRun, Work
from statusjob.contract.clamping import clamp_members
from statusjob.jobs import DEFAULT_KIND, FAILED, Status


class WorkerClient(KeepsConnections):
    """
    Creates jobs on one server, and reports on them.

    All methods return Deferreds, which may be awaited and cancelled. They fail with
    L{JobCancelled} if somebody cancelled the job (its worker should stop), with L{JobFinished}
    if it ended otherwise, with L{JobNotFound}, L{BadRequest} or another L{Refused}, and with
    L{RetriesExhausted} if the server cannot be reached. Whoever cancels a Deferred gets
    C{CancelledError}, and nothing goes on. An error of a report that should have ended a job
    carries its C{output}.

    All methods must be called in the reactor's thread; C{RuntimeError} is raised in any other.

    A job may be named by what creating it returned, by any other L{Job}, by its id or its URL.

    Connections are kept open while work runs, and inside C{async with worker:}; a single call
    closes its own.
    """

    _log = Logger()

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        retry_for: float = RETRY_FOR,
        request_timeout: float = REQUEST_TIMEOUT,
        reactor: Any = None,
        treq: Requester | None = None,
        random: Callable[[], float] = _random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param base_url: the server's URL, such as C{http://host:8080}.
        @param token: sent as a bearer token.
        @param retry_for: for how many seconds a request that fails is repeated; 0 for never. The
            report that ends a job is repeated until the job's deadline, or for a day.
        @param request_timeout: seconds for one request and its answer.
        @param reactor: C{None} for the global one.
        @param treq: sends the requests, as a C{treq.client.HTTPClient} does; C{None} for
            connections that all clients of this reactor share.
        @param random: returns random numbers from 0 to 1, for jitter.
        @param now: returns the seconds since the epoch, for dates that servers tell.
        @raise BadSetting: if an argument makes no sense; L{BadBaseURL} if it is the base URL.
        """
        if not (isinstance(retry_for, (int, float)) and retry_for >= 0):
            raise BadSetting(f"retry_for must be a number of 0 s or more, not {retry_for!r}")
        self._session = Session(
            base_url,
            token=token,
            request_timeout=request_timeout,
            reactor=reactor,
            treq=treq,
            now=now,
        )
        self._requests = JobRequests(self._session, retry_for=retry_for, random=random)

    def create(
        self,
        *,
        kind: str = DEFAULT_KIND,
        metadata: Mapping[str, Any] | None = None,
        deadline: float | None = None,
        heartbeat: float | None = None,
        webhook: str | Mapping[str, Any] | None = None,
        simulate: Mapping[str, float] | None = None,
        idempotency_key: str | None = None,
    ) -> Deferred[CreatedJob]:
        """
        Create a job.

        @param kind: what kind of work this is. Durations are learned per kind.
        @param metadata: a JSON object of your own.
        @param deadline: seconds from now after which the job ends as C{error}.
        @param heartbeat: the longest time in seconds between two reports; after that the job ends
            as C{error}.
        @param webhook: a URL, or an object with C{url} and optionally C{events}, C{secret} and
            C{name}.
        @param simulate: lets the server play the worker, for tests: an object with, optionally,
            C{delay} in seconds and C{error_rate} from 0 to 1.
        @param idempotency_key: creating a job again with the same key returns the same job, also
            in another process. Without a key, only the tries of this call have one in common.
        """
        given = {
            "kind": kind,
            "metadata": metadata,
            "deadline": deadline,
            "heartbeat": heartbeat,
            "webhook": {"url": webhook} if isinstance(webhook, str) else webhook,
            "simulate": simulate,
        }
        body = {name: value for name, value in given.items() if value is not None}
        key = secrets.token_urlsafe(24) if idempotency_key is None else idempotency_key
        return self._session.start(lambda _: self._create(body, key))

    def run(self, job: JobName, work: Work) -> Deferred[LocatedJob]:
        """
        Run a job: call a function, and report how it ends.

        The progress that the function reports is sent at most twice per second, with an ETA that
        is estimated from it. Heartbeats are sent if the server expects them. If the job has been
        cancelled, or has ended otherwise, the next report shows it, and what the function
        returned is cancelled. Nothing else stops the work: reports that fail are repeated, and if
        the server does not know the job any more, only its end is reported.

        @param job: the job. Any client may have created it.
        @param work: called with the job's handle. It may be C{async def} or return a
            C{Deferred}, such as that of C{deferToThread}. Its result is the job's output: any
            JSON value, or C{None} for none. If it raises L{JobFailed}, the job fails for that
            reason; if it raises another exception, only the name of its class is reported.
        @return: fires with the job as it ended; fails with what C{work} raised, or with
            L{BadOutput} if its result cannot be an output. If the end cannot be reported, the
            error has the C{output}. Cancelling it cancels C{work}, waits for that and reports
            nothing. Another worker may then run the job; if it has a heartbeat, the server
            notices that nobody does.
        @raise TypeError: if C{job} names no job.
        """
        named = self._named(job)
        return self._session.start(
            lambda cancellation: JobRun(self._requests, cancellation).run(named, work)
        )

    def progress(
        self,
        job: JobName,
        progress: float | UnsetType | None = UNSET,
        *,
        message: str | UnsetType | None = UNSET,
        eta: float | UnsetType | None = UNSET,
    ) -> Deferred[LocatedJob]:
        """
        Report how far a job is.

        An argument that is not given leaves its value as it is; C{None} clears it.

        @param progress: from 0 to 1. What is less or more counts as that, and NaN is ignored.
        @param message: for people. It is truncated to 1 KiB.
        @param eta: seconds from now until the job will be done.
        @raise TypeError: if a value has the wrong type, or C{job} names no job.
        """
        return self._report(
            self._named(job), self._clamped(progress=progress, message=message, eta=eta)
        )

    def complete(
        self, job: JobName, *, output: Any = UNSET, message: str | UnsetType | None = UNSET
    ) -> Deferred[LocatedJob]:
        """
        Report that a job is done.

        @param output: any JSON value, at most 256 KiB.
        @param message: for people. It is truncated to 1 KiB.
        @raise TypeError: if the message has the wrong type, or C{job} names no job.
        @raise BadOutput: if the output is no JSON value, too long or too deep.
        """
        members = {"result": Status.COMPLETED, **self._clamped(message=message)}
        return self._report_end(self._named(job), members, output)

    def fail(
        self,
        job: JobName,
        *,
        code: str = FAILED,
        message: str | None = None,
        output: Any = UNSET,
    ) -> Deferred[LocatedJob]:
        """
        Report that a job failed.

        @param code: the reason for machines: letters, digits, dots, dashes, underscores.
        @param message: the reason for people. It is truncated to 1 KiB.
        @param output: any JSON value, at most 256 KiB, such as the results so far.
        @raise TypeError: if code or message have the wrong type, or C{job} names no job.
        @raise ValueError: if the server would not accept the code; L{BadOutput} if it is the
            output.
        """
        members = failure_members(JobFailed(code, message))
        return self._report_end(self._named(job), members, output)

    def heartbeat(self, job: JobName) -> Deferred[LocatedJob]:
        """
        Report that a job is still running.

        @raise TypeError: if C{job} names no job.
        """
        return self._report(self._named(job), {})

    def cancel(self, job: JobName) -> Deferred[LocatedJob]:
        """
        Cancel a job: it ends as C{error}, and its worker learns of it by its next report.

        @return: fires with the job, also if it was cancelled before; fails with L{JobFinished} if
            it had ended otherwise.
        @raise TypeError: if C{job} names no job.
        """
        named = self._named(job)

        async def cancel() -> LocatedJob:
            cancelled, _ = await self._requests.ask("DELETE", "jobs", named.id)
            return cancelled

        return self._session.start(lambda _: self._requests.repeat(cancel))

    def list_jobs(
        self,
        *,
        result: Status | str | None = None,
        kind: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Deferred[JobPage]:
        """
        List jobs by pages, the newest first.

        @param result: only jobs with this result.
        @param kind: only jobs of this kind.
        @param limit: the most jobs that the page may have, from 1 to 100. The server may return
            fewer, if they are large.
        @param cursor: the C{next} of the page before this one; C{None} for the first page.
        """
        given = {"result": result, "kind": kind, "limit": limit, "cursor": cursor}
        query = {name: str(value) for name, value in given.items() if value is not None}

        async def ask() -> JobPage:
            answer = await self._session.ask("GET", "jobs", query=query, limit=WIRE_LIMIT)
            jobs, following = self._session.read(answer, answers.read_page)
            return JobPage(tuple(map(self._session.locate, jobs)), following)

        return self._session.start(lambda _: self._requests.repeat(ask))

    def _named(self, job: JobName) -> ReportedJob:
        return ReportedJob.named(job, self._session)

    def _clamped(self, **given: object) -> dict[str, Any]:
        return clamp_members(
            given,
            lambda name: self._log.warn("the {name} of a job was NaN, and is ignored", name=name),
        )

    def _report(self, job: ReportedJob, members: Mapping[str, object]) -> Deferred[LocatedJob]:
        async def report() -> LocatedJob:
            timeout = report_timeout(job.heartbeat)
            return await self._requests.report(job.id, members, timeout=timeout)

        return self._session.start(
            lambda _: self._requests.repeat(report, heartbeat=job.heartbeat)
        )

    def _report_end(
        self, job: ReportedJob, members: Mapping[str, object], output: Any
    ) -> Deferred[LocatedJob]:
        if output is not UNSET:
            members = {**members, "output": encode_output(output)}

        carried = None if output is UNSET else output
        return self._session.start(
            lambda _: self._requests.repeat_final(
                lambda: self._requests.report(job.id, members), job, carried
            )
        )

    async def _create(self, body: Mapping[str, object], key: str) -> CreatedJob:
        job, answer = await self._requests.repeat(
            lambda: self._requests.ask("POST", "jobs", body=body, key=key)
        )
        return CreatedJob(
            **structs.asdict(job),
            created_here=creation_time(job, answer, self._session.reactor.seconds()),
            webhook=answers.read_members(answer.body, _CreatedAnswer).webhook,
        )


class _CreatedAnswer(Struct):
    """What is read of the answer to a creation, beside the job."""

    webhook: WebhookRegistration | None = None
