"""Monitoring by polls: in memory, on a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from statusjob import (
    AlreadyMonitoring,
    BadAnswer,
    JobNotFound,
    MonitoringTimeout,
    NotAuthorized,
    Refused,
    RetriesExhausted,
    Status,
    StatusClient,
    Transient,
    Unavailable,
    Unreachable,
)
from tests.helpers.scripted_server import (
    COMPLETED,
    ERROR,
    JOB_ID,
    PENDING,
    ClientTestCase,
    answer,
    hang_up,
    hold,
    problem,
)

HOOK = "https://receiver.test/hook"


class MonitoringTests(ClientTestCase):
    """When requests are made, what they send, and how answers are read."""

    def test_a_terminal_result_ends_the_monitoring(self) -> None:
        for terminal in (COMPLETED, ERROR):
            self.serve(PENDING, terminal)
            monitored = self.client().start_monitoring()
            self.assertNoResult(monitored)
            self.server.pass_time(60)
            result = self.successResultOf(monitored)
            self.assertIs(result, Status.COMPLETED if terminal is COMPLETED else Status.ERROR)
            self.assertEqual(self.server.asked, [f"GET /jobs/{JOB_ID}/status"] * 2)

    def test_waits_grow_by_the_square_law_up_to_max_interval(self) -> None:
        self.serve(*[PENDING] * 9, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(300)
        self.successResultOf(monitored)
        self.assertEqual(self.waits(), [2, 6, 10, 14, 18, 22, 26, 30, 30])

    def test_the_wait_is_measured_from_the_answer(self) -> None:
        held: list[Any] = []

        def hold_on(request: Any) -> int:
            held.append(request)
            return hold(request)

        self.serve(hold_on, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(3)
        held[0].write(b'{"result":"pending"}')
        held[0].finish()
        self.server.stub.flush()
        self.server.pass_time(20)
        self.successResultOf(monitored)
        # At age 3: 3 s for the answer and 2 + 2 * sqrt(2 * 3) s, on a clock of quarter seconds.
        self.assertEqual(self.waits(), [10.0])

    def test_the_wait_is_jittered_forward(self) -> None:
        self.serve(PENDING, COMPLETED)
        monitored = self.client(random=lambda: 1.0).start_monitoring()
        self.server.pass_time(10)
        self.successResultOf(monitored)
        self.assertEqual(self.waits(), [2.5])

    def test_on_update_is_called_with_the_first_status_and_each_change(self) -> None:
        self.serve(PENDING, PENDING, PENDING, COMPLETED)
        self.client().start_monitoring()
        self.server.pass_time(60)
        self.assertEqual(self.seen, [Status.PENDING, Status.COMPLETED])

    def test_a_job_that_has_ended_already_takes_one_request(self) -> None:
        self.serve(COMPLETED)
        monitored = self.client().start_monitoring()
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.seen, [Status.COMPLETED])

    def test_the_last_etag_is_sent_back(self) -> None:
        self.serve(PENDING, PENDING, COMPLETED)
        self.client().start_monitoring()
        self.server.pass_time(60)
        etag = f'"{JOB_ID}.pending"'
        sent = [each.header("If-None-Match") for each in self.server.requests]
        self.assertEqual(sent, ['"0"', etag, etag])

    def test_not_modified_means_unchanged(self) -> None:
        self.serve(PENDING, answer(304), answer(304), COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(60)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.seen, [Status.PENDING, Status.COMPLETED])

    def test_an_etag_that_is_too_long_is_not_sent_back(self) -> None:
        self.serve(answer(200, b'{"result":"pending"}', ETag='"' + "x" * 300 + '"'), COMPLETED)
        self.client().start_monitoring()
        self.server.pass_time(10)
        self.assertIsNone(self.server.requests[1].header("If-None-Match"))

    def test_the_original_contract_is_enough(self) -> None:
        bare = [answer(200, b'{"result": "%b"}' % each) for each in (b"pending", b"error")]
        self.serve(*bare)
        monitored = self.client("http://example.test").start_monitoring()
        self.server.pass_time(10)
        self.assertIs(self.successResultOf(monitored), Status.ERROR)
        self.assertEqual(self.server.asked, ["GET /status"] * 2)

    def test_the_token_is_sent(self) -> None:
        self.serve(COMPLETED)
        self.client(token="t0ken").start_monitoring()
        self.assertEqual(self.server.requests[0].header("Authorization"), "Bearer t0ken")

    def test_monitoring_can_be_awaited(self) -> None:
        self.serve(COMPLETED)

        async def wait() -> Status:
            return await self.client().start_monitoring()

        self.assertIs(self.successResultOf(Deferred.fromCoroutine(wait())), Status.COMPLETED)

    def test_monitoring_can_be_started_again_after_its_end(self) -> None:
        self.serve(otherwise=COMPLETED)
        client = self.client()
        for _ in range(2):
            self.assertIs(self.successResultOf(client.start_monitoring()), Status.COMPLETED)

    def test_monitoring_cannot_be_started_twice(self) -> None:
        self.serve()
        client = self.client()
        monitored = client.start_monitoring()
        self.failureResultOf(client.start_monitoring(), AlreadyMonitoring)
        self.assertNoResult(monitored)
        client.stop_monitoring()
        self.successResultOf(monitored)

    def test_after_the_clock_is_set_back_waits_begin_anew(self) -> None:
        self.serve(otherwise=PENDING)
        client = self.client()
        client.start_monitoring()
        self.clock.rightNow -= 3600
        for call in self.clock.getDelayedCalls():
            call.reset(0)
        self.server.pass_time(1)
        self.assertEqual(len(self.server.requests), 2)
        self.server.pass_time(2)
        self.assertEqual(len(self.server.requests), 3)
        client.stop_monitoring()


class FailureTests(ClientTestCase):
    """Failures, refusals and timeouts."""

    def test_failures_are_retried_with_growing_waits(self) -> None:
        self.serve(problem(500, "oh"), problem(502, "no"), hang_up, problem(503, "!"), COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(120)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.waits(), [4, 8, 16, 30])

    def test_too_many_failures_in_a_row_fail_the_monitoring(self) -> None:
        self.serve(otherwise=problem(500, "broken"))
        monitored = self.client(max_retries=3).start_monitoring()
        self.server.pass_time(300)
        error = self.failureResultOf(monitored, RetriesExhausted).value
        self.assertEqual(len(self.server.requests), 4)
        assert isinstance(error.__cause__, Unavailable)
        self.assertEqual((error.__cause__.code, error.__cause__.detail), (500, "broken"))

    def test_a_success_resets_the_number_of_failures(self) -> None:
        bad = problem(500, "broken")
        self.serve(bad, bad, PENDING, bad, bad, PENDING, COMPLETED)
        monitored = self.client(max_retries=2).start_monitoring()
        self.server.pass_time(300)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_without_retries_the_first_failure_fails_the_monitoring(self) -> None:
        self.serve(hang_up)
        monitored = self.client(max_retries=0).start_monitoring()
        self.failureResultOf(monitored, RetriesExhausted)

    def test_an_answer_that_breaks_the_contract_is_a_failure(self) -> None:
        for body in (
            b"",
            b"<html>Welcome to our hotel</html>",
            b"[]",
            b"{}",
            b'{"result":null}',
            b'{"result":"done"}',
            b'{"result":"COMPLETED"}',
            b'{"result":1}',
            b"\xff\xfe",
            b'{"result":"\xff"}',
            b"[" * 20_000,
            b'{"result":"completed"} trailing',
        ):
            self.serve(answer(200, body), COMPLETED)
            monitored = self.client(max_retries=1).start_monitoring()
            self.assertEqual(self.seen, [], body[:50])
            self.server.pass_time(10)
            self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
            self.seen.clear()

    def test_not_modified_before_the_first_status_is_a_failure(self) -> None:
        self.serve(otherwise=answer(304))
        monitored = self.client(max_retries=0).start_monitoring()
        error = self.failureResultOf(monitored, RetriesExhausted).value
        self.assertIsInstance(error.__cause__, BadAnswer)

    def test_refusals_fail_the_monitoring_at_once(self) -> None:
        for code, kind in (
            (404, JobNotFound),
            (401, NotAuthorized),
            (403, NotAuthorized),
            (301, Refused),
            (400, Refused),
            (410, Refused),
            (421, Refused),
        ):
            self.serve(problem(code, "no", Location="http://elsewhere.test/"))
            error = self.failureResultOf(self.client().start_monitoring(), kind).value
            assert isinstance(error, Refused)
            self.assertEqual((error.code, error.detail), (code, "no"))
            self.assertNotIsInstance(error, Transient)
            self.assertEqual(len(self.server.requests), 1)

    def test_a_refusal_without_a_detail_has_the_standard_phrase(self) -> None:
        for body in (b"<html>", b"", b'{"detail":5}', b'{"detail":"\xff"}', b"[" * 20_000):
            self.serve(answer(403, body))
            error = self.failureResultOf(self.client().start_monitoring(), NotAuthorized).value
            self.assertEqual(str(error), "403: Forbidden")

    def test_control_characters_in_a_detail_are_replaced_and_it_is_shortened(self) -> None:
        self.serve(problem(404, "a\r\nb\x1b[31m" + "c" * 10_000))
        error = self.failureResultOf(self.client().start_monitoring(), JobNotFound).value
        self.assertTrue(str(error).startswith("404: a b [31mc"))
        self.assertLess(len(str(error)), 600)

    def test_a_server_that_does_not_answer_is_a_failure_after_the_request_timeout(self) -> None:
        self.serve(otherwise=hold)
        monitored = self.client(max_retries=1, request_timeout=5).start_monitoring()
        self.server.pass_time(13.75)
        self.assertNoResult(monitored)
        self.server.pass_time(0.25)
        error = self.failureResultOf(monitored, RetriesExhausted).value
        assert isinstance(error.__cause__, Unreachable)
        self.assertEqual(error.__cause__.kind, "timeout")
        self.server.stub.flush()
        self.assertEqual(self.server.lost, 2)

    def test_an_answer_that_is_too_big_is_a_failure(self) -> None:
        self.serve(answer(200, b'{"result":"pending"}' + b" " * 65536), COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(5)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.waits(), [4])

    def test_a_callback_that_raises_an_error_fails_the_monitoring(self) -> None:
        def broken(_: Status) -> None:
            raise ZeroDivisionError

        for first in (PENDING, COMPLETED):
            self.serve(first)
            monitored = self.client(on_update=broken).start_monitoring()
            self.failureResultOf(monitored, ZeroDivisionError)

    def test_the_timeout_ends_a_request(self) -> None:
        self.serve(PENDING, hold)
        monitored = self.client(timeout=7, request_timeout=60).start_monitoring()
        self.server.pass_time(6.75)
        self.assertNoResult(monitored)
        self.server.pass_time(0.25)
        self.failureResultOf(monitored, MonitoringTimeout)
        self.server.stub.flush()
        self.assertEqual(self.server.lost, 1)

    def test_the_timeout_ends_the_wait_between_requests(self) -> None:
        self.serve()
        monitored = self.client(timeout=3).start_monitoring()
        self.server.pass_time(3)
        self.failureResultOf(monitored, MonitoringTimeout)


class EndingTests(ClientTestCase):
    """Cancelling and stopping."""

    def test_cancelling_between_requests(self) -> None:
        self.serve()
        client = self.client(timeout=100)
        monitored = client.start_monitoring()
        monitored.cancel()
        self.failureResultOf(monitored, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_during_a_request(self) -> None:
        self.serve(hold)
        monitored = self.client(timeout=100).start_monitoring()
        monitored.cancel()
        self.failureResultOf(monitored, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.server.stub.flush()
        self.assertEqual(self.server.lost, 1)

    def test_cancelling_while_the_webhook_is_registered(self) -> None:
        self.serve(hold)
        monitored = self.client(webhook_url=HOOK).start_monitoring()
        monitored.cancel()
        self.failureResultOf(monitored, CancelledError)
        self.assertEqual(self.server.asked, [f"POST /jobs/{JOB_ID}/webhooks/register"])

    def test_stopping_fires_with_the_last_status(self) -> None:
        self.serve()
        client = self.client()
        monitored = client.start_monitoring()
        self.successResultOf(client.stop_monitoring())
        self.assertIs(self.successResultOf(monitored), Status.PENDING)

    def test_stopping_before_the_first_answer_fires_with_pending(self) -> None:
        self.serve(hold)
        client = self.client()
        monitored = client.start_monitoring()
        self.successResultOf(client.stop_monitoring())
        self.assertIs(self.successResultOf(monitored), Status.PENDING)
        self.assertEqual(self.seen, [])
        self.server.stub.flush()
        self.assertEqual(self.server.lost, 1)

    def test_stopping_inside_the_callback(self) -> None:
        for first in (PENDING, COMPLETED):
            self.serve(first)
            clients: list[StatusClient] = []

            def stop(_: Status, clients: list[StatusClient] = clients) -> None:
                clients[0].stop_monitoring()

            clients.append(self.client(on_update=stop))
            monitored = clients[0].start_monitoring()
            expected = Status.PENDING if first is PENDING else Status.COMPLETED
            self.assertIs(self.successResultOf(monitored), expected)

    def test_stopping_twice_and_without_monitoring(self) -> None:
        self.serve()
        client = self.client()
        self.successResultOf(client.stop_monitoring())
        client.start_monitoring()
        self.successResultOf(client.stop_monitoring())
        self.successResultOf(client.stop_monitoring())
