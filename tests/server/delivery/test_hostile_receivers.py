"""An attempt ends in good order however the receiver misbehaves, over real sockets."""

from __future__ import annotations

import tracemalloc
from ipaddress import ip_network
from itertools import repeat

from twisted.internet.defer import succeed

from statusjob.server.delivery import poster
from statusjob.server.delivery.attempt import make_attempt
from statusjob.server.delivery.guard import Guard, GuardedEndpoints
from statusjob.server.delivery.poster import Poster
from statusjob.server.delivery.resolver import Resolver
from statusjob.server.store.outbox_settle import Outcome
from statusjob.testing import Connection, HostileReceiver, Mode, modes
from tests.helpers.core import a_claim
from tests.helpers.sockets import SocketTestCase, Trusting, reactor

#: Seconds, instead of 1; and what a busy machine may add to an attempt.
BODY_GRACE = KEEP_SECONDS = 0.1
SLACK = 5.0
MEGABYTE = 1024 * 1024


class HostileTestCase(SocketTestCase):
    """Attempts over the connections that the server would make."""

    def setUp(self) -> None:
        self.patch(poster, "BODY_GRACE", BODY_GRACE)
        self.patch(poster, "KEEP_SECONDS", KEEP_SECONDS)
        self.due_in(15)

    def due_in(self, seconds: float) -> None:
        """Set the deadline of an attempt."""
        self.deadline = seconds
        self.patch(poster, "DEADLINE", seconds)

    async def send(self, url: str, *, trusting: bool = False, size: int = 2) -> Outcome:
        """Make one attempt. Only one that times out may take longer than the slack."""
        guard = Guard(reactor, Resolver(lambda name: succeed([])), [ip_network("127.0.0.0/8")])
        policy = Trusting() if trusting else None
        poster = Poster(reactor, GuardedEndpoints(reactor, guard, policy=policy).endpoint)
        claim = a_claim(url + "/hook", body=b"{" + b" " * (size - 2) + b"}")
        begun = reactor.seconds()
        attempt = await make_attempt(claim, poster=poster, now=reactor.seconds)
        self.addCleanup(poster.stop)
        allowed = self.deadline if attempt.kind == "timeout" else BODY_GRACE
        self.assertLess(reactor.seconds() - begun, allowed + SLACK)
        return attempt

    async def left(self, receiver: HostileReceiver, *, requests: int = 1) -> None:
        """Check that one connection was made and has ended, and that so many requests came."""
        await receiver.wait_until_closed()
        self.assertEqual((receiver.accepted, receiver.received), (1, requests))


