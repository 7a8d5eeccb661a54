"""The guard: which addresses may be reached, and that the one that was judged is dialled."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IReactorPluggableNameResolver, IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from statusjob.contract.codec import BadInput
from statusjob.failures import ExchangeFailed
from statusjob.server.delivery.answer import ReceiverAnswer
from statusjob.server.delivery.guard import (
    ADDRESSES,
    CHECK_DEADLINE,
    CONNECT_TIMEOUT,
    AddressNotAllowed,
    Guard,
    GuardedEndpoint,
    GuardedEndpoints,
    GuardedReactor,
    permits,
)
from statusjob.server.delivery.poster import DEADLINE, Poster, Target
from statusjob.server.delivery.resolver import Resolver
from statusjob.server.settings import Network
from tests.helpers.servers import PUBLIC

OTHER_PUBLIC = "2606:2800:220:1::1"

#: Each is or leads to something that is not public; many are "global" for the standard library.
_NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.0.192 192.0.2.1 192.31.196.1
    192.52.193.1 192.88.99.1 192.168.1.1 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1
    203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:224.0.0.1
    ::ffff:127.0.0.1%lo ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 100::1 2001::1
    2001:0:7f00:1:: 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 3fff::1 4000::1
    5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%lo fe80::1%25lo fec0::1 ff02::1
"""
NOT_PUBLIC = _NOT_PUBLIC.split()

GARBAGE = [
    "",
    "localhost",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "8.8.8.08",
    "8.8.8.8.",
    "8.8.8.8 ",
    "8.8.8.8/32",
    "[::1]",
    "2606:2800::1::",
    "%lo",
    "8.8.8.8%lo",
    "\x008.8.8.8",
    "²130706433",
]


class PermitsTests(SynchronousTestCase):
    """Which addresses may be reached."""

    def test_public_addresses_may_be_reached(self) -> None:
        for address in (PUBLIC, "8.8.8.8", "172.32.0.1", "100.128.0.1", "223.255.255.255"):
            self.assertTrue(permits(address), address)
            self.assertTrue(permits(f"::ffff:{address}"), address)
        for address in (OTHER_PUBLIC, "2001:4860:4860::8888", "2a00::1"):
            self.assertTrue(permits(address), address)

    def test_addresses_that_are_not_public_may_not_be_reached(self) -> None:
        for address in NOT_PUBLIC:
            self.assertFalse(permits(address), address)

    def test_text_that_is_no_address_is_refused_even_if_all_networks_are_allowed(self) -> None:
        for address in GARBAGE:
            self.assertFalse(permits(address, [ip_network("0.0.0.0/0"), ip_network("::/0")]))

    def test_an_allowed_network_may_be_reached_and_no_other(self) -> None:
        allow = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
        for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd00::1%lo", PUBLIC):
            self.assertTrue(permits(address, allow), address)
        for address in ("10.2.0.1", "::ffff:10.2.0.1", "::10.1.2.3", "fc00::1", "127.0.0.1"):
            self.assertFalse(permits(address, allow), address)

    def test_an_address_translated_by_nat64_is_judged_by_the_ipv4_address_inside(self) -> None:
        allow = [ip_network("10.1.0.0/16"), ip_network("127.0.0.0/8"), ip_network("::1/128")]
        for address in ("64:ff9b::5db8:d822", f"64:ff9b::{PUBLIC}", "64:ff9b::8.8.8.8%lo"):
            self.assertTrue(permits(address), address)
        self.assertTrue(permits("64:ff9b::10.1.2.3", allow))
        for address in (
            "64:ff9b::10.1.2.3",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::",
            "64:ff9b::224.0.0.1",
            "64:ff9b::1:8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "64:ff9b:1:5db8:d8:2200::",
        ):
            self.assertFalse(permits(address), address)

    def test_the_loopback_of_nat64_is_refused_whatever_is_allowed(self) -> None:
        allow = [ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("::/0")]
        for address in ("64:ff9b::7f00:1", "64:ff9b::127.255.0.1"):
            self.assertFalse(permits(address, allow), address)

    @given(st.ip_addresses(v=4))
    def test_an_ipv4_address_mapped_to_ipv6_is_judged_as_ipv4(
        self, address: ipaddress.IPv4Address
    ) -> None:
        for allow in ([], [ip_network("0.0.0.0/1")]):
            self.assertEqual(permits(str(address), allow), permits(f"::ffff:{address}", allow))

    @given(st.ip_addresses())
    def test_no_address_is_permitted_that_the_standard_library_calls_private(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address
    ) -> None:
        if permits(str(address)) and address not in ip_network("64:ff9b::/96"):
            self.assertTrue(address.is_global and not address.is_multicast)

    @given(st.text(max_size=40))
    def test_no_text_raises_an_exception(self, text: str) -> None:
        permits(text)


