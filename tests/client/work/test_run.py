"""C{WorkerClient.run}: how the work ends, and what is reported: in memory, on a clock."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure

from statusjob import (
    BadOutput,
    BadRequest,
    JobCancelled,
    JobFailed,
    JobHandle,
    JobNotFound,
    NotAuthorized,
    RetriesExhausted,
    StatusjobError,
    WorkerClient,
)
from tests.helpers.running import CANCELLED, RunTestCase
from tests.helpers.scripted_server import (
    JOB_ID,
    a_job,
    answer,
    hang_up,
    hold,
    job_body,
    located,
    problem,
)


class EndTests(RunTestCase):
    """How the work ends."""

    def test_one_report_begins_the_job_and_one_ends_it(self) -> None:
        done = self.run_job()
        (begun,) = self.server.requests
        self.assertEqual((begun.method, begun.path), ("PATCH", f"/jobs/{JOB_ID}"))
        self.assertEqual(begun.json, {})
        self.assertEqual((self.job.id, self.job.job), (JOB_ID, located(a_job())))
        self.server.pass_time(100)
        self.server.then(answer(200, job_body(a_job("completed"))))
        self.work.callback({"a": 1})
        self.assertEqual(self.successResultOf(done), located(a_job("completed")))
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

    def test_a_job_that_is_being_run_may_be_cancelled_by_its_handle(self) -> None:
        worker = WorkerClient("http://example.test", reactor=self.clock, treq=self.server.stub)
        done = self.run_job()
        self.successResultOf(worker.cancel(self.job))
        self.assertEqual(self.server.asked[1], f"DELETE /jobs/{JOB_ID}")
        self.server.then(CANCELLED)
        self.job.progress(0.5)
        self.server.pass_time(1)
        self.failureResultOf(done, JobCancelled)

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
        unfit = object(), "x" * 300_000, "\0", float("nan"), {"a": [float("inf")]}, {1}, b"x"
        for output in unfit:
            self.server.requests.clear()
            done = self.run_job()
            self.work.callback(output)
            self.assertIs(self.failureResultOf(done, BadOutput).value.output, output)
            self.assertEqual([each["result"] for each in self.reports], ["error"])

    def test_a_reason_that_cannot_be_reported_raises_an_error(self) -> None:
        for code in ("no sound", "", "x" * 65):
            self.assertRaises(ValueError, JobFailed, code)
        self.assertRaises(TypeError, JobFailed, 7)
        self.assertRaises(TypeError, JobFailed, "a", ValueError("oh"))

    def test_a_long_reason_is_truncated(self) -> None:
        def work(_: JobHandle) -> None:
            raise JobFailed("a", "é" * 1000)

        self.failureResultOf(self.run_job(work), JobFailed)
        self.assertEqual(self.reports[0]["error"], {"code": "a", "message": "é" * 512})

    def test_a_failure_may_have_an_output(self) -> None:
        def work(_: JobHandle) -> None:
            raise JobFailed("killed", output=["the last line"])

        self.failureResultOf(self.run_job(work), JobFailed)
        self.assertEqual(self.reports[0]["output"], ["the last line"])

    def test_a_failure_is_reported_without_an_output_that_cannot_be(self) -> None:
        def work(_: JobHandle) -> None:
            raise JobFailed("killed", output=object())

        self.failureResultOf(self.run_job(work), JobFailed)
        reason = {"code": "killed", "message": None}
        self.assertEqual(self.reports, [{"result": "error", "error": reason}])

    def test_the_final_report_is_repeated_until_it_succeeds(self) -> None:
        done = self.run_job()
        self.server.then(hang_up, problem(503, "busy"))
        self.work.callback(None)
        self.server.pass_time(10)
        self.successResultOf(done)
        self.assertEqual(self.reports, [{"result": "completed"}] * 3)

    def test_an_end_is_reported_after_the_server_was_away_for_hours(self) -> None:
        done = self.run_job(retry_for=1.0)
        self.server.then(*[hang_up] * 115)
        self.work.callback("precious")
        self.server.pass_time(7200, step=1)
        self.successResultOf(done)
        self.assertEqual(self.reports[-1], {"result": "completed", "output": "precious"})
        waits = [later - sooner for sooner, later in itertools.pairwise(self.times)]
        self.assertEqual((waits[:5], set(waits[5:])), ([2, 4, 8, 16, 32], {60}))

    def test_an_output_that_cannot_be_reported_until_the_deadline_is_on_the_error(self) -> None:
        self.deadline = 900.0
        done = self.run_job()
        self.server.then(*[hang_up] * 30)
        self.server.pass_time(300, step=1)
        self.work.callback("precious")
        self.server.pass_time(595, step=1)
        self.assertNoResult(done)
        self.server.pass_time(10, step=1)
        self.assertEqual(self.failureResultOf(done, RetriesExhausted).value.output, "precious")

    def test_an_output_that_the_server_refuses_is_on_the_error(self) -> None:
        for code, kind in ((404, JobNotFound), (401, NotAuthorized), (413, BadRequest)):
            self.server.requests.clear()
            done = self.run_job()
            self.server.then(problem(code, "no"))
            self.work.callback("precious")
            error = self.failureResultOf(done, kind).value
            assert isinstance(error, StatusjobError)
            self.assertEqual((error.output, len(self.reports)), ("precious", 1))

    def test_an_output_that_changes_while_it_is_reported_is_reported_as_it_was(self) -> None:
        done = self.run_job()
        self.server.then(hang_up)
        output = [1]
        self.work.callback(output)
        output.append(2)
        self.server.pass_time(5)
        self.successResultOf(done)
        self.assertEqual([each["output"] for each in self.reports], [[1], [1]])

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
        done = self.run_job(self.fail)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.server.settle()

    def test_nothing_is_reported_of_cancelled_work_however_it_ends(self) -> None:
        def fail(_: object) -> None:
            raise ZeroDivisionError

        ways: tuple[Callable[[Failure], object], ...] = (lambda _: "it is done", fail)
        for way in ways:
            self.server.requests.clear()
            self.when_cancelled = way
            done = self.run_job()
            done.cancel()
            self.failureResultOf(done, CancelledError)
            self.server.pass_time(10)
            self.assertEqual(self.reports, [])

    def test_nothing_is_reported_while_cancelled_work_cleans_up(self) -> None:
        cleaned: Deferred[None] = Deferred()

        async def work(job: JobHandle) -> None:
            try:
                await Deferred()
            finally:
                stopped.append(job.stopped)
                job.progress(0.9, message="cleaning")
                await cleaned

        stopped: list[bool] = []
        done = self.run_job(work)
        done.cancel()
        self.server.pass_time(10)
        self.assertNoResult(done)
        cleaned.callback(None)
        self.failureResultOf(done, CancelledError)
        self.assertEqual((stopped, self.reports), ([True], []))

    def test_cancelling_while_the_final_report_waits_for_another(self) -> None:
        done = self.run_job()
        self.server.then(hold)
        self.job.progress(0.5)
        self.server.pass_time(1)
        self.work.callback("done")
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.server.pass_time(10)
        self.assertEqual(len(self.reports), 1)

    def test_cancelling_between_two_tries_of_the_final_report(self) -> None:
        done = self.run_job()
        self.server.then(hang_up)
        self.work.callback("done")
        self.server.pass_time(1)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.server.pass_time(10)
        self.assertEqual(len(self.reports), 1)

    def test_work_that_is_cancelled_although_its_run_is_not_has_failed(self) -> None:
        done = self.run_job()
        self.work.cancel()
        self.failureResultOf(done, CancelledError)
        reason = {"code": "failed", "message": "CancelledError"}
        self.assertEqual(self.reports, [{"result": "error", "error": reason}])

    def test_work_that_exits_has_failed(self) -> None:
        def work(_: JobHandle) -> None:
            sys.exit("usage: ...")

        self.failureResultOf(self.run_job(work), SystemExit)
        reason = {"code": "failed", "message": "SystemExit"}
        self.assertEqual(self.reports, [{"result": "error", "error": reason}])
