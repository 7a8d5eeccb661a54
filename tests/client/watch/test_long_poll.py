"""Monitoring by long polls: in memory, on a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from statusjob import MonitoringTimeout, Refused, RetriesExhausted, Status
from tests.helpers.scripted_server import (
    COMPLETED,
    JOB_ID,
    PENDING,
    ClientTestCase,
    PatientServer,
    answer,
    event,
    hang_up,
    hold,
    problem,
    status,
)

ETAG = f'"{JOB_ID}.pending"'


class LongPollTestCase(ClientTestCase):
    """A client, and a server that can be long-polled."""

    server: Any

    def setUp(self) -> None:
        super().setUp()
        self.server = PatientServer(self.clock)

    def watch(self, **options: Any) -> Deferred[Status]:
        """Start monitoring, and let everything happen that takes no time."""
        self.watching = self.client(**options)
        monitored = self.watching.start_monitoring()
        self.server.settle()
        return monitored

    @property
    def times(self) -> list[float]:
        """When requests came, in seconds since the test began."""
        return [each - 1_700_000_000 for each in self.server.times]


class LongPollTests(LongPollTestCase):
    """A server that holds its answers, as it says."""

    def test_the_first_answer_comes_at_once_and_confirms_long_polling(
        self,
    ) -> None:
        monitored = self.watch()
        self.assertEqual(self.seen, [Status.PENDING])
        first, second = self.server.requests
        self.assertEqual(
            (first.header("Prefer"), first.header("If-None-Match")), ("wait=5", '"0"')
        )
        self.assertEqual(
            (second.header("Prefer"), second.header("If-None-Match")), ("wait=45", ETAG)
        )
        self.server.change("completed")
        self.successResultOf(monitored)

    def test_each_long_poll_follows_the_last_at_once(self) -> None:
        self.watch()
        self.server.pass_time(175)
        self.assertEqual(self.times, [0, 0, 45, 90, 135])
        self.watching.stop_monitoring()

    def test_the_end_of_the_job_is_noticed_at_once(self) -> None:
        monitored = self.watch()
        self.server.pass_time(70.25)
        self.server.change("error")
        self.assertIs(self.successResultOf(monitored), Status.ERROR)
        self.assertEqual(self.seen, [Status.PENDING, Status.ERROR])
        self.assertEqual(len(self.server.requests), 3)

    def test_a_job_that_has_ended_takes_one_request(self) -> None:
        self.server.change("completed")
        self.successResultOf(self.watch())
        self.assertEqual(len(self.server.requests), 1)

    def test_long_polls_are_not_more_frequent_than_the_polling_interval(self) -> None:
        self.watch(polling_interval=60, max_interval=60)
        self.server.pass_time(135)
        self.assertEqual(self.times, [0, 0, 60, 120])
        self.watching.stop_monitoring()

    def test_long_polls_without_etags(self) -> None:
        applied = answer(200, b'{"result":"pending"}', Preference_Applied="wait=45")
        self.server.then(applied)
        monitored = self.watch()
        self.assertIsNone(self.server.requests[1].header("If-None-Match"))
        self.server.change("completed")
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_a_server_may_apply_a_shorter_wait(self) -> None:
        self.server.applied = "respond-async, wait=20"
        self.watch()
        for _ in range(3):
            self.server.pass_time(20)
            self.server.let_go()
        self.assertEqual(self.times, [0, 0, 20, 40, 60])
        self.watching.stop_monitoring()

    def test_a_webhook_ends_the_long_poll_at_once(self) -> None:
        monitored = self.watch()
        self.server.pass_time(10)
        self.watching.notify(event("completed"))
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assert_nothing_left()

    def test_stopping_ends_the_long_poll_at_once(self) -> None:
        monitored = self.watch()
        self.successResultOf(self.watching.stop_monitoring())
        self.assertIs(self.successResultOf(monitored), Status.PENDING)
        self.assert_nothing_left()

    def test_cancelling_ends_the_long_poll_at_once(self) -> None:
        monitored = self.watch()
        monitored.cancel()
        self.failureResultOf(monitored, CancelledError)
        self.assert_nothing_left()

    def test_the_timeout_ends_the_long_poll_at_once(self) -> None:
        monitored = self.watch(timeout=20)
        self.server.pass_time(20)
        self.failureResultOf(monitored, MonitoringTimeout)
        self.assert_nothing_left()

    def test_a_redirect_fails_the_monitoring(self) -> None:
        monitored = self.watch()
        self.server.pass_time(10)
        self.server.cut(problem(307, "elsewhere", Location="http://elsewhere.test/"))
        self.failureResultOf(monitored, Refused)

    def assert_nothing_left(self) -> None:
        """Fail if anything is still under way, on either side."""
        self.server.stub.flush()
        self.assertEqual((len(self.server.held), self.clock.getDelayedCalls()), (0, []))


class UnconfirmedTests(LongPollTestCase):
    """A server that does not confirm long polling, or not now."""

    def test_it_is_polled_by_the_schedule(self) -> None:
        self.serve(*[PENDING] * 4, COMPLETED)
        self.watch()
        self.server.pass_time(60)
        self.assertEqual(self.waits(), [2, 6, 10, 14])
        self.assertEqual(self.server.waits, ["wait=5"] * 5)

    def test_unconfirmed_long_polls_have_the_usual_timeout(self) -> None:
        self.serve(PENDING, hold, COMPLETED)
        self.watch(request_timeout=4)
        self.server.pass_time(30)
        self.assertEqual(self.waits(), [2, 8])

    def test_a_preference_applied_that_makes_no_sense_confirms_nothing(self) -> None:
        for applied in ("", "wait", "wait=", "wait=soon", "wait=0", "wait=1", "await=45", "x"):
            said = status("pending", Preference_Applied=applied)
            self.serve(said, said, said, COMPLETED)
            self.watch()
            self.server.pass_time(60)
            self.assertEqual(self.waits(), [2, 6, 10], applied)

    def test_it_is_polled_when_retry_after_says(self) -> None:
        self.serve(status("pending", Retry_After="9"), COMPLETED)
        self.watch()
        self.server.pass_time(60)
        self.assertEqual(self.waits(), [9])

    def test_it_is_long_polled_again_as_soon_as_it_confirms_that(self) -> None:
        monitored = self.watch()
        self.server.then(PENDING)
        self.server.pass_time(50)
        self.assertEqual((self.times, len(self.server.held)), ([0, 0, 45], 0))
        self.server.pass_time(60)
        self.assertEqual(self.server.waits[-2:], ["wait=5", "wait=45"])
        self.assertEqual(len(self.server.held), 1)
        self.server.change("completed")
        self.successResultOf(monitored)


class EarlyAnswerTests(LongPollTestCase):
    """A server that confirms long polling, but answers early."""

    def test_early_answers_cause_no_busy_loop(self) -> None:
        said = "wait=45"
        for liar in (
            status("pending", Preference_Applied=said),
            answer(304, Preference_Applied=said),
            answer(200, b'{"result":"pending"}', Preference_Applied=said),
            answer(200, b'{"result":"pending"}', Preference_Applied="wait=999999999"),
        ):
            self.serve(status("pending", Preference_Applied=said), otherwise=liar)
            self.watch()
            self.server.pass_time(14)
            self.assertEqual(self.waits(), [0, 4, 8])
            self.assertEqual(self.server.waits, ["wait=5"] + ["wait=45"] * 3)
            self.server.pass_time(586)
            # From age 12 on it is polled by the schedule.
            self.assertEqual(self.waits()[3:8], [12, 16, 20, 24, 28])
            self.assertEqual(self.server.waits[4:], [None] * (len(self.server.requests) - 4))
            self.assertLess(len(self.server.requests), 30)
            self.watching.stop_monitoring()

    def test_an_etag_that_always_changes_causes_no_busy_loop(self) -> None:
        count = iter(range(1_000_000))

        def liar(request: object) -> bytes | int:
            tag = f'"{next(count)}"'
            said = answer(200, b'{"result":"pending"}', ETag=tag, Preference_Applied="wait=45")
            return said(request)

        self.serve(otherwise=liar)
        self.watch()
        self.server.pass_time(600)
        self.assertLess(len(self.server.requests), 30)
        self.watching.stop_monitoring()

    def test_long_polling_is_tried_again_after_a_pause(self) -> None:
        lie = status("pending", Preference_Applied="wait=45")
        self.server.then(*[lie] * 4)
        monitored = self.watch()
        self.server.pass_time(600)
        self.assertEqual(self.server.waits[4:], [None] * (len(self.server.requests) - 4))
        self.server.pass_time(60)
        self.assertEqual(len(self.server.held), 1)
        self.server.change("completed")
        self.successResultOf(monitored)


class LostLongPollTests(LongPollTestCase):
    """Long polls that bring no answer."""

    def test_a_long_poll_that_is_lost_after_a_while_is_no_failure(self) -> None:
        for end in (hang_up, problem(504, "too long"), problem(502, "oh")):
            self.server = PatientServer(self.clock)
            monitored = self.watch(max_retries=0)
            self.server.pass_time(10)
            self.server.cut(end)
            self.server.pass_time(4)
            # First a poll finds out whether the server is there.
            self.assertEqual(self.server.waits[2:], [None, "wait=45"])
            self.server.change("completed")
            self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_a_long_poll_that_is_refused_at_once_is_a_failure(self) -> None:
        self.server.then(status("pending", Preference_Applied="wait=45"), problem(503, "full"))
        monitored = self.watch(max_retries=0)
        self.failureResultOf(monitored, RetriesExhausted)

    def test_an_unreachable_server_is_given_up_after_max_retries(self) -> None:
        monitored = self.watch(max_retries=2)
        self.server.pass_time(10)
        self.server.then(*[hang_up] * 9)
        self.server.cut()
        self.server.pass_time(60)
        error = self.failureResultOf(monitored, RetriesExhausted).value
        self.assertEqual((error.failures, len(self.server.requests)), (3, 5))

    def test_a_server_that_refuses_long_polls_is_polled(self) -> None:
        def full(request: object) -> bytes | int:
            waiting = request.getHeader("prefer") is not None  # type: ignore[attr-defined]
            return (problem(503, "full", Retry_After="3") if waiting else PENDING)(request)

        self.serve(status("pending", Preference_Applied="wait=45"), otherwise=full)
        monitored = self.watch(max_retries=1)
        self.server.pass_time(600)
        self.assertNoResult(monitored)
        self.assertEqual(self.server.waits.count("wait=45"), 3)
        self.assertLess(len(self.server.requests), 32)
        self.watching.stop_monitoring()

    def test_behind_a_proxy_with_a_short_timeout_long_polls_become_shorter(self) -> None:
        monitored = self.watch(max_retries=0)
        self.server.pass_time(30)
        self.server.cut(problem(504, "too long"))
        self.server.pass_time(60)
        self.assertEqual(self.server.waits[2:], [None] + ["wait=20"] * 3)
        self.server.change("completed")
        self.successResultOf(monitored)

    def test_a_long_poll_without_an_answer_times_out(self) -> None:
        monitored = self.watch(request_timeout=6)
        for request in self.server.held:
            self.server.held[request] = float("inf")
        self.server.pass_time(50.75)
        self.assertEqual(len(self.server.held), 1)
        self.server.pass_time(0.5)
        self.assertEqual(len(self.server.held), 0)
        self.server.pass_time(4)
        self.assertEqual(self.server.waits[1:], ["wait=45", None, "wait=20"])
        self.server.change("completed")
        self.successResultOf(monitored)

    def test_monitoring_continues_after_a_restart_of_the_server(self) -> None:
        monitored = self.watch(max_retries=3)
        self.server.pass_time(10)
        # It answers before the time is up, as it does when it stops, and is down for a while.
        self.server.then(hang_up, hang_up)
        self.server.let_go()
        self.server.pass_time(20)
        self.assertEqual(self.times, [0, 0, 14, 18, 26, 26])
        self.assertEqual(len(self.server.held), 1)
        self.server.change("completed")
        self.successResultOf(monitored)

    def test_clients_whose_long_polls_end_together_come_back_spread_out(self) -> None:
        clients = [self.client(random=lambda draw=draw: draw / 49) for draw in range(50)]
        for client in clients:
            client.start_monitoring()
        self.server.settle()
        self.server.pass_time(10)
        begun, asked = self.clock.seconds(), len(self.server.requests)
        self.server.let_go()
        self.server.pass_time(5, step=0.01)
        times = [each - begun for each in self.server.times[asked:]]
        self.assertEqual(len(times), 50)
        self.assertTrue(all(2 <= each < 4.1 for each in times), times)
        for begin in range(20, 41):
            together = sum(begin <= 10 * each < begin + 1 for each in times)
            self.assertLessEqual(together, 5)
        for client in clients:
            client.stop_monitoring()

    def test_a_clock_that_is_set_costs_a_request_or_two(self) -> None:
        for step in (-3600.0, 3600.0, 1e9):
            self.server = PatientServer(self.clock)
            monitored = self.watch()
            self.server.pass_time(10)
            self.clock.rightNow += step
            for call in self.clock.getDelayedCalls():
                call.reset(45)
            self.server.pass_time(45)
            self.server.let_go()
            self.server.pass_time(90)
            self.assertLess(len(self.server.requests), 7)
            self.server.change("completed")
            self.successResultOf(monitored)
