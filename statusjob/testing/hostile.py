"""
A receiver of webhooks, or any other HTTP server, that misbehaves.

It works on the transport: each connection is a L{Connection}, which reads one request, and a
L{Mode} decides how it misbehaves. Use those of L{statusjob.testing.modes}, or write your own. A
mode is a coroutine. It is started with its connection and cancelled when the connection is lost,
so that no timer and no producer outlives it. It is no web server: it reads one request per
connection.
"""

from __future__ import annotations

import re
import select
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IPullProducer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

#: The most bytes of one request, headers included, and the most requests that are remembered.
REQUEST_LIMIT = 2 * 1024 * 1024
REMEMBERED = 100
#: Seconds between two checks whether the other side has closed, where nothing is read.
CHECK_INTERVAL = 0.05

_LINE = re.compile(rb"\A[!-~]+ [!-~]+ HTTP/1\.[01]\Z")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """
    A request that was received.

    @ivar line: the request line, such as C{b"POST /hook HTTP/1.1"}.
    @ivar headers: the headers.
    @ivar body: the whole body, without any transfer encoding.
    """

    line: bytes
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """
        The first value of a header.

        @param name: the name of the header, in any case.
        @return: the value, or C{None} if there is no such header.
        """
        values = self.headers.getRawHeaders(name.encode("ascii"))
        return values[0].decode("latin-1") if values else None


class Connection(Protocol):
    """
    One connection, on which a mode acts.

    @ivar factory: the receiver that accepted the connection.
    @ivar transport: the transport to write to, close or abort.
    """

    factory: HostileReceiver
    transport: Any
    _log = Logger()

    def __init__(self, reactor: Any, mode: Mode) -> None:
        """
        @param reactor: provides the timers of the mode.
        @param mode: called with this connection when it is made.
        """
        self._reactor = reactor
        self._mode = mode
        self._unread = bytearray()
        self._spoken: Deferred[None] = Deferred()
        self._requested: Deferred[Request] = Deferred()

    def spoken(self) -> Deferred[None]:
        """
        Wait for the first bytes, whatever they are. Only one caller may wait.

        @return: fires with C{None}.
        """
        return self._spoken

    def request(self) -> Deferred[Request]:
        """
        Wait for the whole request. Only one caller may wait.

        @return: fires with the request; never, if what was sent is not HTTP.
        """
        return self._requested

    def sleep(self, seconds: float) -> Deferred[None]:
        """
        Wait.

        @param seconds: how long to wait.
        @return: fires with C{None} after that time.
        """
        return deferLater(self._reactor, seconds)

    def flood(self, pieces: Iterable[bytes]) -> Deferred[None]:
        """
        Send bytes, perhaps without end, only as fast as the other side reads them.

        @param pieces: the bytes; each piece is taken when the one before it has been sent.
        @return: fires with C{None} when the last piece has been written.
        """
        flood = _Flood(self.transport, iter(pieces))
        self.transport.registerProducer(flood, False)
        return flood.done

    async def read_no_more(self) -> None:
        """Read nothing more until the other side has closed the connection, then abort it."""
        self.transport.pauseProducing()
        # The end of a connection comes after all unread bytes. Only Linux shows it earlier.
        poll = select.poll()
        poll.register(self.transport.fileno(), getattr(select, "POLLRDHUP", select.POLLHUP))
        while not poll.poll(0):
            await self.sleep(CHECK_INTERVAL)
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        """Start the mode."""
        self.factory.connections.add(self)
        self._work = Deferred.fromCoroutine(self._mode(self))
        self._work.addErrback(self._failed)

    def dataReceived(self, data: bytes) -> None:
        """Read until the request is complete, and ignore everything after it."""
        if self._requested.called:
            return
        self._unread += data
        if not self._spoken.called:
            self._spoken.callback(None)
        try:
            request = _read(bytes(self._unread))
        except ValueError:
            request = None
        if request is not None:
            self._unread.clear()
            self.factory.remember(request)
            self._requested.callback(request)
        elif len(self._unread) > REQUEST_LIMIT:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Cancel the mode."""
        self._work.cancel()
        self.factory.forget(self)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the mode {mode} failed", failure, mode=self._mode)
            self.transport.abortConnection()


#: Acts on a connection. When it returns, the connection stays open unless the mode has closed it.
Mode = Callable[[Connection], Coroutine[Any, Any, None]]


class HostileReceiver(ServerFactory):
    """
    A server that misbehaves on each connection in one way, the same or another.

    Listen with it on loopback: C{reactor.listenTCP(0, receiver, interface="127.0.0.1")}.

    @ivar requests: the last L{REMEMBERED} complete requests, the oldest first.
    @ivar received: the number of all complete requests.
    @ivar connections: the connections that are open now.
    @ivar accepted: the number of all connections.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        mode: Mode,
        *then: Mode,
        on_request: Callable[[Request], None] | None = None,
    ) -> None:
        """
        @param reactor: provides the timers of modes.
        @param mode: the mode of the first connection.
        @param then: the modes of the next connections. The last mode stays for all that follow.
        @param on_request: called with each complete request.
        """
        modes = (mode, *then)
        self._reactor = reactor
        self._modes = chain(modes, repeat(modes[-1]))
        self._on_request = on_request
        self._waiting: list[Deferred[None]] = []
        self.requests: deque[Request] = deque(maxlen=REMEMBERED)
        self.received = 0
        self.connections: set[Connection] = set()
        self.accepted = 0

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Make a connection with the next mode."""
        self.accepted += 1
        connection = Connection(self._reactor, next(self._modes))
        connection.factory = self
        return connection

    def wait_until_closed(self, timeout: float = 3.0) -> Deferred[None]:
        """
        Wait until all connections are closed.

        @param timeout: the longest time to wait, in seconds.
        @return: fires with C{None} when no connection is open; fails with C{TimeoutError} if
            that takes too long.
        """
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._fire_if_closed()
        return waiting.addTimeout(timeout, self._reactor)

    def remember(self, request: Request) -> None:
        """Record a request; called by a connection."""
        self.received += 1
        self.requests.append(request)
        if self._on_request is not None:
            self._on_request(request)

    def forget(self, connection: Connection) -> None:
        """Drop a connection; called by the connection when it is lost."""
        self.connections.discard(connection)
        self._fire_if_closed()

    def _fire_if_closed(self) -> None:
        if not self.connections:
            waiting, self._waiting[:] = self._waiting[:], []
            for each in waiting:
                each.callback(None)


@implementer(IPullProducer)
class _Flood:
    """Produces one piece whenever the transport asks for more, so that memory use stays flat."""

    def __init__(self, transport: Any, pieces: Iterator[bytes]) -> None:
        self._transport = transport
        self._pieces = pieces
        self.done: Deferred[None] = Deferred(lambda _: transport.unregisterProducer())

    def resumeProducing(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self._transport.unregisterProducer()
            self.done.callback(None)
        else:
            self._transport.write(piece)

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost, so the mode is being cancelled."""


