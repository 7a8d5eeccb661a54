"""
Connections that are kept while anybody uses them, and closed for certain after that.

All clients of one reactor share them, and how many there may be, so that a
process can watch a thousand jobs. A TLS peer is asked to agree to the end of a
connection, and has a second to do so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface import implementer

from statusjob.client.http.exchange import BoundedPool, BytesProducer

#: Most bytes of one answer: the longest job, and headers.
WIRE_LIMIT = 3 * 1024 * 1024
#: Most connections on which answers are waited for that a server holds, and most on which one
#: server is asked anything else at the same time.
LONG_POLL_SLOTS = 64
REQUEST_SLOTS = 32
#: Seconds for which a connection is kept on which an answer was held: it is asked again at once.
LONG_POLL_KEPT = 5


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


class LongPollConnections(KeptConnections):
    """
    A pool for requests that are held.

    When a server dies, they are not all sent once more that very moment, as Twisted does with
    what was asked on a connection that had been used before.
    """

    retryAutomatically = False
    maxPersistentPerHost = LONG_POLL_SLOTS
    cachedConnectionTimeout = LONG_POLL_KEPT


class Connections:
    """What the clients of one reactor share. While none is in use, nothing is kept."""

    def __init__(self) -> None:
        self._users = 0
        self.free_slots = LONG_POLL_SLOTS
        self._pools: tuple[KeptConnections, ...] = ()
        self._clients: tuple[HTTPClient, ...] = ()
        self._request_slots = defaultdict[str, DeferredSemaphore](
            partial(DeferredSemaphore, REQUEST_SLOTS)
        )

    @asynccontextmanager
    async def in_use(self, reactor: Any) -> AsyncIterator[None]:
        """Connections are kept inside; when the last one leaves they are closed."""
        if not self._users:
            self._pools = (KeptConnections(reactor), LongPollConnections(reactor))
            self._clients = tuple(http_client(reactor, pool) for pool in self._pools)
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                pools, self._pools, self._clients = self._pools, (), ()
                self._request_slots.clear()
                await gatherResults([Deferred.fromCoroutine(pool.close()) for pool in pools])

    @property
    def idle(self) -> bool:
        """Whether nobody uses the connections, so that none is open."""
        return not self._users

    def client(self, *, long_poll: bool) -> HTTPClient:
        """What sends requests, those that are to be held or others; while this is in use."""
        return self._clients[long_poll]

    def request_slot(self, origin: str) -> DeferredSemaphore:
        """To be held while a server is asked something that it answers at once."""
        return self._request_slots[origin]

    @property
    def has_free_slot(self) -> bool:
        """Whether there is a place for a request that is to be held."""
        return self.free_slots > 0

    @contextmanager
    def take_slot(self) -> Iterator[bool]:
        """Take a place, if there is one: whether there was. It is free again afterwards."""
        taken = self.has_free_slot
        self.free_slots -= taken
        try:
            yield taken
        finally:
            self.free_slots += taken


_shared = WeakKeyDictionary[Any, Connections]()


def shared_connections(reactor: object) -> Connections:
    """What all clients of a reactor share; a test has its own clock, and shares with no other."""
    return _shared.setdefault(reactor, Connections())


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
