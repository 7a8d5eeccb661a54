"""Sending: what one message looks like to its receiver, and what is made of the answer."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, tzinfo
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json
from standardwebhooks import Webhook, webhooks
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from twisted.web.resource import Resource
from zope.interface import implementer

from statusjob.server.delivery import Delivery
from statusjob.server.registrations import origin_of
from statusjob.server.sender import DEADLINE, Sender
from statusjob.server.store.outcomes import Outcome
from statusjob.wire import BadInput
from tests.memory import SECRET, URL, Core, a_claim, hook, new_job, said
from tests.sockets import SocketTestCase, reactor
from tests.support import EPOCH

OLD_SECRET = "whsec_" + b64encode(b"o" * 24).decode()


class FrozenTime(datetime):
    """The oracle's present."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> FrozenTime:
        return cls.fromtimestamp(EPOCH, tz)


class FakeResponse:
    """An answer without a body."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.headers = Headers()
        self.length = 0

    def deliverBody(self, protocol: Any) -> None:
        protocol.connectionLost(Failure(ResponseDone()))


@implementer(IAgent)
class FakeAgent:
    """Notes what is asked, and answers as it is told."""

    def __init__(self, answer: Deferred[IResponse]) -> None:
        self.answer = answer
        self.body = b""

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        assert headers is not None and bodyProducer is not None
        self.method, self.uri, self.headers = method, uri, headers
        bodyProducer.startProducing(cast(Any, self))
        return self.answer

    def write(self, data: bytes) -> None:
        self.body += data

    def header(self, name: str) -> str:
        values = self.headers.getRawHeaders(name)
        assert values is not None and len(values) == 1, (name, values)
        return values[0]


class SenderTests(SynchronousTestCase):
    """One attempt."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = EPOCH + 0.75

    def send(
        self,
        url: str = URL,
        answer: Deferred[IResponse] | int = 200,
        secrets: tuple[str, ...] = (SECRET,),
    ) -> Deferred[Outcome]:
        if isinstance(answer, int):
            answer = succeed(cast(IResponse, FakeResponse(answer)))
        self.agent = FakeAgent(answer)
        sender = Sender(cast(IReactorTime, self.clock), self.agent)
        return Deferred.fromCoroutine(sender.send(a_claim(url, *secrets)))

    def attempt(self, *args: Any, **more: Any) -> Outcome:
        return self.successResultOf(self.send(*args, **more))

    def verify(self, secret: str) -> Any:
        """The body, as the library of Standard Webhooks verifies it."""
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        self.patch(webhooks, "datetime", FrozenTime)
        return Webhook(secret).verify(
            self.agent.body, {name: self.agent.header(name) for name in names}
        )

    def test_it_posts_json_that_the_standards_library_verifies(self) -> None:
        self.assertEqual(self.attempt(), Outcome("ok", 200))
        self.assertEqual((self.agent.method, self.agent.uri), (b"POST", URL.encode()))
        self.assertEqual(self.agent.header("content-type"), "application/json")
        self.assertEqual(self.verify(SECRET), {"result": "completed"})

    def test_during_a_rotation_both_secrets_sign(self) -> None:
        self.attempt(secrets=(SECRET, OLD_SECRET))
        for secret in (SECRET, OLD_SECRET):
            self.assertEqual(self.verify(secret), {"result": "completed"})

    def test_a_later_attempt_has_the_same_id_and_another_timestamp_and_signature(self) -> None:
        seen = []
        for _ in range(2):
            self.attempt()
            names = ("webhook-id", "webhook-timestamp", "webhook-signature")
            seen.append([self.agent.header(name) for name in names])
            self.clock.advance(5)
        (first_id, first_time, first_signature), (second_id, second_time, signature) = seen
        self.assertEqual((first_id, first_time), ("msg_1", str(int(EPOCH))))
        self.assertEqual((second_id, second_time), ("msg_1", str(int(EPOCH) + 5)))
        self.assertNotEqual(first_signature, signature)

    def test_any_2xx_is_success_and_nothing_else_is(self) -> None:
        for code in (200, 201, 202, 204, 299):
            self.assertEqual(self.attempt(answer=code), Outcome("ok", code))
        for code in (199, 300, 301, 302, 307, 400, 404, 410, 429, 500, 503):
            attempt = self.attempt(answer=code)
            self.assertEqual((attempt.kind, attempt.status), ("http", code))
            self.assertIsNotNone(attempt.detail)

    def test_credentials_of_the_url_become_a_header_and_its_fragment_stays_here(self) -> None:
        for url, credentials in (
            ("https://user:p%40ss@receiver.example:8443/hook?a=b#here", b"user:p@ss"),
            ("https://user@receiver.example:8443/hook?a=b", b"user:"),
        ):
            self.attempt(url)
            self.assertEqual(self.agent.uri, b"https://receiver.example:8443/hook?a=b")
            expected = "Basic " + b64encode(credentials).decode()
            self.assertEqual(self.agent.header("authorization"), expected)

    def test_without_credentials_there_is_no_such_header(self) -> None:
        self.attempt()
        self.assertFalse(self.agent.headers.hasHeader("authorization"))

    def test_an_ipv6_address_stays_in_its_brackets(self) -> None:
        self.attempt("http://[::1]:9000/hook")
        self.assertEqual(self.agent.uri, b"http://[::1]:9000/hook")

    def test_what_is_not_ascii_in_a_url_is_encoded(self) -> None:
        self.attempt("https://bücher.example/für?ä=ö")
        self.assertEqual(self.agent.uri, b"https://xn--bcher-kva.example/f%C3%BCr?%C3%A4=%C3%B6")

    def test_failures_have_a_class_and_neither_url_nor_secret_in_their_detail(self) -> None:
        for problem, outcome in (
            (ConnectionRefusedError(), "connect"),
            (DNSLookupError("receiver.example"), "dns"),
        ):
            failing: Deferred[IResponse] = Deferred()
            failing.errback(problem)
            attempt = self.attempt(URL + "?token=tok_1", failing)
            self.assertEqual((attempt.kind, attempt.status), (outcome, None))
            for secret in ("tok_1", SECRET, "receiver"):
                self.assertNotIn(secret, repr(attempt))

    def test_a_receiver_that_never_answers_is_given_up_at_the_deadline(self) -> None:
        sending = self.send(answer=Deferred())
        self.clock.advance(DEADLINE - 0.1)
        self.assertNoResult(sending)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(sending).kind, "timeout")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    hosts = st.one_of(
        st.text(max_size=8),
        st.from_regex(r"\A[a-z0-9._:%\[\]-]{1,12}\Z"),
        st.sampled_from(
            ["[::1]", "[::1%25e]", "1.2.3", "0x7f", "a..b", "xn--a", "a。b", "a" * 70]
        ),
    )
    tails = st.one_of(st.text(max_size=6), st.sampled_from(["", ":1", ":", "/%zz", "?ü#ä", "\\x"]))

    @settings(max_examples=200)
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
        agent = Agent(memory, pool=HTTPConnectionPool(memory, persistent=False))
        sending = Deferred.fromCoroutine(Sender(memory, agent).send(a_claim(url)))
        memory.advance(DEADLINE + 1)
        self.assertNotEqual(self.successResultOf(sending).kind, "ok")


class Receiver(Resource):
    """Fails at first, then is well; remembers what came."""

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
    """All of it, over a real connection."""

    async def test_the_end_of_a_job_reaches_a_receiver_that_failed_at_first(self) -> None:
        receiver = Receiver([500, 200])
        url = self.serve(receiver) + "/hook"
        core = Core(clock=reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(core.store.close()))
        pool = HTTPConnectionPool(reactor, persistent=False)
        sender = Sender(reactor, Agent(reactor, pool=pool))
        delivery = Delivery(reactor, core.store, sender, schedule=(0, 0.01))
        delivery.start(core.feed)
        job = (await core.lifecycle.create(new_job())).job
        await core.registrations.register(job.id, hook(url, secret=SECRET))
        await core.lifecycle.report(job.id, said(b'{"result":"completed"}'))
        await receiver.well
        await delivery.stop(10)
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
