"""The reports that C{WorkerClient.run} sends while the work goes on: in memory, on a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from statusjob import LocatedJob
from statusjob.contract import codec
from statusjob.contract.jobs import Report
from tests.helpers.running import RunTestCase
from tests.helpers.scripted_server import JOB_ID, a_job, hang_up, hold, job_body, problem


class ProgressTests(RunTestCase):
    """Progress that the work reports by its handle."""

    def end_work(self, done: Deferred[LocatedJob]) -> Any:
        """End the work, and return the final report."""
        self.work.callback(None)
        self.successResultOf(done)
        return self.reports[-1]

    def test_at_most_two_reports_per_second_are_sent_with_the_newest_state(self) -> None:
        done = self.run_job()
        for number in range(200):
            self.job.progress(number / 1000, message=str(number), eta=None)
            self.server.pass_time(0.01, step=0.01)
        self.assertEqual(len(self.reports), 3)
        told = [int(each["message"]) for each in self.reports]
        self.assertTrue(all(abs(a - b) < 4 for a, b in zip(told, (50, 100, 150), strict=True)))
        last = {"progress": 0.199, "message": "199", "result": "completed"}
        self.assertEqual(self.end_work(done), last)

    def test_progress_after_a_pause_is_reported_at_once(self) -> None:
        done = self.run_job()
        self.server.pass_time(10)
        self.job.progress(0.1, eta=None)
        self.server.settle()
        self.assertEqual(self.times, [10])
        self.end_work(done)

    def test_a_value_that_is_not_given_stays_as_it_was(self) -> None:
        done = self.run_job()
        self.job.progress(0.1, eta=None)
        self.job.progress(message="a")
        self.job.progress(0.2)
        self.server.pass_time(1)
        self.assertEqual(self.reports, [{"progress": 0.2, "message": "a", "eta": None}])
        self.job.progress(None, message=None)
        self.server.pass_time(1)
        self.assertEqual(self.reports[1], {"progress": None, "message": None})
        self.assertEqual(self.end_work(done), {"result": "completed"})

    def test_progress_that_was_not_reported_yet_goes_with_the_final_report(self) -> None:
        done = self.run_job()
        self.job.progress(0.9, message="nearly", eta=1)
        self.assertEqual(
            self.end_work(done), {"progress": 0.9, "message": "nearly", "result": "completed"}
        )
        self.assertEqual(len(self.reports), 1)

    def hold_report(self) -> None:
        """Report progress, and let the server not answer yet."""

        def hold_on(request: Any) -> int:
            self.held = request
            return hold(request)

        self.server.then(hold_on)
        self.job.progress(0.5, message="a", eta=None)
        self.server.pass_time(1)
        self.assertEqual(len(self.reports), 1)

    def answer_report(self) -> None:
        """Answer the report."""
        self.held.write(job_body(a_job()))
        self.held.finish()
        self.server.settle()

    def test_progress_made_during_a_report_goes_with_the_next_one(self) -> None:
        done = self.run_job()
        self.hold_report()
        self.job.progress(0.6)
        self.server.pass_time(2)
        self.assertEqual(len(self.reports), 1)
        self.answer_report()
        self.assertEqual(self.reports[1:], [{"progress": 0.6}])
        self.end_work(done)

    def test_the_wait_for_a_retry_begins_when_the_request_has_timed_out(self) -> None:
        done = self.run_job()
        self.hold_report()
        self.server.pass_time(10)
        self.assertEqual(self.times, [0.5, 7.5])
        self.end_work(done)

    def test_the_final_report_waits_for_the_report_under_way(self) -> None:
        done = self.run_job()
        self.hold_report()
        self.work.callback(None)
        self.server.settle()
        self.assertEqual(len(self.reports), 1)
        self.answer_report()
        self.successResultOf(done)
        self.assertEqual(self.reports[1], {"result": "completed"})

    def test_a_report_that_failed_is_repeated_with_the_newest_state(self) -> None:
        done = self.run_job()
        self.server.then(hang_up, problem(500, "oh"))
        self.job.progress(0.1, message="a", eta=None)
        self.server.pass_time(1)
        self.job.progress(0.2)
        self.server.pass_time(10)
        self.assertEqual(
            self.reports,
            [
                {"progress": 0.1, "message": "a", "eta": None},
                *[{"progress": 0.2, "message": "a", "eta": None}] * 2,
            ],
        )
        # The retries come after 2 and 4 seconds.
        self.assertEqual(self.times, [0.5, 2.5, 6.5])
        self.end_work(done)

    def test_the_first_of_several_failures_is_a_warning(self) -> None:
        done = self.run_job()
        self.server.then(*[hang_up] * 3)
        self.job.progress(0.1)
        with capturedLogs() as logged:
            self.server.pass_time(60)
        told = [each["log_level"].name for each in logged if "repeated" in formatEvent(each)]
        self.assertEqual(told, ["warn", "info", "info"])
        self.server.then(*[hang_up] * 3)
        with capturedLogs() as logged:
            self.work.callback(None)
            self.server.pass_time(60)
        told = [each["log_level"].name for each in logged if "asking" in formatEvent(each)]
        self.assertEqual(told, ["warn", "info", "info"])
        self.successResultOf(done)

    def test_a_retry_waits_for_as_long_as_the_server_asks(self) -> None:
        done = self.run_job()
        self.server.then(problem(503, "busy", Retry_After="20"))
        self.job.progress(0.1)
        self.server.pass_time(30)
        self.assertEqual(self.times, [0.5, 20.5])
        self.end_work(done)

    def test_a_server_that_is_unreachable_for_long_does_not_stop_the_work(self) -> None:
        done = self.run_job(retry_for=1.0)
        self.server.then(*[hang_up] * 20)
        self.job.progress(0.1)
        self.server.pass_time(1000, step=1)
        self.assertNoResult(done)
        self.assertEqual(self.end_work(done), {"result": "completed"})

    def test_values_out_of_range_are_clamped(self) -> None:
        done = self.run_job()
        self.job.progress(1.0000000000000002, message="é" * 1000, eta=-1)
        self.server.pass_time(1)
        self.assertEqual(self.reports, [{"progress": 1, "message": "é" * 512, "eta": 0}])
        self.job.progress(-1e-17, eta=float("inf"))
        self.server.pass_time(1)
        self.assertEqual(self.reports[1]["progress"], 0)
        codec.decode(codec.encode(self.reports[1]), Report)
        self.end_work(done)

    def test_a_number_that_is_none_is_logged_once_and_ignored(self) -> None:
        done = self.run_job()
        with capturedLogs() as logged:
            for _ in range(100):
                self.job.progress(float("nan"), message="a")
        self.server.pass_time(1)
        self.assertEqual(self.reports, [{"message": "a"}])
        ignored = [each for each in map(formatEvent, logged) if "NaN" in each]
        self.assertEqual(ignored, [f"the progress of job {JOB_ID} was NaN, and is ignored"])
        self.end_work(done)

    def test_a_wrong_type_is_an_error_at_the_call(self) -> None:
        done = self.run_job()
        for progress in ("half", True, 1j):
            self.assertRaises(TypeError, self.job.progress, progress)
        for options in ({"message": b"a"}, {"eta": "soon"}):
            self.assertRaises(TypeError, self.job.progress, **options)
        self.assertEqual(self.end_work(done), {"result": "completed"})

    def test_an_eta_stays_acceptable_when_the_clock_is_set_back(self) -> None:
        done = self.run_job()
        self.job.progress(0.5, eta=float("inf"))
        self.clock.rightNow -= 60
        self.server.pass_time(61)
        codec.decode(codec.encode(self.reports[0]), Report)
        self.end_work(done)

    def test_progress_after_the_end_of_the_work_does_not_change_the_final_report(self) -> None:
        done = self.run_job()
        self.server.then(hang_up)
        self.job.progress(0.5, eta=None)
        self.work.callback(None)
        self.job.progress(0.6)
        self.server.pass_time(5)
        self.successResultOf(done)
        self.assertEqual(self.reports, [{"progress": 0.5, "result": "completed"}] * 2)

    def test_an_eta_is_estimated_from_the_progress(self) -> None:
        done = self.run_job()
        for number in range(1, 4):
            self.server.pass_time(10)
            self.job.progress(number / 10)
            self.server.settle()
        self.assertEqual([each["eta"] for each in self.reports], [90, 80, 70])
        self.end_work(done)

    def test_too_little_progress_gives_no_eta(self) -> None:
        done = self.run_job()
        self.job.progress(0.001)
        self.job.progress(message="a")
        self.server.pass_time(1)
        self.assertEqual(self.reports, [{"progress": 0.001, "message": "a"}])
        self.end_work(done)

    def test_an_eta_that_the_work_gives_replaces_the_estimate(self) -> None:
        done = self.run_job()
        self.job.progress(0.1, eta=30)
        self.server.pass_time(10)
        self.job.progress(0.2)
        self.server.pass_time(1)
        # Half a second has passed between the call and the report.
        self.assertEqual(self.reports, [{"progress": 0.1, "eta": 29.5}, {"progress": 0.2}])
        self.end_work(done)

    def test_progress_is_reported_although_the_clock_was_set(self) -> None:
        for step in (-3600, 3600):
            self.server.requests.clear()
            done = self.run_job()
            self.clock.rightNow += step
            self.job.progress(0.1, eta=None)
            self.server.pass_time(0.5)
            self.assertEqual(len(self.reports), 1)
            self.end_work(done)


class HeartbeatTests(RunTestCase):
    """A job with a heartbeat."""

    heartbeat = 6.0

    def test_a_heartbeat_is_sent_when_nothing_was_reported_for_a_third_of_the_limit(self) -> None:
        done = self.run_job()
        self.server.pass_time(5)
        self.assertEqual((self.times, self.reports), ([2, 4], [{}, {}]))
        self.job.progress(0.5, eta=None)
        self.server.settle()
        self.server.pass_time(4.5)
        self.assertEqual(self.times, [2, 4, 5, 7, 9])
        self.work.callback(None)
        self.successResultOf(done)

    def test_heartbeats_are_sent_as_often_whatever_the_server_asks_for(self) -> None:
        done = self.run_job()
        self.server.then(*[problem(503, "busy", Retry_After="600")] * 3)
        self.server.pass_time(10)
        self.assertEqual(self.times, [2, 4, 6, 8, 10])
        self.work.callback(None)
        self.successResultOf(done)

    def test_a_final_report_is_repeated_as_often_as_heartbeats(self) -> None:
        done = self.run_job()
        self.server.then(*[hang_up] * 9, problem(503, "busy", Retry_After="600"))
        self.work.callback(None)
        self.server.pass_time(20)
        self.successResultOf(done)
        self.assertEqual(self.times, [2 * number for number in range(11)])

    def test_a_heartbeat_that_is_not_answered_is_sent_again_before_the_job_is_lost(self) -> None:
        for heartbeat in (3.0, 6.0, 10.0, 60.0):
            self.heartbeat = heartbeat
            self.server.requests.clear()
            done = self.run_job(request_timeout=10)
            begun = self.server.times[0]
            self.server.then(hold)
            self.server.pass_time(heartbeat, step=0.1)
            again = self.server.times[2] - begun
            self.assertLessEqual(again, 0.9 * heartbeat)
            self.work.callback(None)
            self.successResultOf(done)

    def test_a_final_report_that_is_not_answered_is_sent_again_before_the_job_is_lost(
        self,
    ) -> None:
        done = self.run_job(request_timeout=10)
        self.server.pass_time(1.75)
        self.server.then(hold, hold)
        self.work.callback("large")
        self.server.pass_time(20)
        self.successResultOf(done)
        # The second try has all the time that a request has.
        self.assertEqual(self.times, [1.75, 5.0, 17.0])

    def test_heartbeats_to_an_unreachable_server_are_sent_as_often(self) -> None:
        done = self.run_job()
        self.server.then(*[hang_up] * 10)
        self.server.pass_time(20)
        self.assertEqual(self.times, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
        self.work.callback(None)
        self.server.pass_time(10)
        self.successResultOf(done)


class FastHeartbeatTests(RunTestCase):
    """A job with a heartbeat too short to keep."""

    heartbeat = 1e-9

    def test_heartbeats_have_a_shortest_interval(self) -> None:
        done = self.run_job()
        self.server.pass_time(1, step=0.01)
        self.assertLessEqual(len(self.reports), 10)
        self.work.callback(None)
        self.successResultOf(done)
