"""
The guard: decides which addresses webhooks may reach.

The guard judges the very address that is dialled. So a name is looked up and
judged again for every connection, and the connection goes to exactly the address
that was judged. That a webhook is also judged when it is registered only tells
its owner early. A name is refused if any of its addresses is. C{Host} and TLS
still name the host as the URL does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IConnector,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from statusjob.addresses import AddressedReactor, NoSuchName, connect_to, is_address
from statusjob.contract.codec import BadInput
from statusjob.failures import ExchangeFailed
from statusjob.server.delivery.resolver import Resolver
from statusjob.server.settings import Network
from statusjob.server.webhooks.urls import parse_url
from statusjob.tls import TLSPolicy

#: Seconds that the lookup of a name may take when its webhook is registered.
CHECK_DEADLINE = 5.0
#: Seconds that one address may take to accept a connection. The post has a deadline of its own.
CONNECT_TIMEOUT = 10.0
#: Most addresses of one host that are tried.
ADDRESSES = 16

# Networks that are not public, from IANA's registries of special-purpose addresses. The standard
# library's is_global is not enough: it calls multicast, NAT64 and 6to4 global, and differs from
# release to release.
_NOT_PUBLIC = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # at Azure: the metadata of the machine, on a public address
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
# Where DNS64 puts the IPv4 address of a host that has no other, for a network without IPv4
# (RFC 6052). The local-use prefix 64:ff9b:1::/48 leads wherever an operator likes.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# IANA has assigned public IPv6 addresses from here only. All others embed IPv4, are local or are
# multicast.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = [
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]


class AddressNotAllowed(BadInput):
    """The host of a webhook has no address, or one that may not be reached."""

    def __init__(self) -> None:
        super().__init__("webhook address not allowed")


def permits(address: str, allow: Sequence[Network] = ()) -> bool:
    """
    Say whether an address may be reached.

    @param address: an IP address, perhaps with a zone. An IPv4 address that is mapped to IPv6, or
        translated by NAT64, is judged as IPv4. Text that is no IP address is refused.
    @param allow: the networks that may be reached although they are not public.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
            if ip.is_loopback:
                # This would be the translator itself, not this machine, which may be allowed.
                return False
        else:
            ip = ip.ipv4_mapped or ip
    if any(ip in network for network in allow):
        return True
    if isinstance(ip, ipaddress.IPv4Address):
        public = not any(ip in network for network in _NOT_PUBLIC)
    else:
        public = ip in _GLOBAL_UNICAST and not any(ip in network for network in _NOT_PUBLIC_V6)
    return public and ip.is_global


class Guard:
    """Judges addresses and names for one server."""

    def __init__(
        self, reactor: IReactorTime, resolver: Resolver, allow: Sequence[Network] = ()
    ) -> None:
        """
        @param allow: the networks that may be reached although they are not public.
        """
        self._reactor = reactor
        self._resolver = resolver
        self._allow = allow

    def permits(self, address: str) -> bool:
        """Say whether an address may be reached, as the function C{permits} does."""
        return permits(address, self._allow)

    async def addresses(self, host: str) -> Sequence[str]:
        """
        Find the addresses of a host, and make sure that all of them may be reached.

        @param host: a name, or an address in any form that the system understands.
        @return: at most L{ADDRESSES} addresses, in the order in which they should be tried.
        @raise ExchangeFailed: of kind C{blocked} if one may not be reached, or C{dns} if there is
            none.
        """
        found = (host,) if is_address(host) else await self._resolver.resolve(host)
        if not all(self.permits(address) for address in found):
            raise _blocked()
        return found[:ADDRESSES]

    def check(self, url: str) -> Deferred[None]:
        """
        Check whether a webhook that is being registered could be reached. What cannot be told now
        is accepted: every connection is judged again.

        @param url: a URL that L{parse_url} accepts.
        @return: a Deferred that fails with L{AddressNotAllowed} if an address of the host is not
            allowed, or if there is no such host. It takes at most L{CHECK_DEADLINE} seconds.
        """
        found = Deferred.fromCoroutine(self.addresses(parse_url(url).host))
        found.addTimeout(CHECK_DEADLINE, self._reactor)
        return found.addCallbacks(lambda _: None, _judge)


def _blocked() -> ExchangeFailed:
    return ExchangeFailed("blocked", "the address is not allowed")


def _judge(failure: Failure) -> None:
    """Refuse what is blocked or does not exist, and accept what cannot be told now."""
    failure.trap(ExchangeFailed, TimeoutError)
    error = failure.value
    if isinstance(error, NoSuchName) or (
        isinstance(error, ExchangeFailed) and error.kind == "blocked"
    ):
        raise AddressNotAllowed from None


class GuardedEndpoints:
    """Makes endpoints that connect only to addresses that a guard permits."""

    def __init__(
        self, reactor: Any, guard: Guard, *, policy: IPolicyForHTTPS | None = None
    ) -> None:
        """
        @param policy: verifies the certificates of receivers; by the authorities that the platform
            trusts if not given.
        """
        self._reactor = reactor
        self._guard = guard
        self._policy = policy or TLSPolicy()

    def endpoint(self, origin: str) -> IStreamClientEndpoint:
        """
        Make the endpoint for an origin.

        @param origin: the origin as C{scheme://host:port}, which C{origin_of} makes.
        """
        uri = URI.fromBytes(origin.encode("ascii"))
        endpoint = GuardedEndpoint(self._reactor, self._guard, uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
            return wrapClientTLS(creator, endpoint)
        return endpoint


@implementer(IStreamClientEndpoint)
class GuardedEndpoint:
    """Looks up and judges a host, then connects to the first of its addresses that answers."""

    def __init__(self, reactor: Any, guard: Guard, host: str, port: int) -> None:
        self._reactor = reactor
        self._guard = guard
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        found = await self._guard.addresses(self._host)
        guarded = GuardedReactor(self._reactor, self._guard, found)
        return await connect_to(guarded, self._port, factory, timeout=CONNECT_TIMEOUT)


class GuardedReactor(AddressedReactor):
    """Stands in for the reactor of one endpoint, and only connects to where a guard permits."""

    def __init__(self, reactor: Any, guard: Guard, addresses: Sequence[str]) -> None:
        super().__init__(reactor, addresses)
        self._guard = guard

    def connectTCP(self, host: str, port: int, *args: Any, **more: Any) -> IConnector:
        if not self._guard.permits(host):
            raise _blocked()
        return super().connectTCP(host, port, *args, **more)
