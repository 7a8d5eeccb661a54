"""
Connections that are kept while a session is used, and closed for certain after it.

A TLS peer is asked to agree to the end of a connection, and has a second to do so.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any
from weakref import WeakSet

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface import implementer

from statusjob.exchange import BoundedPool, BytesProducer

#: Most bytes of one answer: the longest job, and headers.
WIRE_LIMIT = 3 * 1024 * 1024


def http_client(reactor: Any, pool: HTTPConnectionPool | None) -> HTTPClient:
    """A treq client over C{pool} that keeps no cookies and needs no global reactor."""
    # treq takes cookies over from answer to request; allowed for no domain, there are none.
    jar = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return HTTPClient(Agent(reactor, pool=pool), jar, BytesProducer)


class KeptConnections(BoundedPool):
    """A pool that closes all its connections for certain, and says when that is done."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, persistent=True, limit=WIRE_LIMIT)
        self._opened: WeakSet[Any] = WeakSet()

    def getConnection(self, key: Any, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """Look up or open a connection, and remember it."""
        return super().getConnection(key, _Remembering(endpoint, self._opened))

    async def close(self) -> None:
        """Close what is kept: politely, as every L{BoundedPool} does; abort what remains."""
        opened = list(self._opened)
        try:
            await self.closeCachedConnections()
        finally:
            for each in opened:
                if each.state != "CONNECTION_LOST":
                    each.transport.abortConnection()


@implementer(IStreamClientEndpoint)
class _Remembering:
    """An endpoint that notes down the connections it makes."""

    def __init__(self, endpoint: IStreamClientEndpoint, opened: WeakSet[Any]) -> None:
        self._endpoint = endpoint
        self._opened = opened

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect as the endpoint inside does."""

        def connected(protocol: Any) -> Any:
            # What bounds the connection is around the protocol that knows its state.
            self._opened.add(protocol.wrappedProtocol)
            return protocol

        return self._endpoint.connect(protocolFactory).addCallback(connected)
