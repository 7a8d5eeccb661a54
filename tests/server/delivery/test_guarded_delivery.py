"""Attempts with a guard: hostile addresses, redirects, TLS and DNS that hangs."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.iweb import IPolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import Site

from statusjob.addresses import system_addresses
from statusjob.contract.codec import BadInput
from statusjob.server.delivery.attempt import make_attempt
from statusjob.server.delivery.guard import AddressNotAllowed, Guard, GuardedEndpoints
from statusjob.server.delivery.poster import DEADLINE, Poster
from statusjob.server.delivery.resolver import LookupThreads, Resolver
from statusjob.server.store.outbox_settle import Outcome
from statusjob.server.webhooks.registry import Registrations
from statusjob.server.webhooks.urls import origin_of
from statusjob.testing import self_signed_options
from statusjob.tls import TLSPolicy
from tests.helpers.core import Core, a_claim, hook, new_job
from tests.helpers.servers import PUBLIC
from tests.helpers.sockets import SocketTestCase, reactor

EVERYTHING = ("0.0.0.0/0", "::/0")
LOOPBACK = ("127.0.0.0/8", "::1/128")

#: Hosts that reach this machine, if they are let.
REACHING = (
    "127.0.0.1",
    "0x7f000001",
    "0x7f.1",
    "2130706433",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "①②⑦.0.0.1",
    "8.8.8.8@127.0.0.1",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
)
REACHING_V6 = ("[::1]", "[::]", "[0:0::1]")
#: Hosts that would lead to this machine, or to its neighbours, from somewhere else.
LEADING_ASTRAY = (
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "169.254.169.254",
    "10.0.0.1",
    "private.example",
    "mixed.example",
)
NAMES = {
    "localhost.": ["127.0.0.1"],
    "private.example": ["10.1.2.3"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "receiver.example": ["127.0.0.1"],
    "other.example": ["127.0.0.1"],
}


class Canary(Resource):
    """Records every request that reaches it."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.touched: list[bytes | None] = []

    def render(self, request: Request) -> bytes:
        self.touched.append(request.getHeader(b"host"))
        return b""


class Redirecting(Resource):
    """Redirects every request."""

    isLeaf = True

    def __init__(self, code: int, target: bytes) -> None:
        super().__init__()
        self.code = code
        self.target = target

    def render(self, request: Request) -> bytes:
        request.setResponseCode(self.code)
        request.setHeader(b"location", self.target)
        return b""


async def send(on: Any, guard: Guard, url: str, policy: IPolicyForHTTPS | None = None) -> Outcome:
    """Make one attempt with the connections that the server would make."""
    poster = Poster(on, GuardedEndpoints(on, guard, policy=policy).endpoint)
    try:
        return await make_attempt(a_claim(url), poster=poster, now=on.seconds)
    finally:
        await poster.stop()


class GuardedTestCase(SocketTestCase):
    """Names are looked up in threads, as in the server. L{NAMES} has those of the tests."""

    def setUp(self) -> None:
        self.release = threading.Event()
        self.threads = LookupThreads(reactor, self.addresses)
        self.resolver = Resolver(self.threads.look_up)
        self.addCleanup(self.threads.stop)
        self.addCleanup(self.release.set)

    def addresses(self, name: str) -> Sequence[str]:
        if name.startswith("hangs"):
            self.release.wait(60)
        return NAMES.get(name) or system_addresses(name)

    def guard(self, *allow: str) -> Guard:
        return Guard(reactor, self.resolver, [ip_network(each) for each in allow])

    async def attempt(
        self, url: str, *allow: str, policy: IPolicyForHTTPS | None = None
    ) -> Outcome:
        return await send(reactor, self.guard(*allow), url, policy)


class HostileTests(GuardedTestCase):
    """Addresses that must not be reached."""

    def setUp(self) -> None:
        super().setUp()
        self.canary = Canary()
        self.port = int(self.serve(self.canary).rsplit(":", 1)[1])
        self.reaching: tuple[str, ...] = REACHING
        try:
            port = reactor.listenTCP(self.port, Site(self.canary), interface="::1")
        except CannotListenError:
            return
        self.addCleanup(port.stopListening)
        self.reaching += REACHING_V6

    async def test_addresses_that_are_allowed_are_reached(self) -> None:
        for host in self.reaching:
            self.canary.touched.clear()
            attempt = await self.attempt(f"http://{host}:{self.port}/", *EVERYTHING)
            self.assertEqual((attempt.kind, len(self.canary.touched)), ("ok", 1), host)

    async def test_attempts_to_other_addresses_are_blocked_and_never_reach_them(self) -> None:
        for host in (*self.reaching, *REACHING_V6, *LEADING_ASTRAY):
            for scheme in ("http", "https"):
                attempt = await self.attempt(f"{scheme}://{host}:{self.port}/")
                self.assertEqual(attempt.kind, "blocked", host)
                self.assertNotIn("127.", repr(attempt))
        self.assertEqual(self.canary.touched, [])

    async def test_addresses_that_are_not_allowed_cannot_be_registered(self) -> None:
        core = Core()
        self.addCleanup(lambda: Deferred.fromCoroutine(core.store.close()))
        registrations = Registrations(core.store, check_address=self.guard().check)
        job = (await core.lifecycle.create(new_job())).job
        for host in (*self.reaching, *REACHING_V6, *LEADING_ASTRAY):
            webhook = hook(f"http://{host}:{self.port}/")
            with self.assertRaises(AddressNotAllowed):
                await registrations.register(job.id, webhook)
        written = await core.store.read(lambda tx: tx.all("SELECT id FROM webhooks"))
        self.assertEqual((written, self.canary.touched), ([], []))

    async def test_if_loopback_is_allowed_no_other_address_is(self) -> None:
        for host, outcome in (
            ("localhost", "ok"),
            ("[::ffff:127.0.0.1]", "ok"),
            ("0.0.0.0", "blocked"),
            ("private.example", "blocked"),
        ):
            attempt = await self.attempt(f"http://{host}:{self.port}/", *LOOPBACK)
            self.assertEqual(attempt.kind, outcome, host)

    async def test_a_redirect_is_not_followed(self) -> None:
        target = f"http://127.0.0.1:{self.port}/".encode()
        for code in (301, 302, 303, 307, 308):
            url = self.serve(Redirecting(code, target))
            attempt = await self.attempt(url, *LOOPBACK)
            self.assertEqual((attempt.kind, attempt.status), ("http", code))
        self.assertEqual(self.canary.touched, [])


