"""
Connects to hosts of any name.

Twisted's C{HostnameEndpoint} refuses names that the international standard does not allow, such as
C{my_service}, although the system resolves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from zope.interface import implementer

#: Stands for the name of a host that Twisted would refuse.
STAND_IN = "host.invalid"


def host_endpoint(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """
    Make an endpoint that connects to a host.

    @param host: a name in ASCII, or an IP address.
    """
    if "_" in host or "--" in host:
        return HostnameEndpoint(_Renaming(reactor, host), STAND_IN, port)
    return HostnameEndpoint(reactor, host, port)


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _Renaming:
    """Stands in for the reactor of one endpoint, and has one name resolved, whatever is asked."""

    def __init__(self, reactor: Any, host: str) -> None:
        self._resolver: IHostnameResolver = reactor.nameResolver
        self._host = host
        self.nameResolver = self
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater
        self.connectTCP = reactor.connectTCP

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        raise NotImplementedError("this stands in for a reactor only while connecting")

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        return self._resolver.resolveHostName(
            resolutionReceiver, self._host, portNumber, addressTypes, transportSemantics
        )
