"""C{StatusClient}: its webhook, single requests, and settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from statusjob import (
    BadAnswer,
    BadBaseURL,
    BadSetting,
    JobNotFound,
    NotAuthorized,
    NoWebhook,
    Refused,
    Status,
    StatusClient,
    Unavailable,
    Unreachable,
    WebhookRegistration,
)
from statusjob.client.http.answers import WebhookEvent
from tests.helpers.scripted_server import (
    BASE,
    COMPLETED,
    JOB_ID,
    OTHER_ID,
    PENDING,
    Answering,
    ClientTestCase,
    a_job,
    answer,
    event,
    hang_up,
    hold,
    job_body,
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
        first, second = self.server.requests
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

    def test_the_end_of_the_job_does_not_unregister_the_webhook(self) -> None:
        self.serve(self.REGISTERED, COMPLETED)
        client = self.client(webhook_url=HOOK)
        self.successResultOf(client.start_monitoring())
        self.assertEqual(len(self.server.requests), 2)

    def test_stopping_after_the_end_of_the_job_unregisters_the_webhook(self) -> None:
        self.serve(self.REGISTERED, COMPLETED, answer(200))
        client = self.client(webhook_url=HOOK)
        self.successResultOf(client.start_monitoring())
        self.successResultOf(client.stop_monitoring())
        self.successResultOf(client.stop_monitoring())
        self.assertEqual(len(self.server.requests), 3)

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


class SingleRequestTests(ClientTestCase):
    """Single requests."""

    def test_get_status(self) -> None:
        self.serve(PENDING, COMPLETED)
        client = self.client()
        self.assertIs(self.successResultOf(client.get_status()), Status.PENDING)
        self.assertIs(self.successResultOf(client.get_status()), Status.COMPLETED)
        self.assertEqual(self.seen, [])

    def test_get_job(self) -> None:
        job = a_job("completed", output={"words": 42})
        self.serve(answer(200, job_body(job, since_version_9=True)))
        self.assertEqual(self.successResultOf(self.client().get_job()), job)
        self.assertEqual(self.server.asked, [f"GET /jobs/{JOB_ID}"])

    def test_a_job_may_be_larger_than_a_status(self) -> None:
        job = a_job("completed", output="x" * 250_000)
        self.serve(answer(200, job_body(job)))
        self.assertEqual(self.successResultOf(self.client().get_job()), job)

    def test_failures_have_errors_of_their_own(self) -> None:
        failures: tuple[tuple[Answering, type[Exception]], ...] = (
            (problem(404, "no such job"), JobNotFound),
            (problem(401, "no token"), NotAuthorized),
            (problem(500, "broken"), Unavailable),
            (answer(200, b"<html>"), BadAnswer),
            (answer(204), Refused),
            (hang_up, Unreachable),
        )
        asks: tuple[Callable[[StatusClient], Deferred[Any]], ...] = (
            StatusClient.get_status,
            StatusClient.get_job,
        )
        for failing, kind in failures:
            for ask in asks:
                self.serve(failing)
                self.failureResultOf(ask(self.client()), kind)

    def test_cancelling(self) -> None:
        self.serve(hold)
        asked = self.client().get_status()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)


class SettingTests(ClientTestCase):
    """The arguments of the constructor."""

    def test_a_base_url_may_have_a_path_and_a_slash_at_its_end(self) -> None:
        for base, path in (
            ("http://example.test", "/status"),
            ("http://example.test/", "/status"),
            ("http://example.test//", "/status"),
            ("https://example.test:8443/api/v1", "/api/v1/status"),
            ("http://example.test/api%20s/", "/api%20s/status"),
            (f"http://example.test/api/jobs/{JOB_ID}/", f"/api/jobs/{JOB_ID}/status"),
            ("http://[::1]:8080/", "/status"),
            ("http://ex\u00e4mple.test/\u00fc", "/%C3%BC/status"),
        ):
            self.serve(COMPLETED)
            self.assertIs(self.successResultOf(self.client(base).get_status()), Status.COMPLETED)
            self.assertEqual(self.server.asked, [f"GET {path}"])

    def test_get_job_requests_the_base_url(self) -> None:
        for base, path in (("http://example.test", "/"), (BASE + "/", f"/jobs/{JOB_ID}")):
            self.serve(answer(200, job_body(a_job())))
            self.successResultOf(self.client(base).get_job())
            self.assertEqual(self.server.asked, [f"GET {path}"])

    def test_an_invalid_base_url_is_refused(self) -> None:
        self.serve()
        for base in (
            "",
            "example.test",
            "example.test:8080",
            "//example.test",
            "ftp://example.test",
            "http://",
            "http:///status",
            "http://example.test:port",
            "http://example.test:0",
            "http://example.test:65536",
            "http://a b",
            "http://a..b",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://user:pass@example.test",
            "http://example.test/?job=1",
            "http://example.test/#top",
            None,
        ):
            error = self.assertRaises(BadBaseURL, self.client, base)
            self.assertIsInstance(error, ValueError)
            self.assertNotIn("pass", str(error))

    def test_settings_that_make_no_sense_are_refused(self) -> None:
        self.serve()
        for options in (
            {"polling_interval": 0},
            {"polling_interval": -1.0},
            {"polling_interval": float("nan")},
            {"polling_interval": 5, "max_interval": 4},
            {"max_interval": float("inf")},
            {"max_retries": -1},
            {"timeout": 0},
            {"request_timeout": 0},
            {"request_timeout": float("nan")},
            {"webhook_secret": "plain"},
        ):
            self.assertRaises(BadSetting, self.client, **options)
