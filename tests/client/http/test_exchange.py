"""One exchange: in memory on a clock, and on sockets with servers that misbehave."""

from __future__ import annotations

import gzip
from typing import Any, cast

from treq.testing import StubTreq
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from statusjob.client.http.exchange import Answer, BytesProducer, exchange
from statusjob.failures import ExchangeFailed
from statusjob.testing import Connection, Mode, modes
from tests.helpers.sockets import SocketTestCase, reactor, until

URL = "http://example.test/"


class Given(Resource):
    """Gives one answer to all requests, and remembers the latest one and all peers."""

    isLeaf = True

    def __init__(self, code: int = 200, body: bytes = b"{}") -> None:
        super().__init__()
        self.code, self.body = code, body
        self.received = b""
        self.peers: set[object] = set()

    def render(self, request: Request) -> bytes:
        self.received = cast(Any, request.content).read()
        self.peers.add(cast(Any, request).client.port)
        request.setResponseCode(self.code)
        request.setHeader(b"X-Answer", b"42")
        if request.requestHeaders.hasHeader(b"Accept-Encoding") and self.code == 299:
            request.setHeader(b"Content-Encoding", b"gzip")
        return self.body


class Unfinished(Resource):
    """Begins an answer, perhaps, and never completes it."""

    isLeaf = True

    def __init__(self, beginning: bytes = b"") -> None:
        super().__init__()
        self.beginning = beginning
        self.lost = 0

    def render(self, request: Request) -> int:
        def gone(_: object) -> None:
            self.lost += 1

        request.notifyFinish().addErrback(gone)
        if self.beginning:
            request.write(self.beginning)
        return NOT_DONE_YET