class GuardTestCase(SynchronousTestCase):
    """A guard that looks names up in C{names}. The lookup of any other name hangs."""

    def setUp(self) -> None:
        self.memory: Any = MemoryReactorClock()
        self.names: dict[str, Sequence[str]] = {}
        self.looked_up: list[str] = []

    def look_up(self, name: str) -> Deferred[Sequence[str]]:
        self.looked_up.append(name)
        return succeed(self.names[name]) if name in self.names else Deferred()

    def guard(self, *allow: str) -> Guard:
        networks: list[Network] = [ip_network(each) for each in allow]
        return Guard(self.memory, Resolver(self.look_up), networks)


class AddressesTests(GuardTestCase):
    """The addresses of a host."""

    def addresses(self, host: str, *allow: str) -> Sequence[str]:
        return self.successResultOf(Deferred.fromCoroutine(self.guard(*allow).addresses(host)))

    def refusal(self, host: str, *allow: str) -> str:
        found = Deferred.fromCoroutine(self.guard(*allow).addresses(host))
        error: Any = self.failureResultOf(found, ExchangeFailed).value
        self.assertNotIn("10.", str(error))
        return str(error.kind)

    def test_a_name_has_all_its_addresses_in_their_order(self) -> None:
        self.names["a.example"] = [OTHER_PUBLIC, PUBLIC]
        self.assertEqual(self.addresses("a.example"), [OTHER_PUBLIC, PUBLIC])

    def test_a_name_with_a_synthesised_address_beside_its_own_has_both(self) -> None:
        self.names["a.example"] = ["64:ff9b::5db8:d822", "93.184.216.34"]
        self.assertEqual(len(self.addresses("a.example")), 2)

    def test_a_name_is_refused_if_one_of_its_addresses_is(self) -> None:
        for bad in NOT_PUBLIC:
            for addresses in ([bad], [bad, PUBLIC], [PUBLIC, OTHER_PUBLIC, bad]):
                self.names["a.example"] = addresses
                self.assertEqual(self.refusal("a.example"), "blocked")

    def test_a_name_is_refused_even_if_the_refused_address_would_not_be_tried(self) -> None:
        self.names["a.example"] = [PUBLIC] * ADDRESSES + ["10.0.0.1"]
        self.assertEqual(self.refusal("a.example"), "blocked")
        self.assertEqual(len(self.addresses("a.example", "10.0.0.0/8")), ADDRESSES)

    def test_a_name_without_addresses_fails_as_dns(self) -> None:
        self.names["a.example"] = []
        self.assertEqual(self.refusal("a.example"), "dns")

    def test_an_address_is_judged_without_a_lookup(self) -> None:
        self.assertEqual(self.addresses("::ffff:8.8.8.8"), ("::ffff:8.8.8.8",))
        self.assertEqual(self.addresses("10.0.0.1", "10.0.0.0/8"), ("10.0.0.1",))
        for address in NOT_PUBLIC:
            self.assertEqual(self.refusal(address), "blocked")
        self.assertEqual(self.looked_up, [])

    def test_other_forms_of_addresses_are_looked_up(self) -> None:
        for host in ("127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0"):
            self.names[host] = ["127.0.0.1"]
            self.assertEqual(self.refusal(host), "blocked")


