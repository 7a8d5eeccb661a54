"""Hosts of any name: the client connects to names that Twisted refuses."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorPluggableNameResolver, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI
from zope.interface import implementer
from zope.interface.verify import verifyObject

from statusjob.addresses import AddressedReactor, NoSuchName
from statusjob.client.errors import BadBaseURL
from statusjob.client.http.base_url import read_base_url
from statusjob.client.http.bounded import HostEndpoints
from statusjob.client.http.lookups import HostEndpoint, Lookups


class Names:
    """
    Resolves every name to the same addresses, and records it.

    @ivar found: the addresses.
    """

    def __init__(self) -> None:
        self.resolved: list[str] = []
        self.found = [IPv4Address("TCP", "127.0.0.1", 80)]

    def resolveHostName(self, receiver: Any, hostName: str, *more: Any, **named: Any) -> Any:
        self.resolved.append(hostName)
        receiver.resolutionBegan(self)
        for each in self.found:
            receiver.addressResolved(each)
        receiver.resolutionComplete()
        return self


@implementer(IReactorPluggableNameResolver)
class ResolvingReactor(MemoryReactorClock):
    """A reactor in memory whose names are L{Names}."""

    def __init__(self) -> None:
        super().__init__()
        self.nameResolver: Any = Names()

    def installNameResolver(self, resolver: Any) -> Any:
        raise NotImplementedError


class AnyNameTests(SynchronousTestCase):
    """Which names are resolved and dialled."""

    def test_the_name_in_the_url_is_resolved_whatever_it_looks_like(self) -> None:
        for host in ("my_service", "docker_api_1.docker_default", "ab--cd.example", "a.example"):
            reactor: Any = ResolvingReactor()
            uri = URI.fromBytes(read_base_url(f"http://{host}").to_text().encode())
            connecting: Any = HostEndpoints(reactor).endpointForURI(uri)
            connecting.connect(Factory.forProtocol(Protocol)).addErrback(lambda _: None)
            reactor.advance(0)
            self.assertEqual(reactor.nameResolver.resolved, [host])
            self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", 80))

    def test_an_address_is_not_looked_up(self) -> None:
        for host in ("127.0.0.1", "::1"):
            reactor: Any = ResolvingReactor()
            connecting = HostEndpoint(reactor, Lookups(), host, 80).connect(Factory())
            self.assertEqual(reactor.nameResolver.resolved, [])
            self.assertEqual(reactor.tcpClients[0][:2], (host, 80))
            connecting.cancel()
            self.failureResultOf(connecting)

    def test_a_resolver_that_finds_no_address_tells_that_there_is_no_such_name(self) -> None:
        reactor: Any = ResolvingReactor()
        self.patch(reactor.nameResolver, "found", [])
        connecting = HostEndpoint(reactor, Lookups(), "a.example", 80).connect(Factory())
        self.failureResultOf(connecting, NoSuchName)

    def test_what_stands_in_for_the_reactor_provides_the_interface_of_twisted(self) -> None:
        reactor: Any = ResolvingReactor()
        verifyObject(IReactorPluggableNameResolver, AddressedReactor(reactor, ["127.0.0.1"]))
        verifyObject(IStreamClientEndpoint, HostEndpoint(reactor, Lookups(), "a", 80))

    def test_a_base_url_that_is_refused_says_why(self) -> None:
        for base, reason in (
            ("http://a..b", "empty label"),
            ("http://m\u00fc_x", "characters that no host name may have"),
            ("http://" + "a" * 64, "longer than 63"),
        ):
            self.assertIn(reason, str(self.assertRaises(BadBaseURL, read_base_url, base)))
