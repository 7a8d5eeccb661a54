"""One attempt: what the receiver gets, and which outcome its answer becomes."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, tzinfo
from functools import partial
from ipaddress import ip_network
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from standardwebhooks import Webhook, webhooks
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource

from statusjob.contract.codec import BadInput
from statusjob.server.delivery.attempt import make_attempt
from statusjob.server.delivery.guard import Guard, GuardedEndpoints
from statusjob.server.delivery.poster import DEADLINE, Connect, Poster
from statusjob.server.delivery.resolver import Resolver
from statusjob.server.delivery.worker import DeliveryWorker
from statusjob.server.store.outbox_settle import Outcome
from statusjob.server.webhooks.urls import origin_of
from statusjob.version import __version__
from tests.helpers.core import URL, Core, a_claim, a_report, hook, new_job
from tests.helpers.secrets import OTHER_SECRET, SECRET
from tests.helpers.servers import EPOCH, PUBLIC
from tests.helpers.sockets import SocketTestCase, reactor
from tests.helpers.wires import Network


def guarded(on: Any) -> Connect:
    """Make endpoints that connect to public addresses and to this machine."""
    networks = [ip_network("127.0.0.0/8")]
    guard = Guard(on, Resolver(lambda name: succeed([PUBLIC])), networks)
    return GuardedEndpoints(on, guard).endpoint


class FrozenTime(datetime):
    """The present, as the library of Standard Webhooks sees it."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> FrozenTime:
        return cls.fromtimestamp(EPOCH, tz)


