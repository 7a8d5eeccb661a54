"""How requests of a worker are repeated: in memory, on a clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict
from twisted.internet.defer import CancelledError, Deferred, TimeoutError

from statusjob import (
    BadAnswer,
    BadRequest,
    CreatedJob,
    JobNotFound,
    LocatedJob,
    NotAuthorized,
    RetriesExhausted,
    StatusjobError,
    Unavailable,
    Unreachable,
    WorkerClient,
)
from tests.helpers.scripted_server import (
    JOB_ID,
    Unresolved,
    a_job,
    answer,
    hang_up,
    hold,
    located,
    problem,
)
from tests.helpers.workers import REPORTS, WorkerTestCase, job_answer


class RetryTests(WorkerTestCase):
    """C{WorkerClient}, and a server that does not answer."""

    now = 1_700_000_000.0

    def test_reports_are_repeated_until_there_is_an_answer(self) -> None:
        for report in REPORTS:
            worker = self.worker(
                problem(500, "oh"), hang_up, answer(200, b"<html>"), hold, job_answer(a_job())
            )
            reported = report(worker)
            self.server.pass_time(60)
            self.assertEqual(self.successResultOf(reported), located(a_job()))
            # Waits of 2, 4 and 8 s; then 5 s for the request that times out, and 16 s.
            self.assertEqual(self.server.times[:4], [0, 2, 6, 14])
            self.assertEqual(self.server.times[4], 35)
            self.clock.rightNow = 0.0

    def test_a_retry_waits_for_as_long_as_the_server_asks(self) -> None:
        for code in (429, 503):
            worker = self.worker(problem(code, "busy", Retry_After="40"), job_answer(a_job()))
            reported = worker.heartbeat(JOB_ID)
            start = self.clock.seconds()
            self.server.pass_time(60)
            self.successResultOf(reported)
            self.assertEqual(self.server.times[1] - start, 40)

    def test_a_request_is_repeated_for_a_minute(self) -> None:
        for failing, kind in (
            (problem(500, "broken"), Unavailable),
            (hang_up, Unreachable),
            (answer(200, b"no job"), BadAnswer),
        ):
            for ask in (lambda w: w.create(), lambda w: w.heartbeat(JOB_ID)):
                worker = self.worker(*[failing] * 20)
                begun, asked = self.clock.seconds(), ask(worker)
                self.server.pass_time(100)
                error = self.failureResultOf(asked, RetriesExhausted).value
                self.assertIsInstance(error.__cause__, kind)
                self.assertEqual(
                    [each - begun for each in self.server.times], [0, 2, 6, 14, 30, 60]
                )

    def test_the_time_of_requests_that_time_out_counts(self) -> None:
        reported = self.worker(retry_for=12.0).heartbeat(JOB_ID)
        self.server.pass_time(100)
        self.failureResultOf(reported, RetriesExhausted)
        # Each takes 5 s; the wait between them is 2 s.
        self.assertEqual(self.server.times, [0, 7])

    def test_a_step_of_the_clock_does_not_end_the_retries(self) -> None:
        worker = self.worker(hang_up, hang_up, job_answer(a_job()))
        reported = worker.heartbeat(JOB_ID)
        self.server.pass_time(1)
        self.clock.rightNow += 864_000
        self.server.pass_time(10)
        self.successResultOf(reported)

    def test_a_request_is_given_up_if_the_server_asks_to_wait_for_too_long(self) -> None:
        worker = self.worker(problem(503, "busy", Retry_After="61"))
        error = self.failureResultOf(worker.heartbeat(JOB_ID), RetriesExhausted).value
        assert isinstance(error.__cause__, Unavailable)
        self.assertEqual(error.__cause__.retry_after, 61)

    def test_the_report_of_an_end_is_not_given_up_because_of_an_absurd_retry_after(self) -> None:
        busy = problem(503, "busy", Retry_After="99999999")
        ended = self.worker(busy, job_answer(a_job())).complete(JOB_ID)
        self.server.pass_time(3601, step=1)
        self.successResultOf(ended)

    def test_no_retries(self) -> None:
        worker = self.worker(hang_up, retry_for=0.0)
        self.failureResultOf(worker.heartbeat(JOB_ID), RetriesExhausted)

    def test_the_report_of_an_end_is_repeated_for_a_day(self) -> None:
        ends: tuple[Callable[[WorkerClient], Deferred[LocatedJob]], ...] = (
            lambda worker: worker.complete(JOB_ID, output=[1]),
            lambda worker: worker.fail(JOB_ID, output=[1]),
        )
        for end in ends:
            busy = problem(503, "busy", Retry_After="3600")
            ended = end(self.worker(*[hang_up] * 14, otherwise=busy))
            self.server.pass_time(590, step=1)
            waits = [later - sooner for sooner, later in itertools.pairwise(self.server.times)]
            self.assertEqual(waits, [2, 4, 8, 16, 32, *[60] * 8])
            self.server.pass_time(82_000, step=20)
            self.assertNoResult(ended)
            self.server.pass_time(5000, step=20)
            error = self.failureResultOf(ended, RetriesExhausted).value
            self.assertEqual(error.output, [1])

    def test_the_report_of_an_end_is_not_repeated_after_the_deadline(self) -> None:
        job = a_job(deadline=600.0, created_at=self.now - 300)
        created = CreatedJob(**asdict(job), url="", created_here=self.clock.seconds() - 300)
        for named in (job, created):
            # The reactor's clock is not the wall clock.
            worker = self.worker(*[hang_up] * 99, now=lambda: self.now)
            ended = worker.complete(named, output=[1])
            self.server.pass_time(290, step=1)
            self.assertNoResult(ended)
            self.server.pass_time(11, step=1)
            self.assertEqual(self.failureResultOf(ended, RetriesExhausted).value.output, [1])
            self.clock.rightNow -= 301

    def test_a_name_that_does_not_exist_is_not_tried_for_a_day(self) -> None:
        unknown = Unresolved(fails=True)
        worker = WorkerClient("http://lokalhost", reactor=self.clock, treq=unknown)
        ended = worker.complete(JOB_ID, output=[1])
        self.clock.pump([1] * 29)
        self.assertNoResult(ended)
        self.clock.pump([1] * 60)
        self.assertEqual(self.failureResultOf(ended, RetriesExhausted).value.output, [1])
        self.assertGreaterEqual(unknown.requests, 5)

    def test_a_refused_report_of_an_end_carries_the_output(self) -> None:
        for code, kind in ((404, JobNotFound), (401, NotAuthorized), (413, BadRequest)):
            worker = self.worker(problem(code, "no"))
            error = self.failureResultOf(worker.complete(JOB_ID, output=[1]), kind).value
            assert isinstance(error, StatusjobError)
            self.assertEqual((error.output, len(self.server.requests)), ([1], 1))

    def test_all_tries_of_the_report_of_an_end_have_the_same_output(self) -> None:
        output = [1]
        ended = self.worker(hang_up, job_answer(a_job())).complete(JOB_ID, output=output)
        output.append(2)
        self.server.pass_time(5)
        self.successResultOf(ended)
        self.assertEqual([each.json["output"] for each in self.server.requests], [[1]] * 2)

    def test_reports_on_a_job_with_a_heartbeat_are_repeated_before_it_is_lost(self) -> None:
        job = a_job(heartbeat=6.0)
        reports: tuple[Callable[[WorkerClient], Deferred[LocatedJob]], ...] = (
            lambda worker: worker.progress(job, 0.5),
            lambda worker: worker.complete(job),
            lambda worker: worker.fail(job),
            lambda worker: worker.heartbeat(job),
        )
        for report in reports:
            busy = problem(503, "busy", Retry_After="300")
            worker = self.worker(*[hang_up] * 9, busy, job_answer(a_job()))
            begun, reported = self.clock.seconds(), report(worker)
            self.server.pass_time(60)
            self.successResultOf(reported)
            times = [each - begun for each in self.server.times]
            self.assertEqual(times, [2.0 * number for number in range(11)])

    def test_cancelling_during_a_request(self) -> None:
        reported = self.worker().heartbeat(JOB_ID)
        reported.cancel()
        self.failureResultOf(reported, CancelledError)
        self.server.stub.flush()
        self.assertEqual(self.server.lost, 1)

    def test_cancelling_between_tries(self) -> None:
        reported = self.worker(hang_up).heartbeat(JOB_ID)
        reported.cancel()
        self.failureResultOf(reported, CancelledError)

    def test_cancelling_while_the_name_is_resolved_ends_everything(
        self,
    ) -> None:
        calls: tuple[Callable[[WorkerClient], Deferred[Any]], ...] = (
            *REPORTS,
            lambda worker: worker.create(),
            lambda worker: worker.run(JOB_ID, self.fail),
        )
        for call in calls:
            unresolved = Unresolved()
            worker = WorkerClient("http://localhost", reactor=self.clock, treq=unresolved)
            called = call(worker).addTimeout(1, self.clock)
            self.clock.pump([1] * 100)
            self.failureResultOf(called, TimeoutError)
            self.assertEqual(unresolved.requests, 1)
