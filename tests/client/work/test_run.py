"""C{WorkerClient.run}: how the work ends, and what is reported: in memory, on a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, globalLogPublisher

from statusjob import (
    JobCancelled,
    JobFailed,
    JobFinished,
    JobHandle,
    JobNotFound,
    RetriesExhausted,
    Status,
    WorkerClient,
)
from tests.helpers.running import CANCELLED, RunTestCase, too_late
from tests.helpers.scripted_server import (
    JOB_ID,
    a_job,
    answer,
    hang_up,
    hold,
    job_body,
    problem,
)


class EndTests(RunTestCase):
    """How the work ends."""

    def test_one_report_begins_the_job_and_one_ends_it(self) -> None:
        done = self.run_job()
        (begun,) = self.server.requests
        self.assertEqual((begun.method, begun.path), ("PATCH", f"/jobs/{JOB_ID}"))
        self.assertEqual(begun.json, {})
        self.assertEqual((self.job.id, self.job.job), (JOB_ID, a_job()))
        self.server.pass_time(100)
        self.server.then(answer(200, job_body(a_job("completed"))))
        self.work.callback({"a": 1})
        self.assertEqual(self.successResultOf(done), a_job("completed"))
        self.assertEqual(self.reports, [{"result": "completed", "output": {"a": 1}}])

    def test_work_may_be_a_function_or_a_coroutine_function(self) -> None:
        async def coroutine(job: JobHandle) -> str:
            return job.id

        works: tuple[Callable[[JobHandle], object], ...] = (coroutine, lambda job: job.id)
        for work in works:
            self.successResultOf(self.run_job(work))
        self.assertEqual(self.reports[0], {"result": "completed", "output": JOB_ID})

    def test_work_that_returns_none_has_no_output(self) -> None:
        self.successResultOf(self.run_job(lambda _: None))
        self.assertEqual(self.reports, [{"result": "completed"}])

    def test_a_job_may_be_given_instead_of_its_id(self) -> None:
        worker = WorkerClient("http://example.test", reactor=self.clock, treq=self.server.stub)
        self.successResultOf(worker.run(a_job(), lambda _: None))
        self.assertEqual(self.server.asked, [f"PATCH /jobs/{JOB_ID}"] * 2)

    def test_job_failed_gives_the_reason_of_the_failure(self) -> None:
        def work(_: JobHandle) -> None:
            raise JobFailed("no-sound", "it is silent")

        error = self.failureResultOf(self.run_job(work), JobFailed).value
        self.assertEqual(str(error), "no-sound: it is silent")
        reason = {"code": "no-sound", "message": "it is silent"}
        self.assertEqual(self.reports, [{"result": "error", "error": reason}])

    def test_only_the_class_name_of_another_exception_is_reported(self) -> None:
        def work(_: JobHandle) -> None:
            raise ZeroDivisionError("of my salary")

        self.failureResultOf(self.run_job(work), ZeroDivisionError)
        reason = {"code": "failed", "message": "ZeroDivisionError"}
        self.assertEqual(self.reports, [{"result": "error", "error": reason}])

    def test_an_output_that_cannot_be_reported_fails_the_job(self) -> None:
        for output in (object(), "x" * 300_000, "\0"):
            self.server.requests.clear()
            done = self.run_job()
            self.work.callback(output)
            self.failureResultOf(done)
            self.assertEqual([each["result"] for each in self.reports], ["error"])

    def test_a_reason_that_cannot_be_reported_raises_an_error(self) -> None:
        for code, message in (("no sound", None), ("", None), ("a", "x" * 2000), ("a", "\0")):
            self.assertRaises(ValueError, JobFailed, code, message)

    def test_the_final_report_is_repeated_until_it_succeeds(self) -> None:
        done = self.run_job()
        self.server.then(hang_up, problem(503, "busy"))
        self.work.callback(None)
        self.server.pass_time(10)
        self.successResultOf(done)
        self.assertEqual(self.reports, [{"result": "completed"}] * 3)

    def test_the_run_fails_if_the_final_report_never_succeeds(self) -> None:
        done = self.run_job(max_retries=1)
        self.server.then(hang_up, hang_up)
        self.work.callback(None)
        self.server.pass_time(10)
        self.failureResultOf(done, RetriesExhausted)

    def test_the_run_fails_with_what_the_work_raised_even_if_that_cannot_be_reported(self) -> None:
        logged: list[Any] = []
        observer: ILogObserver = logged.append  # type: ignore[assignment]
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        done = self.run_job()
        self.server.then(CANCELLED)
        self.work.errback(ZeroDivisionError())
        self.failureResultOf(done, ZeroDivisionError)
        self.assertIn("warn", [each["log_level"].name for each in logged])

    def test_cancelling_stops_the_work_and_reports_nothing(self) -> None:
        done = self.run_job()
        self.job.progress(0.5)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual((self.cancelled, self.reports), (1, []))

    def test_cancelling_during_a_report(self) -> None:
        done = self.run_job()
        self.server.then(hold)
        self.job.progress(0.5)
        self.server.pass_time(1)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.server.settle()
        self.assertEqual(self.server.lost, 1)

    def test_cancelling_before_the_work_begins(self) -> None:
        self.server.then(hold)
        done = self.run_job()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.server.settle()


class CancelledTests(RunTestCase):
    """Jobs that somebody else ends."""

    heartbeat = 6.0

    def test_the_work_of_a_job_that_has_ended_is_not_begun(self) -> None:
        for over, kind in ((CANCELLED, JobCancelled), (too_late(a_job("completed")), JobFinished)):
            self.server.then(over)
            self.failureResultOf(self.run_job(self.fail), kind)
        self.server.then(problem(404, "no such job"))
        self.failureResultOf(self.run_job(self.fail), JobNotFound)

    def test_a_refused_heartbeat_cancels_the_work(self) -> None:
        done = self.run_job()
        self.server.then(CANCELLED)
        self.server.pass_time(1.75)
        self.assertNoResult(done)
        self.server.pass_time(0.25)
        error = self.failureResultOf(done, JobCancelled).value
        self.assertEqual((self.cancelled, self.reports, error.job.result), (1, [{}], Status.ERROR))

    def test_a_refused_progress_report_cancels_the_work(self) -> None:
        done = self.run_job()
        self.server.then(CANCELLED)
        self.job.progress(0.1)
        self.server.pass_time(0.5)
        self.failureResultOf(done, JobCancelled)
        # Progress of work that goes on all the same is not reported.
        self.job.progress(0.2)
        self.server.pass_time(10)
        self.assertEqual(len(self.reports), 1)

    def test_a_refused_final_report_fails_the_run(self) -> None:
        done = self.run_job()
        self.server.then(CANCELLED)
        self.work.callback(None)
        self.failureResultOf(done, JobCancelled)
        self.assertEqual(self.cancelled, 0)

    def test_the_run_waits_until_cancelled_work_has_ended(self) -> None:
        cleaned: Deferred[None] = Deferred()

        async def work(_: JobHandle) -> str:
            try:
                await Deferred()
            finally:
                await cleaned
            return "never"

        done = self.run_job(work)
        self.server.then(CANCELLED)
        self.server.pass_time(10)
        self.assertNoResult(done)
        cleaned.callback(None)
        self.failureResultOf(done, JobCancelled)
        self.assertEqual(self.reports, [{}])

    def test_the_result_of_work_that_ignores_its_cancellation_is_discarded(self) -> None:
        def fail(_: object) -> None:
            raise ZeroDivisionError

        ways: tuple[Callable[[object], object], ...] = (lambda _: "it is done", fail)
        for way in ways:
            done = self.run_job()
            self.work.addErrback(way)
            self.server.then(CANCELLED)
            self.server.pass_time(2)
            self.failureResultOf(done, JobCancelled)

    def test_deleting_the_job_cancels_the_work(self) -> None:
        done = self.run_job()
        self.server.then(problem(404, "deleted"))
        self.server.pass_time(2)
        self.failureResultOf(done, JobNotFound)
        self.assertEqual(self.cancelled, 1)