class InMemoryTests(SynchronousTestCase):
    """On a clock, with C{StubTreq}."""

    def setUp(self) -> None:
        self.clock = Clock()

    def ask(self, resource: Resource, *, limit: int = 100) -> Deferred[Answer]:
        """Make one exchange with C{resource}, whose deadline is 10 s."""
        self.stub = cast(Any, StubTreq(resource))
        return exchange(
            self.clock,
            lambda: self.stub.request("GET", URL, unbuffered=True, reactor=self.clock),
            deadline=10,
            limit=limit,
        )

    def failed(self, asked: Deferred[Answer]) -> ExchangeFailed:
        """Return the failure of an exchange; check that no delayed call is left."""
        error = self.failureResultOf(asked, ExchangeFailed).value
        self.assertEqual(self.clock.getDelayedCalls(), [])
        assert isinstance(error, ExchangeFailed)
        return error

    def test_an_answer_has_code_headers_and_body(self) -> None:
        answer = self.successResultOf(self.ask(Given(418, b"short and stout")))
        self.assertEqual((answer.code, answer.body), (418, b"short and stout"))
        self.assertEqual((answer.header("x-answer"), answer.header("x-none")), ("42", None))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_empty_body_is_an_answer(self) -> None:
        self.assertEqual(self.successResultOf(self.ask(Given(204, b""))).body, b"")

    def test_a_body_as_long_as_the_limit_is_accepted(self) -> None:
        self.assertEqual(len(self.successResultOf(self.ask(Given(body=b"x" * 100))).body), 100)

    def test_a_body_longer_than_the_limit_is_too_big(self) -> None:
        self.assertEqual(self.failed(self.ask(Given(body=b"x" * 101))).kind, "too-big")

    def test_a_body_that_is_too_long_when_decompressed_is_too_big(self) -> None:
        packed = gzip.compress(b"x" * 100_000)
        error = self.failed(self.ask(Given(299, packed), limit=10_000))
        self.assertEqual(error.kind, "too-big")

    def test_without_an_answer_by_the_deadline_it_fails(self) -> None:
        asked = self.ask(Unfinished())
        self.clock.advance(9.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assertEqual(self.failed(asked).kind, "timeout")

    def test_the_deadline_covers_the_body(self) -> None:
        asked = self.ask(Unfinished(b'{"resu'))
        self.clock.advance(9.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assertEqual(self.failed(asked).kind, "timeout")

    def test_the_connection_is_closed_at_the_deadline(self) -> None:
        for resource in (Unfinished(), Unfinished(b'{"resu')):
            asked = self.ask(resource)
            self.clock.advance(10)
            self.failed(asked)
            self.stub.flush()
            self.assertEqual(resource.lost, 1)

    def test_cancelling_closes_the_connection(self) -> None:
        for resource in (Unfinished(), Unfinished(b'{"resu')):
            asked = self.ask(resource)
            asked.cancel()
            self.failureResultOf(asked, CancelledError)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.stub.flush()
            self.assertEqual(resource.lost, 1)

    def test_a_programming_error_is_passed_on_unchanged(self) -> None:
        def broken() -> Deferred[IResponse]:
            raise ZeroDivisionError

        for start in (broken, lambda: fail(ZeroDivisionError())):
            asked = exchange(self.clock, start, deadline=10, limit=100)
            self.failureResultOf(asked, ZeroDivisionError)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_request_that_never_starts_is_cancelled_at_the_deadline(self) -> None:
        cancelled: list[object] = []
        stuck: Deferred[IResponse] = Deferred(cancelled.append)
        asked = exchange(self.clock, lambda: stuck, deadline=10, limit=100)
        self.clock.advance(10)
        self.assertEqual(self.failed(asked).kind, "timeout")
        self.assertEqual(len(cancelled), 1)


class SocketTests(SocketTestCase):
    """A bare agent on loopback; trial fails a test that leaves a socket or a timer behind."""

    def ask(
        self,
        url: str,
        *,
        deadline: float = 5,
        limit: int = 1000,
        agent: Agent | None = None,
        body: bytes | None = None,
    ) -> Deferred[Answer]:
        """Make one exchange with a server on loopback."""
        sender = agent or Agent(reactor)

        def start() -> Deferred[IResponse]:
            producer = None if body is None else BytesProducer(body)
            method = b"GET" if body is None else b"POST"
            return sender.request(method, url.encode(), Headers(), producer)

        return exchange(reactor, start, deadline=deadline, limit=limit)

    async def failure_of(self, asked: Deferred[Answer]) -> ExchangeFailed:
        """Return the failure of an exchange; check that it does not contain the address."""
        try:
            await asked
        except ExchangeFailed as error:
            self.assertNotIn("127.0.0.1", str(error))
            return error
        self.fail("the exchange did not fail")

    async def kind_of(self, asked: Deferred[Answer]) -> str:
        """Return the kind of failure of an exchange."""
        return (await self.failure_of(asked)).kind

    async def test_a_body_is_sent_and_an_answer_received(self) -> None:
        resource = Given(201, b"made")
        answer = await self.ask(self.serve(resource), body=b"make it")
        self.assertEqual((answer.code, answer.body), (201, b"made"))
        self.assertEqual(resource.received, b"make it")

    async def test_a_refused_connection_is_a_failure_to_connect(self) -> None:
        asked = self.ask(await self.closed_port())
        error = await self.failure_of(asked)
        self.assertEqual((error.kind, error.reason), ("connect", "connection refused"))

    async def test_an_impossible_host_name_cannot_be_resolved(self) -> None:
        for host in ("nowhere.invalid", "a..b", "x" * 70):
            self.assertEqual(await self.kind_of(self.ask(f"http://{host}/")), "dns")

    async def test_a_reset_during_the_answer_is_a_failure_to_connect(self) -> None:
        url, server = self.misbehaving(modes.reset_in_body)
        self.assertEqual(await self.kind_of(self.ask(url)), "connect")
        await server.wait_until_closed()

    async def test_an_answer_that_is_not_http_is_a_failure_to_connect(self) -> None:
        url, server = self.misbehaving(modes.gibberish)
        self.assertEqual(await self.kind_of(self.ask(url)), "connect")
        await server.wait_until_closed()

    async def test_a_server_that_never_completes_its_answer_is_a_timeout(self) -> None:
        for mode in (modes.silent, modes.hang_in_body):
            url, server = self.misbehaving(mode)
            self.assertEqual(await self.kind_of(self.ask(url, deadline=0.05)), "timeout")
            await server.wait_until_closed()

    async def test_an_endless_body_is_too_big(self) -> None:
        url, server = self.misbehaving(modes.endless_body)
        self.assertEqual(await self.kind_of(self.ask(url)), "too-big")
        await server.wait_until_closed()

    async def test_a_body_without_a_length_ends_with_its_connection(self) -> None:
        async def old_fashioned(connection: Connection) -> None:
            await connection.request()
            connection.transport.write(b'HTTP/1.0 200 OK\r\n\r\n{"result":"pending"}')
            connection.transport.loseConnection()

        url, server = self.misbehaving(old_fashioned)
        self.assertEqual((await self.ask(url)).body, b'{"result":"pending"}')
        await server.wait_until_closed()

    async def test_cancelling_closes_the_socket(self) -> None:
        for mode in (modes.silent, modes.hang_in_body, modes.endless_body):
            await self.cancel(mode)

    async def cancel(self, mode: Mode) -> None:
        """Ask a server, and cancel that while it is answering."""
        url, server = self.misbehaving(mode)
        asked = self.ask(url, limit=10**9)
        await until(lambda: server.received == 1)
        # Time in which what it answers, if anything, begins to come.
        await deferLater(reactor, 0.05)
        asked.cancel()
        with self.assertRaises(CancelledError):
            await asked
        self.assertEqual(server.received, 1)
        await server.wait_until_closed()

    async def test_a_connection_whose_answer_was_given_up_is_not_kept(self) -> None:
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        agent = Agent(reactor, pool=pool)
        url, server = self.misbehaving(modes.endless_body)
        self.assertEqual(await self.kind_of(self.ask(url, agent=agent)), "too-big")
        await server.wait_until_closed()

    async def test_a_connection_whose_answer_was_read_is_kept(self) -> None:
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        agent = Agent(reactor, pool=pool)
        resource = Given()
        url = self.serve(resource)
        for _ in range(3):
            await self.ask(url, agent=agent)
        self.assertEqual(len(resource.peers), 1)

    async def test_a_certificate_that_is_not_trusted_is_a_tls_failure(self) -> None:
        for name in ("127.0.0.1", "127.0.0.2"):
            asked = self.ask(self.listen_tls(Site(Given()), name))
            self.assertEqual(await self.kind_of(asked), "tls")

    async def test_a_server_without_tls_is_a_tls_failure(self) -> None:
        url, server = self.misbehaving(modes.gibberish)
        self.assertEqual(await self.kind_of(self.ask(url.replace("http:", "https:"))), "tls")
        await server.wait_until_closed()


class ProducerTests(SynchronousTestCase):
    """A request body that is sent at once."""

    def test_it_writes_everything_at_once(self) -> None:
        written: list[bytes] = []

        class Consumer:
            def write(self, data: bytes) -> None:
                written.append(data)

        producer = BytesProducer(b"body")
        self.assertEqual(producer.length, 4)
        self.successResultOf(producer.startProducing(cast(Any, Consumer())))
        self.assertEqual(written, [b"body"])
