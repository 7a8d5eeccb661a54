"""C{StatusClient}: single requests, and settings."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from statusjob import (
    BadAnswer,
    BadBaseURL,
    BadSetting,
    JobNotFound,
    NotAuthorized,
    Refused,
    Status,
    StatusClient,
    Unavailable,
    Unreachable,
)
from tests.helpers.scripted_server import (
    BASE,
    COMPLETED,
    JOB_ID,
    PENDING,
    Answering,
    ClientTestCase,
    a_job,
    answer,
    hang_up,
    hold,
    job_body,
    located,
    problem,
)


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
        self.assertEqual(self.successResultOf(self.client().get_job()), located(job))
        self.assertEqual(self.server.asked, [f"GET /jobs/{JOB_ID}"])

    def test_a_job_may_be_larger_than_a_status(self) -> None:
        job = a_job("completed", output="x" * 250_000)
        self.serve(answer(200, job_body(job)))
        self.assertEqual(self.successResultOf(self.client().get_job()), located(job))

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
            {"request_timeout": None},
            {"request_timeout": float("inf")},
            {"request_timeout": "10"},
            {"timeout": "60"},
            {"timeout": float("inf")},
            {"max_retries": None},
            {"max_retries": 2.5},
            {"polling_interval": None},
            {"polling_interval": "2", "max_interval": 30},
            {"webhook_secret": "plain"},
        ):
            self.assertRaises(BadSetting, self.client, **options)

    def test_a_polling_interval_may_be_longer_than_the_usual_longest_wait(self) -> None:
        self.serve(PENDING, PENDING, COMPLETED)
        self.client(polling_interval=60).start_monitoring()
        self.server.pass_time(200)
        self.assertEqual(self.waits(), [60, 60])


class LeniencyTests(ClientTestCase):
    """What differs from the contract without harm."""

    def test_an_answer_may_begin_with_a_byte_order_mark(self) -> None:
        self.serve(answer(200, b'\xef\xbb\xbf{"result":"completed"}'))
        self.assertIs(self.successResultOf(self.client().get_status()), Status.COMPLETED)
        self.serve(answer(200, b"\xef\xbb\xbf" + job_body(a_job("error"))))
        self.assertEqual(self.successResultOf(self.client().get_job()), located(a_job("error")))

    def test_the_reason_of_an_error_may_begin_with_a_byte_order_mark(self) -> None:
        self.serve(answer(400, b'\xef\xbb\xbf{"error":"no"}'))
        refused = self.failureResultOf(self.client().get_status(), Refused).value
        self.assertEqual(str(refused), "400: no")

    def test_a_proxy_may_say_that_it_has_changed_the_answer(self) -> None:
        self.serve(answer(203, b'{"result":"completed"}'))
        self.assertIs(self.successResultOf(self.client().get_status()), Status.COMPLETED)

    def test_gzip_may_have_another_name(self) -> None:
        packed = gzip.compress(b'{"result":"completed"}')
        for name in ("gzip", "x-gzip", "GZIP", " X-Gzip "):
            self.serve(answer(200, packed, Content_Encoding=name))
            self.assertIs(self.successResultOf(self.client().get_status()), Status.COMPLETED)

    def test_what_is_unpacked_is_bounded_under_each_name(self) -> None:
        packed = gzip.compress(b" " * 1_000_000 + b'{"result":"completed"}')
        for name in ("gzip", "x-gzip"):
            self.serve(answer(200, packed, Content_Encoding=name))
            failed = self.failureResultOf(self.client().get_status(), Unreachable).value
            self.assertEqual(failed.kind, "too-big")

    def test_what_is_not_gzip_is_a_failure(self) -> None:
        for name in ("gzip", "x-gzip"):
            self.serve(answer(200, b'{"result":"completed"}', Content_Encoding=name))
            self.failureResultOf(self.client().get_status(), Unreachable)