def _read(received: bytes) -> Request | None:
    """
    Read a request.

    @param received: all bytes received so far.
    @return: the request, or C{None} while it is incomplete.
    @raise ValueError: if the bytes cannot become a request.
    """
    head, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        return None
    line, *fields = head.split(b"\r\n")
    if not _LINE.match(line):
        raise ValueError("the request line is malformed")
    headers = Headers()
    for field in fields:
        name, _, value = field.partition(b":")
        headers.addRawHeader(name, value.strip())
    if headers.hasHeader(b"transfer-encoding"):
        body = _unchunk(rest)
    else:
        lengths = headers.getRawHeaders(b"content-length") or [b"0"]
        if not lengths[0].isdigit():
            raise ValueError("the Content-Length is malformed")
        length = int(lengths[0])
        body = rest[:length] if len(rest) >= length else None
    return None if body is None else Request(line, headers, body)


def _unchunk(data: bytes) -> bytes | None:
    """Decode a chunked body (RFC 9112 7.1); C{None} while it is incomplete."""
    body, position = b"", 0
    while (chunk := _CHUNK.match(data, position)) is not None:
        size = int(chunk[1], 16)
        if size == 0:
            # The blank line follows the last chunk at once, or after trailers.
            return body if data.find(b"\r\n\r\n", chunk.end() - 2) >= 0 else None
        body += data[chunk.end() : chunk.end() + size]
        position = chunk.end() + size + 2
    return None