class CheckTests(GuardTestCase):
    """The check when a webhook is registered."""

    def assert_refused(self, checking: Deferred[None]) -> None:
        error = self.failureResultOf(checking, BadInput).value
        self.assertIsInstance(error, AddressNotAllowed)
        self.assertEqual(str(error), "webhook address not allowed")
        self.assertEqual(self.memory.getDelayedCalls(), [])

    def test_a_public_host_is_accepted(self) -> None:
        self.names["a.example"] = [PUBLIC]
        for host in ("a.example", "user:pass@A.Example:8443", PUBLIC, f"[{OTHER_PUBLIC}]"):
            checking = self.guard().check(f"https://{host}/hook?a=b#c")
            self.assertIsNone(self.successResultOf(checking))
        self.assertEqual(self.memory.getDelayedCalls(), [])

    def test_a_host_that_may_not_be_reached_is_refused(self) -> None:
        self.names["a.example"] = [PUBLIC, "10.0.0.1"]
        for host in ("a.example", "127.0.0.1", "[::1]", "①②⑦.0.0.1", "8.8.8.8@127.0.0.1"):
            self.assert_refused(self.guard().check(f"http://{host}/"))

    def test_a_host_that_does_not_exist_is_refused_with_the_same_message(self) -> None:
        self.names["a.example"] = []
        self.assert_refused(self.guard().check("http://a.example/"))

    def test_a_host_that_does_not_resolve_in_time_is_accepted(self) -> None:
        checking = self.guard().check("http://hangs.example/")
        self.memory.advance(CHECK_DEADLINE - 0.1)
        self.assertNoResult(checking)
        self.memory.advance(0.2)
        self.assertIsNone(self.successResultOf(checking))
        self.assertEqual(self.memory.getDelayedCalls(), [])

    def test_a_host_that_cannot_be_resolved_at_the_moment_is_accepted(self) -> None:
        for error in (ExchangeFailed("dns", "cannot tell now"), RuntimeError("no thread")):
            resolver = Resolver(lambda name, error=error: fail(error))  # type: ignore[misc]
            checking = Guard(self.memory, resolver).check("http://a.example/")
            self.assertIsNone(self.successResultOf(checking))
        self.flushLoggedErrors(RuntimeError)

    def test_a_check_can_be_cancelled(self) -> None:
        checking = self.guard().check("http://hangs.example/")
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertEqual(self.memory.getDelayedCalls(), [])


