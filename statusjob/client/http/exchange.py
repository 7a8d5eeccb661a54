"""
One bounded HTTP exchange: a request goes out, an answer of known size comes in, on time.

Works with whatever starts a request and returns a Deferred of an C{IResponse}:
treq with C{unbuffered=True}, or a bare C{Agent}. It decides nothing about
redirects, cookies or retries. Whatever happens (an answer, a failure, a
cancellation), no delayed call and no unread body is left behind: a connection
whose answer was not read to its end is aborted and never used again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    HTTPConnectionPool,
    ResponseDone,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from statusjob.failures import ExchangeFailed, classify

#: Seconds that the other side has to take what is unsent, and to agree (TLS), when a connection is
#: closed.
CLOSE_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What came back.

    @ivar code: of the status line.
    """

    code: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, or C{None}."""
        values = self.headers.getRawHeaders(name.encode("ascii"))
        return values[0].decode("latin-1") if values else None


def exchange(
    reactor: IReactorTime,
    start: Callable[[], Awaitable[IResponse]],
    *,
    deadline: float,
    limit: int,
) -> Deferred[Answer]:
    """
    Make one request and read its answer.

    @param start: sends the request; called once, now.
    @param deadline: seconds for everything: name, connection, TLS, headers and body.
    @param limit: most bytes of body that are taken.
    @return: fires with the L{Answer}, or fails with L{ExchangeFailed}. May be cancelled. What
        is no failure of the transport (a mistake in C{start}, say) comes through unchanged.
    """
    body = Body(limit)
    expired = False

    async def run() -> Answer:
        response = await start()
        content = await body.read(response)
        if not 100 <= response.code <= 599:
            # RFC 9110 15: no status code. Twisted takes any integer, of any size.
            raise ExchangeFailed("connect", "the answer has no valid status code")
        return Answer(response.code, response.headers, content)

    def expire() -> None:
        nonlocal expired
        expired = True
        work.cancel()

    def failed(failure: Failure) -> NoReturn:
        if expired:
            raise ExchangeFailed("timeout", f"no complete answer within {deadline:g} s")
        assert failure.value is not None
        raise classify(failure.value)

    def finished(result: Answer | Failure) -> Answer | Failure:
        if timer.active():
            timer.cancel()
        return result

    timer = reactor.callLater(deadline, expire)
    work: Deferred[Answer] = Deferred.fromCoroutine(run())
    work.addBoth(finished)
    return work.addErrback(failed)


@implementer(IBodyProducer)
class BytesProducer:
    """
    A request body that is there already, sent at once.

    Unlike C{FileBodyProducer} it needs no cooperator, and so no global reactor.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write everything."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to pause."""

    def resumeProducing(self) -> None:
        """Nothing is left to resume."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


class BoundedPool(HTTPConnectionPool):
    """
    A pool whose connections take in only so many bytes a request, headers and all: Twisted itself
    has no bound on an answer's headers. One that is to be closed is gone after L{CLOSE_GRACE} at
    the latest: Twisted waits for ever for a peer that reads no more. It is not logged either.
    """

    def __init__(self, reactor: Any, *, persistent: bool, limit: int) -> None:
        """
        @param limit: most bytes that one answer may have on the wire (inside TLS).
        """
        super().__init__(reactor, persistent)
        self._limit = limit

    def getConnection(self, key: Any, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """Look up or open a connection for one request."""
        connection: Deferred[Any] = super().getConnection(
            key, _BoundedEndpoint(self._reactor, endpoint, self._limit)
        )
        return connection

    def _putConnection(self, key: Any, connection: Any) -> None:
        # The rest of an answer may still come from a buffer when its reader has given it up.
        if not connection.transport.aborted:
            super()._putConnection(key, connection)


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint, limit: int) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._limit = limit

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        protocolFactory.noisy = False
        factory: Any = WrappingFactory(protocolFactory)
        factory.noisy = False
        factory.protocol = _Bounded
        factory.reactor = self._reactor
        factory.limit = self._limit
        connected: Deferred[Any] = self._endpoint.connect(factory)
        return connected.addCallback(lambda wrapper: wrapper.wrappedProtocol)


class _Bounded(ProtocolWrapper):
    """Between a connection and its protocol: what comes in since the last request is counted."""

    factory: Any
    aborted = False
    received = 0
    _closing: IDelayedCall | None = None

    def write(self, data: bytes) -> None:
        self.received = 0
        super().write(data)

    def writeSequence(self, data: Any) -> None:
        self.received = 0
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        room = self.factory.limit - self.received
        self.received += len(data)
        # What fits counts, however the bytes were cut into pieces on their way.
        super().dataReceived(data[:room])
        if len(data) > room:
            self.abortConnection()

    def abortConnection(self) -> None:
        self.aborted = True
        transport: Any = self.transport
        transport.abortConnection()

    def loseConnection(self) -> None:
        super().loseConnection()
        if self.connected and self._closing is None:
            self._closing = self.factory.reactor.callLater(CLOSE_GRACE, self.abortConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        if self._closing is not None:
            if self._closing.active():
                self._closing.cancel()
            # Closed by our side. A request that still waits does so because Twisted, which has a
            # bound for one header, closes without a reason; in all other cases it was told.
            reason = Failure(ExchangeFailed("too-big", "a longer header than an answer may have"))
        if self.received > self.factory.limit:
            reason = Failure(ExchangeFailed("too-big", "more bytes than an answer may have"))
        super().connectionLost(reason)


class Body(Protocol):
    """
    Reads a body up to its limit.

    @ivar reading: whether the headers are there and the body is not yet.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._received = bytearray()
        self._done: Deferred[bytes] = Deferred(lambda _: self._cut())
        self.reading = False

    def read(self, response: IResponse) -> Deferred[bytes]:
        """Take the body of C{response}; to be called once."""
        self.reading = True
        response.deliverBody(self)
        length = response.length
        if isinstance(length, int) and length > self._limit:
            self._too_big()
        return self._done

    def dataReceived(self, data: bytes) -> None:
        """Take a piece, as far as it fits."""
        if not self.reading:
            return
        room = self._limit - len(self._received)
        self._received += data[:room]
        if len(data) > room:
            self._too_big()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is over: complete, or cut short by the other side."""
        if not self.reading:
            return
        self.reading = False
        # Without a declared length the end of the connection is the end of the body.
        if reason.check(ResponseDone, PotentialDataLoss):
            self._done.callback(bytes(self._received))
        else:
            self._done.errback(reason)

    def _too_big(self) -> None:
        if self.reading:
            self._cut()
            self._done.errback(ExchangeFailed("too-big", f"more than {self._limit} bytes"))

    def _cut(self) -> None:
        """Give up the connection."""
        self.reading = False
        abort(self.transport)


def abort(proxy: Any) -> None:
    """
    Give up the connection on which a body is read.

    Twisted hands us a proxy that can only lose a connection, which waits for unsent bytes and,
    with TLS, for the other side's consent: a hostile one would keep the socket open. So abort
    what is behind the proxy; it is C{None} once the answer is complete.

    @param proxy: the transport of who reads the body.
    """
    connection = _behind(proxy)
    give_up = getattr(connection, "abortConnection", None)
    if give_up is not None:
        give_up()
    elif proxy is not None:
        proxy.loseConnection()


def let_come(proxy: Any) -> None:
    """
    What came on the connection on which a body is read was dealt with: as much may come again.

    @param proxy: the transport of who reads the body.
    """
    connection = _behind(proxy)
    if isinstance(connection, _Bounded):
        connection.received = 0


def _behind(proxy: Any) -> Any:
    return getattr(proxy, "_producer", proxy)
