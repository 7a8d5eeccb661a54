"""
HTTP connections that are kept while any client uses them, and closed for certain after that.

All clients of a reactor share these connections and a limited number of connection slots, so that
one process can watch thousands of jobs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, gatherResults
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory

from statusjob.client.http.bounded import BoundedEndpoints, HostEndpoints
from statusjob.client.http.exchange import BytesProducer
from statusjob.client.http.lookups import Lookups
from statusjob.client.http.twisted_private import CleanPool
from statusjob.tls import TLSPolicy

#: Most bytes of the headers of one answer, and of its body on the wire: more than the longest job.
WIRE_LIMIT = 3 * 1024 * 1024
#: Most long polls and streams of one reactor at the same time, to all servers together.
LONG_POLL_SLOTS = 64
#: Most other requests to one server at the same time: so many that only ask, and so many that
#: change something. Reports must not wait for a server that is slow to tell.
REQUEST_SLOTS = 32
#: Seconds for which the connection of a long poll is kept idle: the next one follows at once.
LONG_POLL_KEPT = 5


class KeptConnections:
    """
    Connections that are kept open for further requests.

    @ivar client: sends requests; it stores no cookies.
    """

    def __init__(
        self, reactor: Any, endpoints: IAgentEndpointFactory, *, long_polls: bool = False
    ) -> None:
        """
        @param endpoints: make the connections.
        @param long_polls: whether the requests are long polls. When their server dies, they are
            not sent again at once, as Twisted does with requests on a connection that was used
            before; and connections are kept for a shorter time.
        """
        self._endpoints = BoundedEndpoints(reactor, endpoints, limit=WIRE_LIMIT)
        self._pool = CleanPool(reactor)
        # As many as there are slots: with Twisted's two, most requests would need a new one.
        self._pool.maxPersistentPerHost = LONG_POLL_SLOTS if long_polls else REQUEST_SLOTS
        if long_polls:
            self._pool.retryAutomatically = False
            self._pool.cachedConnectionTimeout = LONG_POLL_KEPT
        # treq copies cookies from answers to requests; none is allowed for any domain.
        # Any: from 26.7 on treq declares a class of its own that earlier ones do not have.
        jar: Any = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        agent = Agent.usingEndpointFactory(reactor, self._endpoints, self._pool)
        self.client = HTTPClient(agent, jar, BytesProducer)

    @property
    def open(self) -> int:
        """The number of connections that are open."""
        return len(self._endpoints.connections)

    async def close(self) -> None:
        """
        Close all connections, and wait until the idle ones are closed.

        That takes no longer than L{CLOSE_GRACE<statusjob.client.http.bounded.CLOSE_GRACE>}.
        Connections that are not idle are aborted after that.
        """
        await self._pool.closeCachedConnections()
        self.abort()

    def abort(self) -> None:
        """Close all connections at once, whatever the servers do."""
        for connection in tuple(self._endpoints.connections):
            if connection.connected:
                connection.abortConnection()


class Connections:
    """
    The connections and connection slots that all clients of one reactor share.

    @ivar free_slots: how many more long polls and streams may begin now.
    """

    def __init__(self) -> None:
        self.free_slots = LONG_POLL_SLOTS
        self._users = 0
        # Made only once, because reading the certificates of all authorities takes some time.
        self._policy = TLSPolicy()
        self._lookups = Lookups()
        self._kept: tuple[KeptConnections, ...] = ()
        # Whoever holds a slot, or waits for one, keeps the semaphore alive.
        self._request_slots = WeakValueDictionary[tuple[str, bool], DeferredSemaphore]()

    @asynccontextmanager
    async def in_use(self, reactor: Any) -> AsyncIterator[None]:
        """Keep connections inside the context; close them when the last user leaves its own."""
        self.enter(reactor)
        try:
            yield
        finally:
            await self.leave()

    def enter(self, reactor: Any) -> None:
        """Keep connections until L{leave} is called as often as this."""
        if not self._users:
            endpoints = HostEndpoints(reactor, self._policy, self._lookups)
            self._kept = (
                KeptConnections(reactor, endpoints),
                KeptConnections(reactor, endpoints, long_polls=True),
            )
        self._users += 1

    async def leave(self) -> None:
        """
        Keep connections no longer. The last one who leaves waits until they are closed.

        @raise CancelledError: if the wait was cancelled. Then they are closed at once.
        """
        self._users -= 1
        if self._users:
            return
        all_kept, self._kept = self._kept, ()
        closed = gatherResults([Deferred.fromCoroutine(kept.close()) for kept in all_kept])

        def abort() -> None:
            for kept in all_kept:
                kept.abort()

        await _finish(closed, hurry=abort)

    @property
    def idle(self) -> bool:
        """Whether no client uses the connections, so that none is kept."""
        return not self._users

    def client(self, *, long_poll: bool) -> HTTPClient:
        """
        Return the treq client that sends requests; to be called inside L{in_use}.

        @param long_poll: whether the request is a long poll or asks for a stream.
        """
        return self._kept[long_poll].client

    def request_slot(self, origin: str, *, changes: bool) -> DeferredSemaphore:
        """
        Return the semaphore to hold during a request that is no long poll.

        @param origin: the server.
        @param changes: whether the request changes something.
        """
        return self._request_slots.setdefault((origin, changes), DeferredSemaphore(REQUEST_SLOTS))

    @property
    def has_free_slot(self) -> bool:
        """Whether one more long poll or stream may begin now."""
        return self.free_slots > 0

    @contextmanager
    def take_slot(self) -> Iterator[bool]:
        """
        Take a slot for a long poll or a stream, and release it at the end of the context.

        The value is whether a slot was free; if not, none is taken.
        """
        taken = self.has_free_slot
        self.free_slots -= taken
        try:
            yield taken
        finally:
            self.free_slots += taken


_shared = WeakKeyDictionary[Any, Connections]()


def shared_connections(reactor: object) -> Connections:
    """Return what all clients of C{reactor} share; a test with its own clock shares nothing."""
    return _shared.setdefault(reactor, Connections())


async def _finish(work: Deferred[Any], hurry: Callable[[], object]) -> None:
    """
    Wait until some work is done, even if the wait is cancelled: nothing stays on the reactor.

    @param work: what is waited for; it is not cancelled.
    @param hurry: called when the wait is cancelled. It makes the work end soon.
    @raise CancelledError: if the wait was cancelled, after the end of the work.
    """
    cancelled: CancelledError | None = None
    done = False

    def finished(result: object, waiter: Deferred[None]) -> object:
        nonlocal done
        done = True
        if not waiter.called:
            waiter.callback(None)
        return result

    while not done:
        waiter: Deferred[None] = Deferred()
        work.addBoth(finished, waiter)
        try:
            await waiter
        except CancelledError as error:
            cancelled = error
            hurry()
    if cancelled is not None:
        raise cancelled
    await work
