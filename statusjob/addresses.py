"""
The addresses of hosts: how they are looked up, and how one that answers is found.

Twisted does not tell a name that does not exist from one that cannot be looked up now, and it
refuses names that the international standard does not allow, such as C{my_service}. So names are
looked up here, and Twisted connects to addresses.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from socket import SOCK_STREAM, gaierror, getaddrinfo
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from zope.interface import implementer

from statusjob.failures import ExchangeFailed

#: Stands for the name of a host whose addresses are known: Twisted refuses some names.
ANY_NAME = "host.invalid"

#: The errors of the system's resolver that tell that there is no such name, or that it has no
#: address. All others may pass.
_NO_SUCH_NAME = {
    getattr(socket, name)
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")
    if hasattr(socket, name)
}


class NoSuchName(ExchangeFailed):
    """There is no host of this name, or it has no address."""

    def __init__(self) -> None:
        super().__init__("dns", "there is no host of this name")


class CannotLookUp(ExchangeFailed):
    """Whether there is a host of this name cannot be told now."""

    def __init__(self) -> None:
        super().__init__("dns", "the host name cannot be resolved at the moment", lasting=False)


def is_address(host: str) -> bool:
    """Tell whether a host is given by an address in its usual form."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def system_addresses(name: str) -> Sequence[str]:
    """
    Ask the system's resolver, and block until it answers.

    @param name: the name of a host, or an address in any form.
    @return: its addresses, in the order in which they should be tried; empty if there are none.
    @raise CannotLookUp: if the resolver cannot tell now.
    """
    try:
        # As bytes: Python refuses some names, given as text, that the system may know.
        found = getaddrinfo(name.encode("ascii"), None, type=SOCK_STREAM)
    except UnicodeError:
        return ()
    except gaierror as error:
        if error.errno in _NO_SUCH_NAME:
            return ()
        raise CannotLookUp from error
    return tuple(str(address[0]) for *_, address in found)


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class AddressedReactor:
    """
    Stands in for the reactor of connections to one host, whose addresses are known.

    @ivar addresses: what every name is resolved to.
    """

    def __init__(self, reactor: Any, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self._reactor = reactor
        self.nameResolver = self
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        raise NotImplementedError("the addresses are known already")

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
        for address in self.addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution

    def connectTCP(self, host: str, port: int, *args: Any, **more: Any) -> IConnector:
        connector: IConnector = self._reactor.connectTCP(host, port, *args, **more)
        return connector


async def connect_to(
    reactor: AddressedReactor, port: int, factory: IProtocolFactory, *, timeout: float
) -> IProtocol:
    """
    Connect to the first address of a host that answers.

    @param reactor: knows the addresses, of which there must be one.
    @param timeout: the seconds that one address may take.
    """
    if len(reactor.addresses) > 1:
        endpoint = HostnameEndpoint(reactor, ANY_NAME, port, timeout=timeout)
        return await endpoint.connect(factory)
    # HostnameEndpoint would report a refusal only when it would try the next address.
    (address,) = reactor.addresses
    kind: Any = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
    connected: IProtocol = await kind(reactor, address, port, timeout).connect(factory)
    return connected


@implementer(IHostResolution)
class _Resolution:
    """A resolution that is over as soon as it has begun."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Do nothing: it is over."""