class NamesTests(GuardedTestCase):
    """Requests name the host as the URL does, whatever address is dialled."""

    async def test_host_names_the_host_as_the_url_does(self) -> None:
        canary = Canary()
        port = self.serve(canary).rsplit(":", 1)[1]
        attempt = await self.attempt(f"http://receiver.example:{port}/", *LOOPBACK)
        self.assertEqual(attempt.kind, "ok")
        self.assertEqual(canary.touched, [b"receiver.example:" + port.encode()])

    async def test_a_proxy_in_the_environment_is_not_used(self) -> None:
        url = self.serve(Canary())
        with patch.dict(os.environ, {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "x:1"}):
            self.assertEqual((await self.attempt(url, *LOOPBACK)).kind, "ok")

    async def test_tls_names_the_host_and_verifies_its_certificate(self) -> None:
        told: list[bytes | None] = []

        class Told(Canary):
            def render(self, request: Request) -> bytes:
                transport: Any = request.transport
                told.append(transport.getHandle().get_servername())
                return super().render(request)

        options = self_signed_options("receiver.example")
        certificate: Any = options.certificate
        trusted = ssl.Certificate.loadPEM(certificate.public_bytes(Encoding.PEM))
        canary = Told()
        site = Site(canary)
        site.noisy = False
        listening = reactor.listenSSL(0, site, options, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        number = listening.getHost().port
        policy = TLSPolicy(trusted)
        for host, outcome in (
            ("receiver.example", "ok"),
            ("other.example", "tls"),
            ("127.0.0.1", "tls"),
        ):
            url = f"https://{host}:{number}/"
            attempt = await self.attempt(url, *LOOPBACK, policy=policy)
            self.assertEqual(attempt.kind, outcome, host)
        attempt = await self.attempt(f"https://receiver.example:{number}/", *LOOPBACK)
        self.assertEqual(attempt.kind, "tls")
        self.assertEqual(told, [b"receiver.example"])
        self.assertEqual(canary.touched, [b"receiver.example:%d" % number])


class HangingTests(GuardedTestCase):
    """Thirty origins whose names hang in DNS."""

    async def test_names_that_hang_hold_up_no_delivery_no_registration_and_no_thread(self) -> None:
        canary = Canary()
        port = self.serve(canary).rsplit(":", 1)[1]

        def healthy(name: str) -> Deferred[Outcome]:
            sending = self.attempt(f"http://{name}:{port}/", *LOOPBACK)
            return Deferred.fromCoroutine(sending).addTimeout(5, reactor)

        self.assertEqual((await healthy("receiver.example")).kind, "ok")
        hanging = [
            Deferred.fromCoroutine(self.attempt(f"http://hangs{n}.example/")) for n in range(30)
        ]
        # A name that has resolved before, and one that has never been looked up.
        for name in ("receiver.example", "other.example"):
            self.assertEqual((await healthy(name)).kind, "ok")
            await self.guard(*LOOPBACK).check(f"http://{name}/")
        done: Deferred[str] = deferToThread(lambda: "done")
        self.assertEqual(await done.addTimeout(5, reactor), "done")
        self.assertEqual([each.called for each in hanging], [False] * 30)
        for each in hanging:
            each.cancel()
            await self.assertFailure(each, CancelledError)


class AnyUrlTests(SynchronousTestCase):
    """Every URL that may be registered can be attempted, and is dialled only if it is public."""

    hosts = st.one_of(
        st.from_regex(r"\A[a-z0-9._:\[\]-]{1,12}\Z"),
        st.ip_addresses(v=4).map(str),
        st.ip_addresses(v=6).map("[{}]".format),
        st.sampled_from(["a..b", "xn--a", "a。b", "a" * 70, "1.2.3"]),
    )

    @given(st.sampled_from(["http", "HTTPS"]), hosts, st.ip_addresses())
    def test_an_attempt_for_any_url_ends_and_reaches_public_addresses_only(
        self, scheme: str, host: str, address: Any
    ) -> None:
        url = f"{scheme}://{host}/"
        try:
            origin_of(url)
        except BadInput:
            return
        memory: Any = MemoryReactorClock()
        guard = Guard(memory, Resolver(lambda name: succeed([str(address)])))
        sending = Deferred.fromCoroutine(send(memory, guard, url))
        memory.advance(DEADLINE + 1)
        outcome = self.successResultOf(sending).kind
        dialled = [client[0] for client in memory.tcpClients]
        self.assertIn(outcome, ("timeout", "dns") if dialled else ("blocked", "dns"))
        for each in dialled:
            self.assertTrue(guard.permits(each))
        self.assertEqual(memory.getDelayedCalls(), [])
