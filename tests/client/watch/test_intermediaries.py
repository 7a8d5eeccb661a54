"""Proxies that answer in the place of a server: in memory, on a clock."""

from __future__ import annotations

from statusjob import (
    JobNotFound,
    NotAuthorized,
    Refused,
    RetriesExhausted,
    Status,
    Unavailable,
)
from tests.helpers.scripted_server import (
    COMPLETED,
    PENDING,
    Answering,
    ClientTestCase,
    answer,
    hang_up,
    problem,
)

PAGE = b"<html><h1>Be back soon</h1></html>"
NOT_FOUND = answer(404, PAGE)


class RestartTests(ClientTestCase):
    """A proxy's answers after the server was heard pass, whatever they say."""

    def assert_passes(self, *instead: Answering) -> None:
        """Fail unless these answers do not end the monitoring."""
        self.serve(PENDING, *instead, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(200)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_a_proxy_that_knows_no_backend_for_a_while_does_not_end_the_monitoring(self) -> None:
        self.assert_passes(NOT_FOUND)
        self.assert_passes(NOT_FOUND, hang_up, NOT_FOUND, NOT_FOUND)

    def test_nor_does_a_page_that_asks_for_a_password_or_leads_elsewhere(self) -> None:
        for code in (401, 403, 400, 405, 407, 409, 410, 413, 451, 200, 204, 302, 307):
            self.assert_passes(answer(code, PAGE, Location="http://sorry.test/"))

    def test_proxies_that_never_stop_are_as_many_failures_as_any_others(self) -> None:
        self.serve(PENDING, otherwise=NOT_FOUND)
        monitored = self.client(max_retries=3).start_monitoring()
        self.server.pass_time(200)
        cause = self.failureResultOf(monitored, RetriesExhausted).value.__cause__
        self.assertIsInstance(cause, Unavailable)
        self.assertEqual(str(cause), "404: Not Found")

    def test_what_the_server_itself_says_is_believed_at_once(self) -> None:
        for said, kind in (
            (problem(404, "the job was deleted"), JobNotFound),
            (problem(401, "the token was revoked"), NotAuthorized),
            (problem(421, "another host"), Refused),
        ):
            self.serve(PENDING, said)
            monitored = self.client().start_monitoring()
            self.server.pass_time(10)
            self.failureResultOf(monitored, kind)

    def test_the_servers_own_error_shows_that_the_server_was_heard(self) -> None:
        self.serve(problem(503, "starting"), *[NOT_FOUND] * 4, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(200)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)


class NeverHeardTests(ClientTestCase):
    """Before the server was heard, its address may be wrong."""

    def test_404_is_believed_once_it_has_lasted_for_five_seconds(self) -> None:
        self.serve(otherwise=NOT_FOUND)
        monitored = self.client().start_monitoring()
        self.server.pass_time(4.75)
        self.assertNoResult(monitored)
        self.server.pass_time(10)
        self.assertEqual(str(self.failureResultOf(monitored, JobNotFound).value), "404: Not Found")

    def test_a_server_that_is_just_being_started_is_waited_for(self) -> None:
        self.serve(NOT_FOUND, PENDING, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(60)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_what_interrupts_404_begins_their_time_anew(self) -> None:
        self.serve(NOT_FOUND, answer(502), NOT_FOUND, PENDING, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(120)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_any_other_refusal_is_believed_at_once(self) -> None:
        for code, kind in ((401, NotAuthorized), (400, Refused), (410, Refused), (301, Refused)):
            self.serve(answer(code, PAGE))
            self.failureResultOf(self.client().start_monitoring(), kind)

    def test_a_clock_that_is_set_back_does_not_shorten_the_five_seconds(self) -> None:
        self.serve(NOT_FOUND, NOT_FOUND, COMPLETED)
        monitored = self.client().start_monitoring()
        self.clock.rightNow -= 3600
        for call in self.clock.getDelayedCalls():
            call.reset(0)
        self.server.pass_time(30)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)


class RedirectTests(ClientTestCase):
    """A redirect is not followed; the error says where it leads."""

    def test_the_error_names_scheme_host_and_path_of_the_target_only(self) -> None:
        for location, shown in (
            ("https://other.test:8443/a/b?token=s3cret#here", "https://other.test:8443/a/b"),
            ("https://me:s3cret@other.test/", "https://other.test/"),
            ("//other.test/c", "http://other.test/c"),
            ("/elsewhere/status?token=s3cret", "http://example.test/elsewhere/status"),
        ):
            self.serve(answer(301, PAGE, Location=location))
            error = self.failureResultOf(self.client().start_monitoring(), Refused).value
            expected = f"301: redirects are not followed: use the target, {shown}"
            self.assertEqual(str(error), expected)

    def test_without_a_legible_target_the_error_has_the_standard_phrase(self) -> None:
        for headers in ({}, {"Location": "http://"}, {"Location": "mailto:a@b.test"}):
            self.serve(answer(308, PAGE, **headers))
            error = self.failureResultOf(self.client().start_monitoring(), Refused).value
            self.assertEqual(str(error), "308: Permanent Redirect")