class EndpointTests(GuardTestCase):
    """Posts over guarded endpoints."""

    def ask(self, origin: str, guard: Guard | None = None) -> Deferred[ReceiverAnswer]:
        endpoints = GuardedEndpoints(self.memory, guard or self.guard())
        poster = Poster(self.memory, endpoints.endpoint)
        self.addCleanup(poster.stop)
        return poster.post(Target(origin, b"POST / HTTP/1.1\r\n"), b"", b"")

    @property
    def dialled(self) -> list[tuple[str, int]]:
        return [client[:2] for client in self.memory.tcpClients]

    def assert_failed(self, asked: Deferred[ReceiverAnswer], kind: str) -> None:
        error: Any = self.failureResultOf(asked, ExchangeFailed).value
        self.assertEqual(error.kind, kind)
        self.assertEqual(self.memory.getDelayedCalls(), [])

    def test_endpoints_provide_the_interfaces_of_twisted(self) -> None:
        verifyObject(IStreamClientEndpoint, GuardedEndpoint(None, self.guard(), "a", 80))
        guarded = GuardedReactor(self.memory, self.guard(), [])
        verifyObject(IReactorPluggableNameResolver, guarded)

    def test_the_address_that_was_judged_is_dialled(self) -> None:
        self.names["a.example"] = [PUBLIC]
        asked = self.ask("http://a.example:8080")
        self.assertEqual(self.dialled, [(PUBLIC, 8080)])
        self.assertEqual(self.looked_up, ["a.example"])
        protocol = self.memory.tcpClients[0][2].buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        self.assertIn(b"POST / HTTP/1.1\r\n", transport.value())
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.successResultOf(asked).status, 200)
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_the_next_address_is_tried_when_one_does_not_answer(self) -> None:
        self.names["a.example"] = [OTHER_PUBLIC, PUBLIC]
        asked = self.ask("http://a.example:80")
        self.assertEqual(self.dialled, [(OTHER_PUBLIC, 80)])
        self.memory.advance(0.5)
        self.assertEqual(self.dialled, [(OTHER_PUBLIC, 80), (PUBLIC, 80)])
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(self.memory.getDelayedCalls(), [])

    def test_a_refusal_of_the_only_address_is_known_at_once(self) -> None:
        self.names["a.example"] = [PUBLIC]
        for host in ("a.example", PUBLIC, "[2606:4700::1111]"):
            asked = self.ask(f"http://{host}:80")
            factory, connector = self.memory.tcpClients[-1][2], self.memory.connectors[-1]
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
            self.assert_failed(asked, "connect")
        self.assertEqual(self.dialled, [(PUBLIC, 80)] * 2 + [("2606:4700::1111", 80)])

    def test_no_address_is_dialled_of_a_host_that_is_refused(self) -> None:
        self.names["a.example"] = [PUBLIC, "10.0.0.1"]
        urls = ["http://a.example:80", "https://a.example:443", "http://[fe80::1%25lo]:80"]
        urls += [f"http://{f'[{each}]' if ':' in each else each}:80" for each in NOT_PUBLIC]
        for url in urls:
            self.assert_failed(self.ask(url), "blocked")
        self.assertEqual(self.dialled, [])

    def test_a_name_is_judged_again_for_every_connection(self) -> None:
        guard = self.guard()
        self.names["a.example"] = [PUBLIC]
        self.successResultOf(guard.check("http://a.example/"))
        self.names["a.example"] = ["127.0.0.1"]
        self.assert_failed(self.ask("http://a.example:80", guard), "blocked")
        self.assertEqual(self.dialled, [])

    def test_a_name_is_looked_up_once_for_judging_and_dialling(self) -> None:
        answers = [[PUBLIC], ["127.0.0.1"]]
        resolver = Resolver(lambda name: succeed(answers.pop(0)))
        asked = self.ask("http://a.example:80", Guard(self.memory, resolver))
        self.assertEqual((self.dialled, answers), ([(PUBLIC, 80)], [["127.0.0.1"]]))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)

    def test_no_other_address_can_be_dialled_without_being_judged(self) -> None:
        guarded = GuardedReactor(self.memory, self.guard(), [PUBLIC])
        for host in ("127.0.0.1", "localhost", "a.example"):
            error = self.assertRaises(ExchangeFailed, guarded.connectTCP, host, 80, None)
            self.assertEqual(error.kind, "blocked")
        self.assertEqual(self.dialled, [])

    def test_posts_to_names_without_addresses_and_to_invalid_names_fail_as_dns(self) -> None:
        for host in ("a.example", "a..example", "-", "x" * 70):
            self.names[host] = []
            self.assert_failed(self.ask(f"http://{host}:80"), "dns")

    def test_a_lookup_that_hangs_ends_at_the_deadline_of_the_post(self) -> None:
        asked = self.ask("http://hangs.example:80")
        self.memory.advance(DEADLINE)
        self.assert_failed(asked, "timeout")

    def test_a_post_can_be_cancelled_while_its_host_is_looked_up(self) -> None:
        asked = self.ask("https://hangs.example:443")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(self.memory.getDelayedCalls(), [])

    def test_connecting_may_take_less_than_the_deadline(self) -> None:
        self.names["a.example"] = [PUBLIC]
        self.ask("http://a.example:80").addErrback(lambda failure: None)
        self.assertEqual(self.memory.tcpClients[0][3], CONNECT_TIMEOUT)
        self.assertLess(CONNECT_TIMEOUT, DEADLINE)
