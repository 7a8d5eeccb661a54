"""A C{WorkerClient} whose reports are sent by hand: in memory, on a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from statusjob import Job, LocatedJob, WorkerClient
from tests.helpers.scripted_server import (
    JOB_ID,
    Answering,
    ScriptedServer,
    answer,
    hold,
    job_body,
)

REPORTS: tuple[Callable[[WorkerClient], Deferred[LocatedJob]], ...] = (
    lambda worker: worker.progress(JOB_ID, 0.5),
    lambda worker: worker.complete(JOB_ID),
    lambda worker: worker.fail(JOB_ID),
    lambda worker: worker.heartbeat(JOB_ID),
)


def job_answer(job: Job, code: int = 200, **more: Any) -> Answering:
    """Return an answer with a job."""
    return answer(code, job_body(job, **more))


class WorkerTestCase(SynchronousTestCase):
    """A worker and a server. A test fails if it leaves anything on its clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def worker(
        self, *answers: Answering, otherwise: Answering = hold, **options: Any
    ) -> WorkerClient:
        """Return a client without jitter, and begin a server that gives these answers."""
        self.server = ScriptedServer(self.clock, *answers, otherwise=otherwise)
        options = {"random": lambda: 0.0, "request_timeout": 5, **options}
        return WorkerClient(
            "http://example.test/", reactor=self.clock, treq=self.server.stub, **options
        )
