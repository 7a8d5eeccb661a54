"""The webhook of a C{StatusClient}: registering, unregistering, and what it brings."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import CancelledError
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from statusjob import (
    JobNotFound,
    NotAuthorized,
    NoWebhook,
    Status,
    WebhookEvent,
    WebhookRegistration,
)
from tests.helpers.scripted_server import (
    BASE,
    COMPLETED,
    JOB_ID,
    OTHER_ID,
    PENDING,
    ClientTestCase,
    answer,
    event,
    hang_up,
    hold,
    problem,
    status,
)
from tests.helpers.secrets import SECRET

HOOK = "https://receiver.test/hook"


class WebhookTests(ClientTestCase):
    """Registering and unregistering the webhook, and what it brings."""

    REGISTERED = staticmethod(answer(200, b'{"message":"ok","id":"w1","secret":"whsec_x"}'))

    def test_monitoring_registers_the_webhook_before_the_first_poll(self) -> None:
        self.serve(self.REGISTERED, COMPLETED)
        client = self.client(webhook_url=HOOK, webhook_secret=SECRET)
        self.successResultOf(client.start_monitoring())
        first, second, *_ = self.server.requests
        self.assertEqual((first.method, first.path), ("POST", f"/jobs/{JOB_ID}/webhooks/register"))
        self.assertEqual(first.header("Content-Type"), "application/json")
        self.assertEqual(first.json, {"url": HOOK, "secret": SECRET})
        self.assertEqual((second.method, second.path), ("GET", f"/jobs/{JOB_ID}/status"))
        self.assertEqual(client.registration, WebhookRegistration("w1", "whsec_x"))

    def test_without_a_secret_the_registration_has_one_from_the_server(self) -> None:
        self.serve(self.REGISTERED)
        client = self.client(webhook_url=HOOK)
        registration = self.successResultOf(client.register_webhook())
        self.assertEqual(self.server.requests[0].json, {"url": HOOK})
        self.assertEqual(registration, WebhookRegistration("w1", "whsec_x"))
        self.assertNotIn("whsec_x", repr(registration))

    def test_a_registration_that_fails_is_logged_and_the_job_is_polled(self) -> None:
        logged: list[LogEvent] = []
        observer = cast(ILogObserver, logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for failing in (
            problem(400, "webhook address not allowed"),
            problem(404, "no"),
            problem(500, "broken"),
            hang_up,
            answer(200, b"not JSON"),
        ):
            self.serve(failing, COMPLETED)
            logged.clear()
            client = self.client(webhook_url=HOOK, webhook_secret=SECRET)
            self.assertIs(self.successResultOf(client.start_monitoring()), Status.COMPLETED)
            warned = [each for each in logged if each["log_level"].name == "warn"]
            self.assertEqual(len(warned), 1)
            self.assertNotIn(SECRET, str(logged))
            self.assertNotIn(HOOK, str(logged))

    def test_stopping_unregisters_the_webhook(self) -> None:
        self.serve(self.REGISTERED, PENDING, answer(200, b'{"message":"ok"}'))
        client = self.client(webhook_url=HOOK)
        monitored = client.start_monitoring()
        self.successResultOf(client.stop_monitoring())
        self.successResultOf(monitored)
        last = self.server.requests[-1]
        self.assertEqual(
            (last.method, last.path), ("DELETE", f"/jobs/{JOB_ID}/webhooks/unregister")
        )
        self.assertEqual(last.json, {"url": HOOK})

    def test_stopping_waits_for_the_unregistration(self) -> None:
        self.serve(self.REGISTERED, PENDING, hold)
        client = self.client(webhook_url=HOOK)
        monitored = client.start_monitoring()
        stopped = client.stop_monitoring()
        self.assertNoResult(monitored)
        self.assertNoResult(stopped)
        self.server.pass_time(10)
        self.successResultOf(monitored)
        self.successResultOf(stopped)

    def test_stopping_during_the_registration_unregisters_the_webhook(self) -> None:
        self.serve(hold, answer(200))
        client = self.client(webhook_url=HOOK)
        monitored = client.start_monitoring()
        self.successResultOf(client.stop_monitoring())
        self.successResultOf(monitored)
        self.assertEqual([each.split()[0] for each in self.server.asked], ["POST", "DELETE"])

    def test_the_end_of_the_job_unregisters_the_webhook(self) -> None:
        self.serve(self.REGISTERED, COMPLETED, answer(200))
        client = self.client(webhook_url=HOOK)
        self.assertIs(self.successResultOf(client.start_monitoring()), Status.COMPLETED)
        self.assertEqual(self.server.asked[-1], f"DELETE /jobs/{JOB_ID}/webhooks/unregister")
        for _ in range(2):
            self.successResultOf(client.stop_monitoring())
        self.assertEqual(len(self.server.requests), 3)

    def test_so_does_an_error_that_ends_the_monitoring(self) -> None:
        self.serve(self.REGISTERED, problem(404, "no such job"), answer(200))
        self.failureResultOf(self.client(webhook_url=HOOK).start_monitoring(), JobNotFound)
        self.assertEqual(self.server.asked[-1], f"DELETE /jobs/{JOB_ID}/webhooks/unregister")

    def test_cancelling_requests_nothing_more_until_the_monitoring_is_stopped(self) -> None:
        self.serve(self.REGISTERED, PENDING, answer(200))
        client = self.client(webhook_url=HOOK)
        monitored = client.start_monitoring()
        monitored.cancel()
        self.failureResultOf(monitored, CancelledError)
        self.assertEqual(len(self.server.requests), 2)
        self.successResultOf(client.stop_monitoring())
        self.assertEqual(self.server.asked[-1], f"DELETE /jobs/{JOB_ID}/webhooks/unregister")

    def test_a_server_that_does_not_unregister_it_delays_the_end_by_three_seconds(self) -> None:
        self.serve(self.REGISTERED, COMPLETED, hold)
        monitored = self.client(webhook_url=HOOK).start_monitoring()
        self.server.pass_time(2.75)
        self.assertNoResult(monitored)
        self.server.pass_time(0.25)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_a_webhook_that_the_caller_has_registered_stays_registered(self) -> None:
        self.serve(self.REGISTERED)
        client = self.client(webhook_url=HOOK)
        self.successResultOf(client.register_webhook())
        self.successResultOf(client.stop_monitoring())
        self.assertEqual(len(self.server.requests), 1)

    def test_a_webhook_that_was_not_registered_is_not_unregistered(self) -> None:
        self.serve(problem(400, "no"), PENDING)
        client = self.client(webhook_url=HOOK)
        client.start_monitoring()
        self.successResultOf(client.stop_monitoring())
        self.assertEqual(len(self.server.requests), 2)

    def test_unregister_webhook_may_be_called_directly(self) -> None:
        self.serve(answer(200, b"{}"), problem(401, "who are you"))
        client = self.client(webhook_url=HOOK)
        self.successResultOf(client.unregister_webhook())
        self.failureResultOf(client.unregister_webhook(), NotAuthorized)

    def test_without_a_webhook_url_registering_fails(self) -> None:
        self.serve()
        client = self.client()
        self.failureResultOf(client.register_webhook(), NoWebhook)
        self.failureResultOf(client.unregister_webhook(), NoWebhook)
        self.assertEqual(self.server.requests, [])

    def test_a_terminal_webhook_ends_the_monitoring_between_requests(self) -> None:
        self.serve()
        client = self.client()
        monitored = client.start_monitoring()
        client.notify(event("completed"))
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.seen, [Status.PENDING, Status.COMPLETED])

    def test_a_terminal_webhook_ends_the_monitoring_during_a_request(self) -> None:
        self.serve(hold)
        client = self.client()
        monitored = client.start_monitoring()
        client.notify(event("error"))
        self.assertIs(self.successResultOf(monitored), Status.ERROR)
        self.assertEqual(self.seen, [Status.ERROR])
        self.server.stub.flush()
        self.assertEqual(self.server.lost, 1)

    def test_a_terminal_webhook_ends_the_monitoring_during_the_registration(self) -> None:
        self.serve(hold)
        client = self.client(webhook_url=HOOK)
        monitored = client.start_monitoring()
        client.notify(event("completed"))
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_a_callback_that_raises_an_error_on_a_webhook_fails_the_monitoring(self) -> None:
        def broken(result: Status) -> None:
            if result.terminal:
                raise ZeroDivisionError

        self.serve()
        client = self.client(on_update=broken)
        monitored = client.start_monitoring()
        client.notify(event("completed"))
        self.failureResultOf(monitored, ZeroDivisionError)

    def test_a_webhook_after_the_end_is_ignored(self) -> None:
        self.serve(COMPLETED)
        client = self.client()
        monitored = client.start_monitoring()
        client.notify(event("error"))
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.seen, [Status.COMPLETED])

    def test_a_second_terminal_webhook_is_ignored(self) -> None:
        self.serve()

        def push_again(result: Status) -> None:
            self.seen.append(result)
            if len(self.seen) == 2:
                client.notify(event("error"))

        client = self.client(on_update=push_again)
        monitored = client.start_monitoring()
        client.notify(event("completed"))
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.seen, [Status.PENDING, Status.COMPLETED])

    def test_a_webhook_after_a_stop_is_ignored(self) -> None:
        self.serve(self.REGISTERED, PENDING, hold)
        client = self.client(webhook_url=HOOK)
        monitored = client.start_monitoring()
        client.stop_monitoring()
        client.notify(event("completed"))
        self.server.pass_time(10)
        self.assertIs(self.successResultOf(monitored), Status.PENDING)
        self.assertEqual(self.seen, [Status.PENDING])

    def test_a_webhook_with_progress_is_ignored(self) -> None:
        self.serve(hold)
        client = self.client()
        monitored = client.start_monitoring()
        client.notify(event("pending"))
        self.assertNoResult(monitored)
        self.assertEqual(self.seen, [])
        client.stop_monitoring()

    def test_a_webhook_about_another_job_is_ignored(self) -> None:
        other = event("completed", id=OTHER_ID)
        for base, opening in ((BASE, hold), ("http://example.test", PENDING)):
            self.serve(opening)
            client = self.client(base)
            monitored = client.start_monitoring()
            client.notify(other)
            self.assertNoResult(monitored)
            client.notify(event("completed"))
            self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_a_demo_job_is_recognised_by_its_kind_before_its_id_is_known(self) -> None:
        self.serve(hold)
        client = self.client("http://example.test")
        monitored = client.start_monitoring()
        client.notify(event("completed", kind="video-translation"))
        self.assertNoResult(monitored)
        client.notify(event("completed", kind="demo"))
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_the_id_in_the_base_url_takes_precedence_over_the_etag(self) -> None:
        self.serve(status("pending", OTHER_ID))
        client = self.client()
        monitored = client.start_monitoring()
        client.notify(event("completed", id=OTHER_ID))
        self.assertNoResult(monitored)
        client.stop_monitoring()

    def test_a_webhook_of_the_original_contract_is_about_the_watched_job(self) -> None:
        self.serve()
        client = self.client()
        monitored = client.start_monitoring()
        client.notify(WebhookEvent(Status.ERROR, 1_700_000_000.0))
        self.assertIs(self.successResultOf(monitored), Status.ERROR)