class HostileReceiverTests(HostileTestCase):
    """Receivers without TLS."""

    async def becomes(self, mode: Mode, outcome: str, status: int | None = None) -> None:
        """Check the outcome of an attempt, and that attempt and receiver need little memory."""
        url, receiver = self.misbehaving(mode)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        attempt = await self.send(url)
        _, peak = tracemalloc.get_traced_memory()
        self.assertEqual((attempt.kind, attempt.status), (outcome, status), mode.__name__)
        self.assertLess(peak - before, 10 * MEGABYTE)
        await self.left(receiver)

    async def test_a_healthy_receiver(self) -> None:
        await self.becomes(modes.healthy, "ok", 204)

    async def test_a_receiver_that_never_answers(self) -> None:
        self.due_in(0.2)
        await self.becomes(modes.silent, "timeout")

    async def test_a_receiver_that_never_reads(self) -> None:
        self.due_in(0.2)
        url, receiver = self.misbehaving(modes.never_read)
        self.assertEqual((await self.send(url)).kind, "timeout")
        await self.left(receiver, requests=0)

    async def test_a_receiver_that_answers_and_never_reads(self) -> None:
        async def rude(connection: Connection) -> None:
            connection.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await connection.read_no_more()

        url, receiver = self.misbehaving(rude)
        # The body is larger than the buffers of the kernel.
        self.assertEqual(await self.send(url, size=32 * MEGABYTE), Outcome("ok", 204))
        await self.left(receiver, requests=0)

    async def test_headers_that_drip(self) -> None:
        self.due_in(0.5)
        await self.becomes(modes.drip_headers, "timeout")

    async def test_headers_without_end(self) -> None:
        await self.becomes(modes.endless_headers, "ok", 200)

    async def test_a_header_without_end(self) -> None:
        await self.becomes(modes.endless_header, "ok", 200)

    async def test_continue_without_end(self) -> None:
        await self.becomes(modes.endless_continue, "too-big")

    async def test_continue_that_drips(self) -> None:
        async def drip(connection: Connection) -> None:
            await connection.request()
            while True:
                connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await connection.sleep(0.05)

        self.due_in(0.5)
        await self.becomes(drip, "timeout")

    async def test_a_body_that_drips(self) -> None:
        await self.becomes(modes.drip_body, "ok", 200)

    async def test_a_body_that_hangs(self) -> None:
        await self.becomes(modes.hang_in_body, "ok", 200)

    async def test_a_body_without_end(self) -> None:
        await self.becomes(modes.endless_body, "ok", 200)

    async def test_a_body_of_100_megabytes(self) -> None:
        await self.becomes(modes.huge_body, "ok", 200)

    async def test_a_gzip_bomb(self) -> None:
        await self.becomes(modes.gzip_bomb, "ok", 200)

    async def test_a_body_without_end_after_long_headers(self) -> None:
        async def long(connection: Connection) -> None:
            await connection.request()
            header = b"X-Long: " + b"x" * 10_000 + b"\r\n"
            connection.transport.write(b"HTTP/1.1 200 OK\r\n" + header * 6 + b"\r\n")
            await connection.flood(repeat(b"x" * 65536))

        await self.becomes(long, "ok", 200)

    async def test_a_reset_before_the_answer(self) -> None:
        await self.becomes(modes.reset, "connect")

    async def test_a_reset_in_the_headers(self) -> None:
        await self.becomes(modes.reset_in_headers, "ok", 200)

    async def test_a_reset_in_the_body(self) -> None:
        await self.becomes(modes.reset_in_body, "ok", 200)

    async def test_a_wrong_length(self) -> None:
        await self.becomes(modes.short_length, "ok", 200)
        await self.becomes(modes.long_length, "ok", 200)

    async def test_invalid_chunks(self) -> None:
        await self.becomes(modes.bad_chunks, "ok", 200)

    async def test_an_invalid_status_code(self) -> None:
        await self.becomes(modes.absurd_code, "connect")

    async def test_gibberish(self) -> None:
        await self.becomes(modes.gibberish, "connect")

    async def test_status_codes_that_refuse(self) -> None:
        for code in (410, 429, 500, 503):
            await self.becomes(modes.answer(code), "http", code)

    async def test_an_odd_retry_after(self) -> None:
        for value in ("120", "-5", "1e9", "x" * 1000, "Fri, 31 Dec 9999 23:59:59 GMT", ""):
            await self.becomes(modes.answer(503, {"Retry-After": value}), "http", 503)

    async def test_a_redirection_is_not_followed(self) -> None:
        url, canary = self.misbehaving(modes.healthy)
        for code in (301, 302, 303, 307, 308):
            await self.becomes(modes.redirect(url + "/", code), "http", code)
        self.assertEqual(canary.accepted, 0)

    async def test_a_second_attempt_is_a_request_of_its_own(self) -> None:
        url, receiver = self.misbehaving(modes.endless_body, modes.answer(410), modes.healthy)
        attempts = [await self.send(url) for _ in range(3)]
        self.assertEqual([each.status for each in attempts], [200, 410, 204])
        await receiver.wait_until_closed()
        self.assertEqual((receiver.accepted, receiver.received), (3, 3))


class HostileTLSTests(HostileTestCase):
    """Receivers with TLS, or where TLS is expected."""

    async def becomes(self, mode: Mode, outcome: str, status: int | None = None) -> None:
        """Check the outcome of an attempt inside TLS, with a certificate that is trusted."""
        receiver = HostileReceiver(reactor, mode)
        attempt = await self.send(self.listen_tls(receiver), trusting=True)
        self.assertEqual((attempt.kind, attempt.status), (outcome, status), mode.__name__)
        await self.left(receiver)

    async def no_tls(self, mode: Mode, outcome: str) -> None:
        """Check the outcome of an attempt whose TLS connection fails, so that nothing is sent."""
        url, receiver = self.misbehaving(mode)
        attempt = await self.send(url.replace("http:", "https:"))
        self.assertEqual(attempt.kind, outcome, mode.__name__)
        await self.left(receiver, requests=0)

    async def test_a_healthy_receiver(self) -> None:
        await self.becomes(modes.healthy, "ok", 204)

    async def test_a_certificate_that_is_not_trusted(self) -> None:
        await self.no_tls(modes.self_signed, "tls")

    async def test_no_tls_at_all(self) -> None:
        await self.no_tls(modes.plain_http, "tls")
        await self.no_tls(modes.gibberish, "tls")

    async def test_a_handshake_that_hangs(self) -> None:
        self.due_in(0.2)
        await self.no_tls(modes.silent, "timeout")
        await self.no_tls(modes.never_read, "timeout")

    async def test_a_receiver_that_never_agrees_to_close(self) -> None:
        await self.becomes(modes.never_part, "ok", 200)

    async def test_answers_without_end(self) -> None:
        await self.becomes(modes.endless_body, "ok", 200)
        await self.becomes(modes.endless_header, "ok", 200)
        await self.becomes(modes.endless_headers, "ok", 200)
        await self.becomes(modes.endless_continue, "too-big")

    async def test_an_answer_that_never_comes(self) -> None:
        self.due_in(0.2)
        await self.becomes(modes.silent, "timeout")
