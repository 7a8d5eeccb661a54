"""Jobs that end, or get lost, while they are being run: in memory, on a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from statusjob import (
    JobCancelled,
    JobFailed,
    JobFinished,
    JobHandle,
    JobNotFound,
    Status,
)
from tests.helpers.running import CANCELLED, RunTestCase, too_late
from tests.helpers.scripted_server import (
    a_job,
    answer,
    hold,
    problem,
)


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

        ways: tuple[Callable[[Failure], object], ...] = (lambda _: "it is done", fail)
        for way in ways:
            self.when_cancelled = way
            done = self.run_job()
            self.server.then(CANCELLED)
            self.server.pass_time(2)
            self.failureResultOf(done, JobCancelled)

    def test_an_output_that_comes_just_after_the_cancellation_is_on_the_error(self) -> None:
        done = self.run_job()
        self.server.then(CANCELLED)
        self.work.callback("precious")
        self.assertEqual(self.failureResultOf(done, JobCancelled).value.output, "precious")

    def test_an_output_of_work_that_ignores_its_cancellation_is_on_the_error(self) -> None:
        self.when_cancelled = lambda _: "precious"
        done = self.run_job()
        self.server.then(CANCELLED)
        self.server.pass_time(2)
        self.assertEqual(self.failureResultOf(done, JobCancelled).value.output, "precious")

    def test_partial_results_of_work_that_was_cancelled_are_on_the_error(self) -> None:
        def give_up(_: Failure) -> None:
            raise JobFailed("stopped", output=["half"])

        self.when_cancelled = give_up
        done = self.run_job()
        self.server.then(CANCELLED)
        self.server.pass_time(2)
        self.assertEqual(self.failureResultOf(done, JobCancelled).value.output, ["half"])

    def test_work_that_ends_while_its_cancellation_is_on_the_way(self) -> None:
        held: list[Any] = []

        def hold_on(request: Any) -> int:
            held.append(request)
            return hold(request)

        done = self.run_job()
        self.server.then(hold_on, CANCELLED)
        self.server.pass_time(2)
        self.work.callback("precious")
        held[0].write(CANCELLED(held[0]))
        held[0].finish()
        self.server.settle()
        error = self.failureResultOf(done, JobCancelled).value
        self.assertEqual((self.cancelled, error.output), (0, "precious"))


class UnknownJobTests(RunTestCase):
    """A server that does not know the job any more, or that does not accept reports."""

    heartbeat = 6.0

    def test_an_unknown_job_ends_the_reporting_and_not_the_work(self) -> None:
        done = self.run_job()
        self.server.then(problem(404, "no such job"))
        self.server.pass_time(2)
        self.job.progress(0.5)
        self.server.pass_time(60)
        self.assertNoResult(done)
        self.assertEqual((self.cancelled, self.job.stopped, len(self.reports)), (0, False, 1))
        self.server.then(problem(404, "no such job"))
        self.work.callback("precious")
        self.assertEqual(self.failureResultOf(done, JobNotFound).value.output, "precious")

    def test_the_end_is_reported_if_the_job_is_known_again(self) -> None:
        done = self.run_job()
        self.server.then(problem(404, "no such job"))
        self.server.pass_time(60)
        self.job.progress(0.5, eta=None)
        self.work.callback("precious")
        self.successResultOf(done)
        end = {"progress": 0.5, "result": "completed", "output": "precious"}
        self.assertEqual(self.reports[1:], [end])

    def test_a_proxy_in_the_place_of_the_server_ends_nothing(self) -> None:
        for code in (404, 401, 403, 405, 409, 301, 200, 502):
            self.server.requests.clear()
            done = self.run_job()
            page = answer(code, b"<html>")
            self.server.then(page, page)
            self.server.pass_time(6)
            self.assertEqual((self.cancelled, len(self.reports)), (0, 3))
            self.server.then(page, page)
            self.work.callback("precious")
            self.server.pass_time(6)
            self.successResultOf(done)

    def test_a_token_that_is_refused_for_a_while_ends_nothing(self) -> None:
        done = self.run_job()
        self.server.then(*[problem(401, "a token is needed")] * 3)
        self.server.pass_time(10)
        self.assertEqual((self.cancelled, self.times), (0, [2, 4, 6, 8, 10]))
        self.work.callback(None)
        self.successResultOf(done)

    def test_progress_that_an_older_server_does_not_accept_does_not_stop_heartbeats(self) -> None:
        done = self.run_job()
        self.server.then(problem(400, "`message` is longer than 512 bytes"))
        self.job.progress(message="x" * 600)
        self.server.pass_time(4.75)
        self.assertEqual(self.reports[1:], [{}, {}])
        self.work.callback(None)
        self.successResultOf(done)