class AttemptTests(SynchronousTestCase):
    """One attempt, over a connection in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = EPOCH + 0.75
        self.network = Network()
        self.poster = Poster(cast(IReactorTime, self.clock), self.network.endpoint)

    def send(self, url: str = URL, *secrets: str) -> Deferred[Outcome]:
        """Begin an attempt."""
        claim = a_claim(url, *secrets)
        return Deferred.fromCoroutine(
            make_attempt(claim, poster=self.poster, now=self.clock.seconds)
        )

    def attempt(self, url: str = URL, *secrets: str, answer: int = 200, **headers: str) -> Outcome:
        """Make an attempt that is answered; what was sent is C{self.sent}."""
        sending = self.send(url, *secrets)
        (self.sent,) = self.network.wires[-1].sent()
        lines = [f"HTTP/1.1 {answer} X", "Content-Length: 0"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.network.wires[-1].answer("\r\n".join([*lines, "", ""]).encode())
        return self.successResultOf(sending)

    def verify(self, secret: str) -> Any:
        """Verify what was sent by the library of Standard Webhooks, and give the body."""
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        self.patch(webhooks, "datetime", FrozenTime)
        return Webhook(secret).verify(
            self.sent.body, {name: self.sent.headers[name] for name in names}
        )

    def test_the_library_of_standard_webhooks_verifies_what_is_posted(self) -> None:
        self.assertEqual(self.attempt(), Outcome("ok", 200))
        self.assertEqual(self.sent.line, "POST /hook")
        self.assertEqual(self.sent.headers["host"], "receiver.example")
        self.assertEqual(self.sent.headers["content-type"], "application/json")
        self.assertEqual(self.sent.headers["accept-encoding"], "identity")
        self.assertEqual(self.sent.headers["user-agent"], f"statusjob/{__version__}")
        self.assertEqual(self.verify(SECRET), {"result": "completed"})

    def test_both_secrets_sign_during_a_rotation(self) -> None:
        self.attempt(URL, SECRET, OTHER_SECRET)
        for secret in (SECRET, OTHER_SECRET):
            self.assertEqual(self.verify(secret), {"result": "completed"})

    def test_a_later_attempt_has_the_same_id_and_another_timestamp_and_signature(self) -> None:
        seen = []
        for _ in range(2):
            self.attempt()
            names = ("webhook-id", "webhook-timestamp", "webhook-signature")
            seen.append([self.sent.headers[name] for name in names])
            self.clock.advance(5)
        (first_id, first_time, first_signature), (second_id, second_time, signature) = seen
        self.assertEqual((first_id, first_time), ("msg_1", str(int(EPOCH))))
        self.assertEqual((second_id, second_time), ("msg_1", str(int(EPOCH) + 5)))
        self.assertNotEqual(first_signature, signature)

    def test_any_2xx_is_success_and_nothing_else_is(self) -> None:
        for code in (200, 201, 202, 204, 299):
            self.assertEqual(self.attempt(answer=code), Outcome("ok", code))
        for code in (300, 301, 302, 307, 400, 404, 410, 429, 500, 503):
            attempt = self.attempt(answer=code)
            self.assertEqual((attempt.kind, attempt.status), ("http", code))
            self.assertIsNotNone(attempt.detail)

    def test_the_detail_of_a_redirect_says_what_to_do(self) -> None:
        for code in (301, 302, 303, 307, 308):
            detail = self.attempt(answer=code, Location="http://s3cret.example/").detail
            expected = f"answered {code}; redirects are not followed: use the target"
            self.assertEqual(detail, expected)
        self.assertEqual(self.attempt(answer=304).detail, "answered 304")

    def test_credentials_in_the_url_become_a_header_and_its_fragment_is_not_sent(self) -> None:
        for url, credentials in (
            ("https://user:p%40ss@receiver.example:8443/hook?a=b#here", b"user:p@ss"),
            ("https://user@receiver.example:8443/hook?a=b", b"user:"),
        ):
            self.attempt(url)
            self.assertEqual(self.sent.line, "POST /hook?a=b")
            self.assertEqual(self.sent.headers["host"], "receiver.example:8443")
            self.assertEqual(self.network.dialled[-1], "https://receiver.example:8443")
            expected = "Basic " + b64encode(credentials).decode()
            self.assertEqual(self.sent.headers["authorization"], expected)

    def test_without_credentials_there_is_no_authorization_header(self) -> None:
        self.attempt()
        self.assertNotIn("authorization", self.sent.headers)

    def test_the_request_line_has_the_path_and_the_query(self) -> None:
        for url, path in (
            ("http://receiver.example", "/"),
            ("http://receiver.example?a=b", "/?a=b"),
            ("http://receiver.example/", "/"),
            ("http://receiver.example//x/?", "//x/"),
            ("http://receiver.example/a/../b;c", "/a/../b;c"),
            ("http://receiver.example:/%E4?x=%E4", "/%E4?x=%E4"),
        ):
            self.attempt(url)
            self.assertEqual(self.sent.line, f"POST {path}")

    def test_an_ipv6_address_is_in_brackets(self) -> None:
        self.attempt("http://[::1]:9000/hook")
        self.assertEqual(self.sent.headers["host"], "[::1]:9000")
        self.assertEqual(self.network.dialled, ["http://[::1]:9000"])

    def test_characters_of_a_url_that_are_not_ascii_are_encoded(self) -> None:
        self.attempt("https://bücher.example/für?ä=ö")
        self.assertEqual(self.sent.line, "POST /f%C3%BCr?%C3%A4=%C3%B6")
        self.assertEqual(self.sent.headers["host"], "xn--bcher-kva.example")

    def test_a_failure_has_a_class_and_its_detail_has_neither_url_nor_secret(self) -> None:
        for problem, kind in (
            (ConnectionRefusedError(), "connect"),
            (DNSLookupError("receiver.example"), "dns"),
        ):
            self.network.refusal = problem
            attempt = self.successResultOf(self.send(URL + "?token=tok_1"))
            self.assertEqual((attempt.kind, attempt.status), (kind, None))
            for secret in ("tok_1", SECRET, "receiver"):
                self.assertNotIn(secret, repr(attempt))

    def test_an_attempt_that_is_not_answered_ends_at_the_deadline(self) -> None:
        sending = self.send()
        self.clock.advance(DEADLINE - 0.1)
        self.assertNoResult(sending)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(sending).kind, "timeout")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_retry_after_of_429_and_503_is_read(self) -> None:
        for code in (429, 503):
            self.assertEqual(self.attempt(answer=code, Retry_After="120").retry_after, 120)
            date = "Sat, 23 Nov 2024 18:10:00 GMT"
            asked = self.attempt(answer=code, Retry_After=date).retry_after
            self.assertEqual(asked, 600 - 0.75)

    def test_a_date_in_retry_after_is_compared_with_the_receivers_clock(self) -> None:
        now, then = "Fri, 01 Jan 2100 00:00:00 GMT", "Fri, 01 Jan 2100 00:02:00 GMT"
        asked = self.attempt(answer=503, Date=now, Retry_After=then).retry_after
        self.assertEqual(asked, 120)

    def test_retry_after_is_ignored_if_it_is_invalid_or_the_status_is_another(self) -> None:
        for value in ("-5", "soon", "", "1.5", "1e9"):
            self.assertIsNone(self.attempt(answer=503, Retry_After=value).retry_after, value)
        past = "Mon, 01 Jan 2001 00:00:00 GMT"
        self.assertEqual(self.attempt(answer=503, Retry_After=past).retry_after, 0)
        for code in (200, 301, 404, 500):
            self.assertIsNone(self.attempt(answer=code, Retry_After="120").retry_after)

    hosts = st.one_of(
        st.text(max_size=8),
        st.from_regex(r"\A[a-z0-9._:%\[\]-]{1,12}\Z"),
        st.sampled_from(
            ["[::1]", "[::1%25e]", "1.2.3", "0x7f", "a..b", "xn--a", "a。b", "a" * 70]
        ),
    )
    tails = st.one_of(st.text(max_size=6), st.sampled_from(["", ":1", ":", "/%zz", "?ü#ä", "\\x"]))

    @given(st.sampled_from(["http", "HTTPS"]), st.sampled_from(["", "ü:%00@", ":@"]), hosts, tails)
    def test_every_url_that_may_be_registered_can_be_attempted(
        self, scheme: str, user: str, host: str, tail: str
    ) -> None:
        url = f"{scheme}://{user}{host}{tail}"
        try:
            origin_of(url)
        except BadInput:
            return
        memory: Any = MemoryReactorClock()
        poster = Poster(memory, guarded(memory))
        sending = Deferred.fromCoroutine(
            make_attempt(a_claim(url), poster=poster, now=memory.seconds)
        )
        memory.advance(DEADLINE + 1)
        self.assertNotEqual(self.successResultOf(sending).kind, "ok")


class Receiver(Resource):
    """A receiver that answers with one status code after the other, and records the requests."""

    isLeaf = True

    def __init__(self, codes: list[int]) -> None:
        super().__init__()
        self.codes = codes
        self.received: list[tuple[bytes, Headers]] = []
        self.well: Deferred[None] = Deferred()

    def render(self, request: Request) -> bytes:
        self.received.append((cast(Any, request.content).read(), request.requestHeaders))
        request.setResponseCode(self.codes.pop(0))
        if not self.codes:
            self.well.callback(None)
        return b"thanks"


class SocketTests(SocketTestCase):
    """A job, its webhook and a receiver, over a real connection."""

    async def test_the_end_of_a_job_reaches_a_receiver_that_failed_at_first(self) -> None:
        receiver = Receiver([500, 200])
        url = self.serve(receiver) + "/hook"
        core = Core(clock=reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(core.store.close()))
        poster = Poster(reactor, guarded(reactor))
        attempt = partial(make_attempt, poster=poster, now=reactor.seconds)
        delivery = DeliveryWorker(reactor, core.store, core.feed, attempt, schedule=(0, 0.01))
        delivery.start()
        job = (await core.lifecycle.create(new_job())).job
        await core.registrations.register(job.id, hook(url, secret=SECRET))
        await core.lifecycle.report(job.id, a_report(b'{"result":"completed"}'))
        await receiver.well
        await delivery.stop(10)
        await poster.stop()
        states = await core.store.read(lambda tx: tx.all("SELECT state FROM deliveries"))
        self.assertEqual([row["state"] for row in states], ["delivered"])
        (first, first_headers), (second, headers) = receiver.received
        self.assertEqual(first, second)
        for name in ("webhook-id", "host", "user-agent"):
            self.assertEqual(first_headers.getRawHeaders(name), headers.getRawHeaders(name))
        verified = Webhook(SECRET).verify(
            second, {k.decode().lower(): v[0].decode() for k, v in headers.getAllRawHeaders()}
        )
        self.assertEqual(verified, json.decode(second))
        self.assertEqual(verified["job"]["id"], job.id)
