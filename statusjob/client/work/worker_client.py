"""
C{WorkerClient}, for those who run jobs: it creates jobs and reports on them.

Every report may be repeated without harm, and is repeated until the server has
answered. A job is created under an idempotency key, so that one job is created
however many tries that takes.
"""

from __future__ import annotations

import random as _random
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import UNSET, Struct, UnsetType, structs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from statusjob.client.errors import (
    BadSetting,
    JobFailed,
    RetriesExhausted,
    StatusjobError,
    Transient,
)
from statusjob.client.http import answers
from statusjob.client.http.exchange import Answer
from statusjob.client.http.session import (
    JOB_LIMIT,
    MAX_RETRIES,
    REQUEST_TIMEOUT,
    Requester,
    Session,
)
from statusjob.client.models import CreatedJob, WebhookRegistration
from statusjob.client.work.handle import JobHandle
from statusjob.contract import codec
from statusjob.contract.http_dates import read_date
from statusjob.contract.jobs import Report
from statusjob.jobs import DEFAULT_KIND, FAILED, Job, Status
from statusjob.pace.bounds import Pace

#: Waits of 1 to 30 seconds between the tries of one report.
_RETRY_PACE = Pace(1.0, 30.0)


class WorkerClient:
    """
    Creates jobs on one server, and reports on them.

    All methods return Deferreds, which may be awaited and cancelled. They fail with
    L{JobCancelled} if somebody cancelled the job (its worker should stop), with L{JobFinished}
    if it ended otherwise, with L{JobNotFound}, L{BadRequest} or another L{Refused}, and with
    L{RetriesExhausted} if the server cannot be reached.
    """

    _log = Logger()

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        max_retries: int = MAX_RETRIES,
        request_timeout: float = REQUEST_TIMEOUT,
        reactor: Any = None,
        treq: Requester | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        """
        @param base_url: the server's URL, such as C{http://host:8080}.
        @param token: sent as a bearer token.
        @param max_retries: how many failures in a row are tolerated per report.
        @param request_timeout: seconds for one request and its answer.
        @param reactor: C{None} for the global one.
        @param treq: sends the requests, as a C{treq.client.HTTPClient} does; C{None} for
            connections that all clients of this reactor share.
        @param random: returns random numbers from 0 to 1, for jitter.
        @raise BadSetting: if an argument makes no sense; L{BadBaseURL} if it is the base URL.
        """
        if max_retries < 0:
            raise BadSetting(f"max_retries must be 0 or more, not {max_retries!r}")
        self._session = Session(
            base_url, token=token, request_timeout=request_timeout, reactor=reactor, treq=treq
        )
        self._max_retries = max_retries
        self._random = random

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
        return Deferred.fromCoroutine(self._create(body, key))

    def run(self, job: Job | str, work: Callable[[JobHandle], object]) -> Deferred[Job]:
        """
        Run a job: call a function, and report how it ends.

        The progress that the function reports is sent at most twice per second, with an ETA that
        is estimated from it. Heartbeats are sent if the server expects them. If the job has been
        cancelled, or has ended otherwise, the next report shows it, and what the function
        returned is cancelled.

        @param job: the job, or its id. Any client may have created it.
        @param work: called with the job's handle. It may be C{async def} or return a
            C{Deferred}. Its result is the job's output: any JSON value, or C{None} for none. If
            it raises L{JobFailed}, the job fails for that reason; if it raises another exception,
            only the name of its class is reported.
        @return: fires with the job as it ended; fails with what C{work} raised. Cancelling it
            cancels C{work} and reports nothing. Another worker may then run the job; if it has a
            heartbeat, the server notices that nobody does.
        """
        return Deferred.fromCoroutine(self._run(job if isinstance(job, str) else job.id, work))

    def progress(
        self,
        job_id: str,
        progress: float | UnsetType | None = UNSET,
        *,
        message: str | UnsetType | None = UNSET,
        eta: float | UnsetType | None = UNSET,
    ) -> Deferred[Job]:
        """
        Report how far a job is.

        An argument that is not given leaves its value as it is; C{None} clears it.

        @param progress: from 0 to 1.
        @param message: for people, at most 1 KiB.
        @param eta: seconds from now until the job will be done.
        """
        return self._report(job_id, progress=progress, message=message, eta=eta)

    def complete(
        self, job_id: str, *, output: Any = UNSET, message: str | UnsetType | None = UNSET
    ) -> Deferred[Job]:
        """
        Report that a job is done.

        @param output: any JSON value, at most 256 KiB.
        @param message: for people, at most 1 KiB.
        """
        return self._report(job_id, result=Status.COMPLETED, output=output, message=message)

    def fail(
        self, job_id: str, *, code: str = FAILED, message: str | None = None
    ) -> Deferred[Job]:
        """
        Report that a job failed.

        @param code: the reason for machines: letters, digits, dots, dashes, underscores.
        @param message: the reason for people, at most 1 KiB.
        """
        return self._report(job_id, result=Status.ERROR, error={"code": code, "message": message})

    def heartbeat(self, job_id: str) -> Deferred[Job]:
        """Report that a job is still running."""
        return self._report(job_id)

    def _report(self, job_id: str, **members: object) -> Deferred[Job]:
        body = {name: value for name, value in members.items() if value is not UNSET}
        return Deferred.fromCoroutine(self._patch(job_id, body))

    async def _patch(self, job_id: str, body: Mapping[str, object]) -> Job:
        job, _ = await self._ask_until_answered("PATCH", "jobs", quote(job_id, safe=""), body=body)
        return job

    async def _run(self, job_id: str, work: Callable[[JobHandle], object]) -> Job:
        async def report(members: Mapping[str, object]) -> Job:
            answer = await self._session.ask(
                "PATCH", "jobs", quote(job_id, safe=""), body=members, limit=JOB_LIMIT
            )
            return self._session.read(answer, answers.read_job)

        async with self._session.in_use():
            # A first report, which fails if the job has ended already.
            job = await self._patch(job_id, {})
            handle = JobHandle(
                self._session.reactor,
                job,
                report=report,
                stop=lambda: working.cancel(),
                random=self._random,
            )
            working: Deferred[object] = maybeDeferred(work, handle)
            try:
                return await self._finish(handle, working)
            finally:
                handle.abandon()

    async def _finish(self, handle: JobHandle, working: Deferred[object]) -> Job:
        """Wait for the work, and report how it ended."""
        try:
            output = await working
            members = {"result": Status.COMPLETED, "output": output}
            codec.decode(codec.encode(members), Report)
        except CancelledError:
            if handle.problem is None:
                raise
            raise handle.problem from None
        except Exception as error:
            if handle.problem is not None:
                raise handle.problem from error
            await self._report_failure(handle, error)
            raise
        if handle.problem is not None:
            raise handle.problem
        if output is None:
            del members["output"]
        return await self._patch(handle.id, {**await handle.close(), **members})

    async def _report_failure(self, handle: JobHandle, error: Exception) -> None:
        """Report that the work failed; log it if that cannot be reported."""
        # The text of an exception may be confidential, and everyone who watches sees this.
        reason = error if isinstance(error, JobFailed) else JobFailed(message=type(error).__name__)
        try:
            await self._patch(handle.id, {**await handle.close(), **reason.members})
        except StatusjobError as problem:
            self._log.warn(
                "the failure of a job was not reported: {problem}", problem=str(problem)
            )

    async def _create(self, body: Mapping[str, object], key: str) -> CreatedJob:
        job, answer = await self._ask_until_answered("POST", "jobs", body=body, key=key)
        created = answers.read_members(answer.body, _CreatedAnswer).webhook
        webhook = None if created is None else WebhookRegistration(created.id, created.secret)
        return CreatedJob(
            **structs.asdict(job),
            url=self._session.base.child("jobs", job.id).to_text(),
            created_here=creation_time(job, answer, self._session.reactor.seconds()),
            webhook=webhook,
        )

    async def _ask_until_answered(
        self, method: str, *segments: str, body: object, key: str | None = None
    ) -> tuple[Job, Answer]:
        """Repeat a request until it succeeds, is refused, or has failed too often."""
        headers = {} if key is None else {"Idempotency-Key": key}
        failures = 0
        async with self._session.in_use():
            while True:
                try:
                    answer = await self._session.ask(
                        method, *segments, body=body, headers=headers, limit=JOB_LIMIT
                    )
                    return self._session.read(answer, answers.read_job), answer
                except Transient as problem:
                    failures += 1
                    if failures > self._max_retries:
                        raise RetriesExhausted(failures, problem) from problem
                    wait = _RETRY_PACE.backoff(
                        failures, draw=self._random(), retry_after=problem.retry_after
                    )
                    self._log.info(
                        "asking again in {wait:.1f} s: {problem}",
                        wait=wait,
                        problem=str(problem),
                    )
                await deferLater(self._session.reactor, wait)


class _WebhookAnswer(Struct):
    id: str | None = None
    secret: str | None = None


class _CreatedAnswer(Struct):
    """What is read of the answer to a creation, beside the job."""

    webhook: _WebhookAnswer | None = None


#: Servers tell times in whole seconds, so an age below this (in seconds) may be rounding.
_ROUNDING = 1.0


def creation_time(job: Job, answer: Answer, now: float) -> float:
    """
    Return when a job was created, by our clock.

    That is now, unless an earlier request with the same idempotency key had created it.

    @param answer: the answer to the creation, which came just now.
    @param now: the time in seconds.
    """
    served = read_date(answer.header("Date") or "")
    age = 0.0 if served is None else served - job.created_at
    return now - age if age >= _ROUNDING else now
