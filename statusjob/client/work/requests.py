"""
The requests of a worker: each has a job as its answer, and may be repeated without harm.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from msgspec import Raw

from statusjob.client.errors import BadOutput, JobFailed, StatusjobError
from statusjob.client.http.base_url import read_job_id
from statusjob.client.http.exchange import Answer
from statusjob.client.http.session import JOB_LIMIT, Session
from statusjob.client.models import CreatedJob, LocatedJob
from statusjob.client.work.handle import JobHandle
from statusjob.client.work.retries import (
    FINAL_RETRY_FOR,
    LONGEST_FINAL_WAIT,
    LONGEST_WAIT,
    Repetition,
    RetryWaits,
)
from statusjob.contract import codec
from statusjob.contract.http_dates import read_date
from statusjob.contract.jobs import Report
from statusjob.jobs import Job, Status

T = TypeVar("T")

#: Whatever names a job: a job, one that is being run, an id, or a URL.
JobName = Job | JobHandle | str

#: Servers tell times in whole seconds, so an age below this (in seconds) may be rounding.
_ROUNDING = 1.0


@dataclass(frozen=True, slots=True)
class ReportedJob:
    """
    What is known of a job that is reported on.

    @ivar id: its id.
    @ivar heartbeat: its heartbeat in seconds, if it is known to have one.
    @ivar deadline_at: the time of its deadline by the reactor's clock, if it is known to have one.
    """

    id: str
    heartbeat: float | None = None
    deadline_at: float | None = None

    @classmethod
    def of(cls, job: Job, created_at: float) -> ReportedJob:
        """
        Tell what is known from a job.

        @param created_at: the time of its creation by the reactor's clock.
        """
        deadline_at = None if job.deadline is None else created_at + job.deadline
        return cls(job.id, job.heartbeat, deadline_at)

    @classmethod
    def named(cls, job: JobName, session: Session) -> ReportedJob:
        """
        Tell what is known from whatever names a job.

        @param session: tells how old the job is.
        @raise TypeError: if it names none.
        @raise BadSetting: if it is a URL, but not that of a job.
        """
        if isinstance(job, JobHandle):
            job = job.job
        if isinstance(job, Job):
            if isinstance(job, CreatedJob):
                return cls.of(job, job.created_here)
            # By the wall clock, which the reactor's need not be.
            return cls.of(job, session.reactor.seconds() - (session.now() - job.created_at))
        return cls(read_job_id(job))


class JobRequests:
    """
    Sends the requests of one C{WorkerClient}.

    @ivar session: sends each of them once.
    @ivar random: returns random numbers from 0 to 1, for jitter.
    """

    def __init__(self, session: Session, *, retry_for: float, random: Callable[[], float]) -> None:
        """
        @param retry_for: the seconds for which a request is repeated that does not end a job.
        """
        self.session = session
        self.random = random
        self._retry_for = retry_for

    async def ask(
        self,
        method: str,
        *path: str,
        body: object = None,
        key: str | None = None,
        timeout: float = math.inf,
    ) -> tuple[LocatedJob, Answer]:
        """
        Send a request once.

        @param path: the segments of the path below the base URL.
        @param key: its idempotency key, if it has one.
        @param timeout: its time-out in seconds, if it has one of its own.
        @raise StatusjobError: if it fails or is refused.
        """
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await self.session.ask(
            method,
            *(quote(each, safe="") for each in path),
            body=body,
            headers=headers,
            limit=JOB_LIMIT,
            timeout=timeout,
        )
        return self.session.read_job(answer), answer

    async def report(
        self, job_id: str, members: Mapping[str, object], *, timeout: float = math.inf
    ) -> LocatedJob:
        """Send a report once, as L{ask} does, and return the job after it."""
        job, _ = await self.ask("PATCH", "jobs", job_id, body=members, timeout=timeout)
        return job

    async def repeat(
        self, ask: Callable[[], Coroutine[Any, Any, T]], *, heartbeat: float | None = None
    ) -> T:
        """
        Repeat a request until it is answered, is refused, or C{retry_for} is over.

        @param ask: sends it once.
        @param heartbeat: the heartbeat of the job that it is a report on, if there is one.
        @raise RetriesExhausted: if the time is over.
        """
        waits = RetryWaits(LONGEST_WAIT, random=self.random, heartbeat=heartbeat)
        async with self.session.in_use():
            return await Repetition(self.session, waits, seconds=self._retry_for).run(ask)

    async def repeat_final(
        self, ask: Callable[[], Coroutine[Any, Any, T]], job: ReportedJob, output: Any
    ) -> T:
        """
        Repeat the report that ends a job until it is answered, is refused, or is in vain.

        @param ask: sends it once.
        @param output: the output in the report, which every error carries.
        @raise RetriesExhausted: if L{FINAL_RETRY_FOR} is over, or the job's deadline has passed,
            or if the process is being stopped.
        """
        waits = RetryWaits(LONGEST_FINAL_WAIT, random=self.random, heartbeat=job.heartbeat)
        seconds = FINAL_RETRY_FOR
        if job.deadline_at is not None:
            seconds = min(seconds, job.deadline_at - self.session.reactor.seconds())
        repetition = Repetition(self.session, waits, seconds=max(seconds, self._retry_for))
        try:
            async with self.session.in_use():
                return await repetition.run_until_stop(ask)
        except StatusjobError as error:
            error.output = output
            raise


def encode_output(output: Any) -> Raw:
    """
    Encode an output, so that all tries of its report have the same one.

    @raise BadOutput: if it cannot be the output of a job.
    """
    try:
        # The encoder would make null of NaN, and a list of a set.
        json.dumps(output, allow_nan=False)
        encoded = Raw(codec.encode(output))
        codec.decode(codec.encode({"result": Status.COMPLETED, "output": encoded}), Report)
    except Exception as error:
        problem = BadOutput(f"not an output: {error}")
        problem.output = output
        raise problem from error
    return encoded


def failure_members(reason: JobFailed) -> dict[str, object]:
    """Return the members of a report that a job failed, but for its output."""
    return {
        "result": Status.ERROR,
        "error": {"code": reason.code, "message": reason.message},
    }


def creation_time(job: Job, answer: Answer, now: float) -> float:
    """
    Return when a job was created, by our clock.

    That is now, if its age is less than the rounding of times by the server.

    @param answer: the answer with the job, which came just now.
    @param now: the time in seconds.
    """
    served = read_date(answer.header("Date") or "")
    age = 0.0 if served is None else served - job.created_at
    return now - age if age >= _ROUNDING else now
