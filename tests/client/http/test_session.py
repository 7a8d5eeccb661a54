"""What every request of a session has in common, in memory on a clock."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase

from statusjob.client.errors import BadBaseURL
from statusjob.client.http.base_url import read_base_url
from statusjob.client.http.session import Session
from tests.helpers.scripted_server import ClientTestCase, answer, problem


class RequestTests(ClientTestCase):
    """The headers of a request, and the error for an answer."""

    def session(self, token: str | None = None) -> Session:
        """A session with the scripted server."""
        return Session(
            "http://example.test",
            token=token,
            request_timeout=10,
            reactor=cast(IReactorTime, self.clock),
            treq=self.server.stub,
        )

    def test_a_request_names_the_client_and_its_version(self) -> None:
        self.serve(answer(200, b"{}"))
        self.successResultOf(Deferred.fromCoroutine(self.session().ask("GET", "jobs")))
        [request] = self.server.requests
        self.assertEqual(request.header("User-Agent"), f"statusjob/{version('statusjob')}")

    def test_a_request_carries_the_token_only_if_there_is_one(self) -> None:
        for token, header in ((None, None), ("secret", "Bearer secret")):
            self.serve(answer(200, b"{}"))
            self.successResultOf(Deferred.fromCoroutine(self.session(token).ask("GET", "jobs")))
            [request] = self.server.requests
            self.assertEqual(request.header("Authorization"), header)

    def test_an_error_has_the_reason_of_the_server_or_the_phrase_of_its_code(self) -> None:
        for answering, detail in (
            (problem(418, "short and\nstout"), "short and stout"),
            (answer(418, b"{}"), "I'm a Teapot"),
            (answer(599, b"no JSON"), "unknown status"),
        ):
            self.serve(answering)
            session = self.session()
            answered = self.successResultOf(Deferred.fromCoroutine(session.ask("GET", "jobs")))
            self.assertEqual(session.refusal(answered).detail, detail)


class BaseURLTests(SynchronousTestCase):
    """Which base URLs are accepted, and what is sent."""

    def test_a_slash_at_the_end_makes_no_difference(self) -> None:
        for base in ("http://example.test/a", "http://example.test/a/", "http://example.test/a//"):
            self.assertEqual(read_base_url(base).child("b").to_text(), "http://example.test/a/b")

    def test_capitals_and_blanks_around_it_make_no_difference(self) -> None:
        for base in (
            "HTTP://EXAMPLE.TEST/A",
            " http://example.test/A\r\n",
            "http://Example.Test/A",
        ):
            self.assertEqual(read_base_url(base).to_text(), "http://example.test/A")
        self.assertEqual(read_base_url("HTTPS://LOCALHOST").port, 443)

    def test_what_is_no_text_is_refused_by_name(self) -> None:
        for base in (None, 5, b"http://example.test"):
            given: Any = base
            self.assertRaises(BadBaseURL, read_base_url, given)

    def test_an_international_name_and_an_ipv6_address_are_sent_encoded(self) -> None:
        for base, encoded in (
            ("http://b\u00fccher.example/\u00fc", "http://xn--bcher-kva.example/%C3%BC"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ):
            self.assertEqual(read_base_url(base).to_uri().to_text(), encoded)

    def test_a_url_that_cannot_be_a_base_is_refused_with_a_reason(self) -> None:
        for base, reason in (
            ("example.test", "must begin with http"),
            ("ftp://example.test", "must begin with http"),
            ("http://", "must begin with http"),
            ("http://a@example.test", "no user"),
            ("http://example.test/?a=b", "no user, query"),
            ("http://example.test/#a", "fragment"),
            ("http://example.test:70000", "port is out of range"),
            ("http://example.test:x", "malformed"),
        ):
            self.assertIn(reason, str(self.assertRaises(BadBaseURL, read_base_url, base)))
