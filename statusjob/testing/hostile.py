"""
A receiver of webhooks, or any other server, that treats whoever calls on it badly.

It works on the transport: each connection is a L{Connection}, on which one request is read and a
L{Mode} acts. How it acts badly is the matter of C{statusjob.testing.modes}, or of a mode of your
own; a mode is a coroutine, begun with its connection and cancelled when that is lost, so that no
timer and no producer outlives it. It is no web server: it reads one request a connection.
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

#: Most bytes of one request, headers and all; most requests that are remembered.
REQUEST_LIMIT = 2 * 1024 * 1024
REMEMBERED = 100
#: Seconds between two looks whether the other side has left, where nothing is read.
LOOK = 0.05

_LINE = re.compile(rb"\A[!-~]+ [!-~]+ HTTP/1\.[01]\Z")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """
    What was asked.

    @ivar line: such as C{b"POST /hook HTTP/1.1"}.
    @ivar body: all of it, without the encoding of its transfer.
    """

    line: bytes
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, or C{None}."""
        values = self.headers.getRawHeaders(name.encode("ascii"))
        return values[0].decode("latin-1") if values else None


class Connection(Protocol):
    """
    What a mode acts on.

    @ivar transport: to write to, to close, to abort.
    """

    factory: HostileReceiver
    transport: Any
    _log = Logger()

    def __init__(self, reactor: Any, mode: Mode) -> None:
        self._reactor = reactor
        self._mode = mode
        self._unread = bytearray()
        self._spoken: Deferred[None] = Deferred()
        self._requested: Deferred[Request] = Deferred()

    def spoken(self) -> Deferred[None]:
        """Fires when the first bytes have come, whatever they are; for one waiter."""
        return self._spoken

    def request(self) -> Deferred[Request]:
        """Fires when the request has come whole, never if that is not HTTP; for one waiter."""
        return self._requested

    def sleep(self, seconds: float) -> Deferred[None]:
        """Fires after so many seconds."""
        return deferLater(self._reactor, seconds)

    def flood(self, pieces: Iterable[bytes]) -> Deferred[None]:
        """
        Send all these pieces, perhaps without end, each when the one before is sent.

        @return: fires when the last one is written.
        """
        flood = _Flood(self.transport, iter(pieces))
        self.transport.registerProducer(flood, False)
        return flood.done

    async def read_no_more(self) -> None:
        """Read nothing from here on, nor the end of the connection, until the other side left."""
        self.transport.pauseProducing()
        # The end of a connection stands behind what is unread; only Linux shows it before.
        poll = select.poll()
        poll.register(self.transport.fileno(), getattr(select, "POLLRDHUP", select.POLLHUP))
        while not poll.poll(0):
            await self.sleep(LOOK)
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        """Let the mode begin."""
        self.factory.connections.add(self)
        self._work = Deferred.fromCoroutine(self._mode(self))
        self._work.addErrback(self._failed)

    def dataReceived(self, data: bytes) -> None:
        """Read until the request is whole; nothing comes after it."""
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
        """Let the mode end."""
        self._work.cancel()
        self.factory.forget(self)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the mode {mode} failed", failure, mode=self._mode)
            self.transport.abortConnection()


#: What is done with a connection. When it returns, the connection is left open unless it was
#: closed.
Mode = Callable[[Connection], Coroutine[Any, Any, None]]


class HostileReceiver(ServerFactory):
    """
    Treats its first connection in one bad way, the next one in the same or another.

    Listen with it on loopback: C{reactor.listenTCP(0, receiver, interface="127.0.0.1")}.

    @ivar requests: the last 100 that came whole, the oldest first.
    @ivar received: how many those were in all.
    @ivar connections: those open now.
    @ivar accepted: how many those were in all.
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
        @param reactor: for the timers of modes.
        @param mode: for the first connection.
        @param then: for those after it, one each; the last mode is for all that follow.
        @param on_request: called with each request when it has come whole.
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
        """One connection, with the mode whose turn it is."""
        self.accepted += 1
        connection = Connection(self._reactor, next(self._modes))
        connection.factory = self
        return connection

    def wait_until_closed(self, timeout: float = 3.0) -> Deferred[None]:
        """
        Wait for the other side to close all its connections.

        @return: fires once none is open; fails with C{TimeoutError} if that takes longer than
            C{timeout} seconds.
        """
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._tell()
        return waiting.addTimeout(timeout, self._reactor)

    def remember(self, request: Request) -> None:
        """Called by a connection whose request is whole."""
        self.received += 1
        self.requests.append(request)
        if self._on_request is not None:
            self._on_request(request)

    def forget(self, connection: Connection) -> None:
        """Called by a connection that is lost."""
        self.connections.discard(connection)
        self._tell()

    def _tell(self) -> None:
        if not self.connections:
            waiting, self._waiting[:] = self._waiting[:], []
            for each in waiting:
                each.callback(None)


@implementer(IPullProducer)
class _Flood:
    """Has always more to say, but waits to be asked: memory stays flat."""

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
        """The connection is gone, and the mode is cancelled."""


def _read(received: bytes) -> Request | None:
    """
    A request at the beginning of what came; C{None} while it is not whole.

    @raise ValueError: if it never will be one.
    """
    head, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        return None
    line, *fields = head.split(b"\r\n")
    if not _LINE.match(line):
        raise ValueError("no request line")
    headers = Headers()
    for field in fields:
        name, _, value = field.partition(b":")
        headers.addRawHeader(name, value.strip())
    if headers.hasHeader(b"transfer-encoding"):
        body = _unchunk(rest)
    else:
        lengths = headers.getRawHeaders(b"content-length") or [b"0"]
        if not lengths[0].isdigit():
            raise ValueError("no length")
        length = int(lengths[0])
        body = rest[:length] if len(rest) >= length else None
    return None if body is None else Request(line, headers, body)


def _unchunk(data: bytes) -> bytes | None:
    """A chunked body (RFC 9112 7.1) without its trailers; C{None} while it is not whole."""
    body, position = b"", 0
    while (chunk := _CHUNK.match(data, position)) is not None:
        size = int(chunk[1], 16)
        if size == 0:
            # The blank line may be that of the last chunk, or stand after trailers.
            return body if data.find(b"\r\n\r\n", chunk.end() - 2) >= 0 else None
        body += data[chunk.end() : chunk.end() + size]
        position = chunk.end() + size + 2
    return None
