"""
The site and its connections, with bounds on what comes in and an orderly end.

Bodies, connections and the time to send a request are bounded here, before any
route runs. When the server stops, idle connections are closed, requests that
are being answered may finish, and every answer closes its connection.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from statusjob.contract.codec import BODY_LIMIT
from statusjob.server.twisted_private import MalformedRequestChannel
from statusjob.server.web.problems import Problem

#: Seconds that a connection may be idle between two requests.
IDLE_SECONDS = 60
#: Seconds that a client may take to send one request.
REQUEST_SECONDS = 60.0
#: Seconds between two looks for clients that take longer.
SWEEP_SECONDS = 5.0
#: Seconds for which more of a body that is too large is read and thrown away.
LINGER_SECONDS = 2.0
#: Most bytes of such a body that are read. Beyond, the connection is aborted.
LINGER_LIMIT = 16 * BODY_LIMIT
#: Most connections at the same time.
CONNECTION_LIMIT = 25_000

#: A request target in absolute form: its authority, and its path with the query.
_ABSOLUTE = re.compile(rb"\Ahttps?://([^/?]*)/?(.*)\Z", re.IGNORECASE | re.DOTALL)


class BoundedRequest(Request):
    """A request whose body is bounded."""

    channel: BoundedChannel

    def __init__(self, channel: BoundedChannel, *args: object) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self._site = channel.site
        self._received = 0

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > BODY_LIMIT:
            self.channel.refuse_body()
        elif not self.channel.refused:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        absolute = _ABSOLUTE.match(path)
        if absolute is not None:
            # The Host header does not count then (RFC 9112 3.2.2).
            self.requestHeaders.setRawHeaders(b"host", [absolute[1]])
            path = b"/" + absolute[2]
        super().requestReceived(command, path, version)

    def getRequestHostname(self) -> bytes:
        # Klein asks for this, but no route depends on it. Twisted fails on a UNIX socket.
        return b"localhost"

    def write(self, data: bytes) -> None:
        if self._site.draining and not self.startedWriting and self.channel is not None:
            self.setHeader(b"connection", b"close")
            self.channel.persistent = False
        super().write(data)

    def finish(self) -> None:
        if self._site.draining and self.channel is not None:
            # The answer may have begun before the server was stopped, as that of a stream does.
            self.channel.persistent = False
        super().finish()


class BoundedChannel(MalformedRequestChannel):
    """
    A connection whose requests are bounded in size and time.

    @ivar receiving_since: when the request that is being received began to arrive, in seconds by
        the reactor; C{None} if none is being received.
    @ivar answering: whether a request was received whole and is not answered yet.
    @ivar refused: whether a body was too large. It was answered 413, and no more requests are
        read.
    """

    site: BoundedSite
    transport: Any
    receiving_since: float | None = None
    answering = False
    refused = False
    _discarded = 0
    _close_timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self.site.channels.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._close_timer is not None and self._close_timer.active():
            self._close_timer.cancel()
        super().connectionLost(reason)
        self.site.connection_closed(self)

    def dataReceived(self, data: bytes) -> None:
        if self.refused:
            self._discarded += len(data)
            if self._discarded > LINGER_LIMIT:
                self.transport.abortConnection()
            return
        if self.receiving_since is None and not self.answering:
            self.receiving_since = self.site.reactor.seconds()
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        if self.length is not None and self.length > BODY_LIMIT:
            self.refuse_body()
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        self.receiving_since = None
        if not self.refused:
            self.answering = True
            super().allContentReceived()

    def requestDone(self, request: http.Request) -> None:
        # Before Twisted reads what came meanwhile: that may be the next request.
        self.answering = False
        super().requestDone(request)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        # In one piece. Twisted would pass every name, colon and value on by itself.
        lines = [b"%b %b %b\r\n" % (version, code, reason)]
        for name, values in headers.getAllRawHeaders():
            lines += [b"%b: %b\r\n" % (name, value) for value in values]
        lines.append(b"\r\n")
        self.transport.write(b"".join(lines))

    def refuse_body(self) -> None:
        """
        Answer 413, and close the connection after L{LINGER_SECONDS}. What the client sends until
        then is read and thrown away: to close a connection that has unread data would reset it,
        and the client would lose the answer.
        """
        if self.refused:
            return
        self.refused = True
        self.receiving_since = None
        self._write_problem(Problem("too-large", f"a body may have at most {BODY_LIMIT} bytes"))
        self._close_timer = self.callLater(LINGER_SECONDS, self.loseConnection)

    def refuse_malformed(self) -> None:
        self._write_problem(Problem("invalid-request", "this is not a valid HTTP request"))
        self.loseConnection()

    def _write_problem(self, problem: Problem) -> None:
        """Answer where there is no request object that could."""
        body = problem.body()
        self.writeHeaders(
            b"HTTP/1.1",
            b"%d" % problem.status,
            http.RESPONSES.get(problem.status, b""),
            Headers(
                {
                    b"content-type": [b"application/problem+json"],
                    b"content-length": [b"%d" % len(body)],
                    b"connection": [b"close"],
                }
            ),
        )
        self.transport.write(body)


class BoundedSite(Site):
    """
    The site with all its connections.

    @ivar channels: the open connections.
    @ivar draining: whether the server is stopping.
    """

    # Not Twisted's proxy in front of the channel: that is needed for HTTP/2 only.
    protocol: Any = BoundedChannel
    noisy = False

    def __init__(self, resource: IResource, reactor: IReactorTime) -> None:
        super().__init__(
            resource, requestFactory=BoundedRequest, timeout=IDLE_SECONDS, reactor=reactor
        )
        self.channels: set[BoundedChannel] = set()
        self.draining = False
        self._drained: Deferred[None] | None = None
        self._sweep = LoopingCall(self._abort_slow)
        self._sweep.clock = reactor

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def startFactory(self) -> None:
        super().startFactory()
        self._sweep.start(SWEEP_SECONDS, now=False)

    def stopFactory(self) -> None:
        self._sweep.stop()
        super().stopFactory()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return None if len(self.channels) >= CONNECTION_LIMIT else super().buildProtocol(addr)

    def log(self, request: http.Request) -> None:
        """Write no access log: proxies write better ones, and polls would drown the rest."""

    def connection_closed(self, channel: BoundedChannel) -> None:
        """Note that a connection has been closed."""
        self.channels.discard(channel)
        if not self.channels and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    async def drain(self, seconds: float) -> int:
        """
        Close idle connections at once, and the others as soon as they are answered. Abort those
        that are left when time is up. All ports must have been closed before.

        @param seconds: how long answers may take.
        @return: how many connections were aborted.
        """
        self.draining = True
        for channel in tuple(self.channels):
            if not channel.requests:
                channel.loseConnection()
        if not self.channels:
            return 0
        self._drained = Deferred()
        drained = self._drained
        timer = self.reactor.callLater(seconds, drained.callback, None)
        await drained
        if timer.active():
            timer.cancel()
        self._drained = None
        rest = tuple(self.channels)
        for channel in rest:
            channel.transport.abortConnection()
        return len(rest)

    def _abort_slow(self) -> None:
        """Abort connections that have been sending one request for too long."""
        latest = self.reactor.seconds() - REQUEST_SECONDS
        for channel in tuple(self.channels):
            if channel.receiving_since is not None and channel.receiving_since < latest:
                channel.transport.abortConnection()
