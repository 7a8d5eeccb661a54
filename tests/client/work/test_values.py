"""What may be given to the methods of a worker: in memory, on a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from statusjob import (
    BadOutput,
    BadSetting,
    CreatedJob,
    Job,
    LocatedJob,
    WorkerClient,
)
from tests.helpers.scripted_server import (
    JOB_ID,
    a_job,
)
from tests.helpers.workers import WorkerTestCase, job_answer


class ValuesTests(WorkerTestCase):
    """Values that are reported, and names of jobs."""

    def test_values_out_of_range_are_clamped(self) -> None:
        worker = self.worker(otherwise=job_answer(a_job()))
        worker.progress(JOB_ID, 1.0000000000000002, message="é" * 1000, eta=-1)
        worker.complete(JOB_ID, message="x" * 2000)
        worker.fail(JOB_ID, message="x" * 2000)
        clamped, completed, failed = (each.json for each in self.server.requests)
        self.assertEqual(clamped, {"progress": 1, "message": "é" * 512, "eta": 0})
        self.assertEqual(completed["message"], "x" * 1024)
        self.assertEqual(failed["error"]["message"], "x" * 1024)

    def test_a_number_that_is_none_is_logged_and_not_reported(self) -> None:
        with capturedLogs() as logged:
            self.worker(job_answer(a_job())).progress(JOB_ID, float("nan"), message="a")
        self.assertEqual(self.server.requests[0].json, {"message": "a"})
        self.assertIn("the progress of a job was NaN, and is ignored", map(formatEvent, logged))

    def test_a_wrong_type_is_an_error_at_the_call(self) -> None:
        wrong: tuple[Callable[[Any], object], ...] = (
            lambda worker: worker.progress(JOB_ID, "half"),
            lambda worker: worker.progress(JOB_ID, message=1),
            lambda worker: worker.complete(JOB_ID, message=b"done"),
            lambda worker: worker.fail(JOB_ID, message=ValueError()),
            lambda worker: worker.fail(JOB_ID, code=5),
            lambda worker: worker.progress(None, 0.5),
            lambda worker: worker.run(7, print),
        )
        for call in wrong:
            self.assertRaises(TypeError, call, self.worker())
            self.assertEqual(self.server.requests, [])

    def test_an_output_that_cannot_be_reported_is_an_error_at_the_call(self) -> None:
        for output in (object(), "x" * 300_000, "\0", "\ud800"):
            for call in (WorkerClient.complete, WorkerClient.fail):
                error = self.assertRaises(BadOutput, call, self.worker(), JOB_ID, output=output)
                self.assertIs(error.output, output)

    def test_whatever_names_a_job_may_be_given(self) -> None:
        job = a_job()
        created = CreatedJob(**asdict(job), url=f"http://h/jobs/{JOB_ID}", created_here=0.0)
        names: tuple[Job | str, ...] = (
            JOB_ID,
            job,
            created,
            created.url,
            f"{created.url}/status",
            f"https://other.example/prefix/jobs/{JOB_ID}/",
            f"/jobs/{JOB_ID}",
        )
        calls: tuple[Callable[[WorkerClient, Job | str], Deferred[LocatedJob]], ...] = (
            lambda worker, name: worker.progress(name, 0.5),
            lambda worker, name: worker.complete(name),
            lambda worker, name: worker.fail(name),
            lambda worker, name: worker.heartbeat(name),
            lambda worker, name: worker.cancel(name),
            lambda worker, name: worker.run(name, lambda _: None),
        )
        for name in names:
            for call in calls:
                worker = self.worker(otherwise=job_answer(job))
                self.successResultOf(call(worker, name))
                self.assertEqual(self.server.requests[0].path, f"/jobs/{JOB_ID}")

    def test_a_url_that_is_not_of_a_job_is_refused(self) -> None:
        for name in ("http://h/", "http://h/jobs", "http://h/jobs/", "/other/x", "http://["):
            self.assertRaises(BadSetting, self.worker().heartbeat, name)
