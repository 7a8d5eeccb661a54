"""
The guard: which addresses webhooks may reach.

What counts is the very address that is dialled, so names are judged again at
every connection and exactly what was judged is connected to; what is judged
when a webhook is registered only tells its sender early. One address that may
not be reached refuses a name altogether. Requests still name the host as the
URL does, in C{Host} and to TLS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS, HostnameCachingHTTPSPolicy
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from statusjob.contract.codec import BadInput
from statusjob.failures import ExchangeFailed
from statusjob.server.delivery.resolver import Resolver
from statusjob.server.settings import Network
from statusjob.server.webhooks.urls import parse_url

#: Seconds that a name may take to resolve when its webhook is registered.
CHECK_DEADLINE = 5.0
#: Seconds for one address to accept a connection; the exchange has a deadline of its own.
CONNECT_TIMEOUT = 10.0
#: Addresses of one host that are tried, at most.
ADDRESSES = 16

# What is not public, from IANA's registries of special-purpose addresses. The standard library's
# is_global alone calls multicast, NAT64 and 6to4 global, and differs from release to release.
_NOT_PUBLIC = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host of a machine at Azure: its metadata, on a public address
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
# All that is handed out of IPv6 is in here; the rest embeds IPv4, is local or is multicast.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = [
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]


class AddressNotAllowed(BadInput):
    """A webhook's host does not resolve, or not to addresses that may be reached."""

    def __init__(self) -> None:
        super().__init__("webhook address not allowed")


def permits(address: str, allow: Sequence[Network] = ()) -> bool:
    """
    Whether an address may be reached.

    @param address: an IP address, perhaps with a zone; one that is mapped from IPv4 is judged as
        that. What is none is refused.
    @param allow: networks that may be reached although they are not public.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    if any(ip in network for network in allow):
        return True
    if isinstance(ip, ipaddress.IPv4Address):
        public = not any(ip in network for network in _NOT_PUBLIC)
    else:
        public = ip in _GLOBAL_UNICAST and not any(ip in network for network in _NOT_PUBLIC_V6)
    return public and ip.is_global


class Guard:
    """What one server may reach."""

    def __init__(
        self, reactor: IReactorTime, resolver: Resolver, allow: Sequence[Network] = ()
    ) -> None:
        """
        @param allow: networks that may be reached although they are not public.
        """
        self._reactor = reactor
        self._resolver = resolver
        self._allow = allow

    def permits(self, address: str) -> bool:
        """Whether an address may be reached."""
        return permits(address, self._allow)

    async def addresses(self, host: str) -> Sequence[str]:
        """
        The addresses of a host, all of which may be reached.

        @param host: a name, or an address in any form that the system understands.
        @raise ExchangeFailed: of kind C{blocked} or C{dns}.
        """
        found = (host,) if _is_address(host) else await self._resolver.resolve(host)
        if not all(self.permits(address) for address in found):
            raise _blocked()
        return found[:ADDRESSES]

    def check(self, url: str) -> Deferred[None]:
        """
        Refuse to register a webhook that could not be reached anyway.

        @param url: one that L{parse_url} accepts.

        The Deferred fails with L{AddressNotAllowed}, after L{CHECK_DEADLINE} at the latest.
        """
        found = Deferred.fromCoroutine(self.addresses(parse_url(url).host))
        found.addTimeout(CHECK_DEADLINE, self._reactor)
        return found.addCallbacks(lambda _: None, _not_allowed)


def _blocked() -> ExchangeFailed:
    return ExchangeFailed("blocked", "the address is not allowed")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _not_allowed(failure: Failure) -> None:
    failure.trap(ExchangeFailed, TimeoutError)
    raise AddressNotAllowed from None


class GuardedEndpoints:
    """Makes endpoints that connect only to what a guard permits."""

    def __init__(
        self, reactor: Any, guard: Guard, *, policy: IPolicyForHTTPS | None = None
    ) -> None:
        """
        @param policy: how servers are verified; if not given, as a browser would.
        """
        self._reactor = reactor
        self._guard = guard
        # To read the system's certificates takes milliseconds a host.
        self._policy = policy or HostnameCachingHTTPSPolicy(BrowserLikePolicyForHTTPS())

    def endpoint(self, origin: str) -> IStreamClientEndpoint:
        """
        The endpoint for an origin.

        @param origin: C{scheme://host:port}, as C{origin_of} makes it.
        """
        uri = URI.fromBytes(origin.encode("ascii"))
        endpoint = _GuardedEndpoint(self._reactor, self._guard, uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
            return wrapClientTLS(creator, endpoint, clock=self._reactor)
        return endpoint


@implementer(IStreamClientEndpoint)
class _GuardedEndpoint:
    """Resolves and judges a host, then connects to whichever of its addresses answers first."""

    def __init__(self, reactor: Any, guard: Guard, host: str, port: int) -> None:
        self._reactor = reactor
        self._guard = guard
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        found = await self._guard.addresses(self._host)
        dialler = _Dialler(self._reactor, self._guard, found)
        if len(found) > 1:
            endpoint = HostnameEndpoint(dialler, self._host, self._port, timeout=CONNECT_TIMEOUT)
            return await endpoint.connect(factory)
        # Without a race there is less to do, and a refusal is told at once, not when the next
        # address would have its turn.
        kind = TCP6ClientEndpoint if ":" in found[0] else TCP4ClientEndpoint
        return await kind(dialler, found[0], self._port, CONNECT_TIMEOUT).connect(factory)


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _Dialler:
    """
    The reactor of one endpoint: knows the answer already, and connects to nothing that the guard
    does not permit, wherever it came from.
    """

    def __init__(self, reactor: Any, guard: Guard, addresses: Sequence[str]) -> None:
        self._reactor = reactor
        self._guard = guard
        self._addresses = addresses
        self.nameResolver = self
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        raise NotImplementedError("the answer is known")

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        for address in self._addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution

    def connectTCP(self, host: str, port: int, *args: Any, **more: Any) -> IConnector:
        if not self._guard.permits(host):
            raise _blocked()
        connector: IConnector = self._reactor.connectTCP(host, port, *args, **more)
        return connector


@implementer(IHostResolution)
class _Resolution:
    """A resolution that is over as soon as it began."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Nothing is left to cancel."""
