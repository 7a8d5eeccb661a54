"""Running a job with C{WorkerClient.run}: in memory, on a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from statusjob import Job, JobHandle, LocatedJob, WorkerClient
from statusjob.client.http.connections import shared_connections
from statusjob.contract import codec
from statusjob.contract.jobs import job_to_json
from tests.helpers.scripted_server import (
    JOB_ID,
    Answering,
    ScriptedServer,
    a_job,
    answer,
    job_body,
)


def too_late(job: Job) -> Answering:
    """Return the answer to a report on a job that has ended already."""
    return answer(409, codec.encode({"detail": "too late", "job": job_to_json(job)}))


CANCELLED = too_late(a_job("error", code="cancelled"))


class RunTestCase(SynchronousTestCase):
    """A worker, and a server that accepts its reports."""

    heartbeat: float | None = None
    deadline: float | None = None
    make_clock: Callable[[], Clock] = Clock

    def setUp(self) -> None:
        self.clock = self.make_clock()
        self.clock.advance(1000)
        self.when_cancelled: Callable[[Failure], object] = lambda failure: failure
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(lambda: self.assertTrue(shared_connections(self.clock).idle))
        self.server = ScriptedServer(self.clock, otherwise=self.acknowledge)

    def acknowledge(self, request: Any) -> bytes | int:
        """Answer with the job; if it has a deadline, it was created when the test began."""
        created: dict[str, Any] = {} if self.deadline is None else {"created_at": 1000.0}
        job = a_job(heartbeat=self.heartbeat, deadline=self.deadline, **created)
        return answer(200, job_body(job))(request)

    def run_job(
        self, work: Callable[[JobHandle], object] | None = None, **options: Any
    ) -> Deferred[LocatedJob]:
        """
        Run a job.

        @param work: without it, the test ends the work by its Deferred C{self.work}, and
            C{self.when_cancelled} is what becomes of a cancellation.
        """
        worker = WorkerClient(
            "http://example.test",
            reactor=self.clock,
            treq=self.server.stub,
            random=lambda: 0.0,
            **{"request_timeout": 5, **options},
        )
        self.cancelled = 0

        def cancel(_: object) -> None:
            self.cancelled += 1

        def wait(job: JobHandle) -> Deferred[object]:
            self.job = job
            self.work: Deferred[object] = Deferred(cancel)
            return self.work.addErrback(self.when_cancelled)

        done = worker.run(JOB_ID, work or wait)
        self.server.settle()
        return done

    @property
    def reports(self) -> list[Any]:
        """The reports after the one that began the job."""
        return [each.json for each in self.server.requests[1:]]

    @property
    def times(self) -> list[float]:
        """When these reports came, in seconds since the test began."""
        return [each - 1000 for each in self.server.times[1:]]
