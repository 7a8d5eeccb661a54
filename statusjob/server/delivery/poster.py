"""
Posts to receivers that nobody trusts, over connections that are kept for a moment.

One post is one request with one deadline. There are no redirects, no
decompression and no cookies; how little is read of an answer is said in
L{statusjob.server.delivery.connection}. Connections to an origin are kept for a
moment, because an origin that has one delivery often has the next. A kept one that
brings no answer costs no attempt: the request is sent again on a new one, and its
origin keeps no connections for a while. The endpoint decides which address is
dialled (L{statusjob.server.delivery.guard}).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from statusjob.failures import ExchangeFailed, classify
from statusjob.server.delivery.answer import ReceiverAnswer
from statusjob.server.delivery.connection import Connection

#: Seconds for one post, from the lookup of the host's name to the headers of the answer.
DEADLINE = 15.0
#: Seconds for the body of an answer, after its headers.
BODY_GRACE = 1.0
#: A connection is kept idle for at least so many seconds, and at most twice as many.
KEEP_SECONDS = 2.0
#: Most idle connections that are kept: to one origin, and in all.
KEEP_LIMIT = 16
KEEP_TOTAL = 256
#: Seconds after which a connection is not used again, so that an origin whose name leads elsewhere
#: by now is followed. With the post under way then, a connection lives for a minute at most.
GREATEST_AGE = 45.0
#: Seconds for which an origin keeps no connections after a kept one brought no answer.
DISTRUST_SECONDS = 600.0
#: Most origins that are distrusted; beyond it, the ones distrusted for longest are forgotten.
DISTRUSTED = 4096

#: The status code of a receiver that waited for a request for too long.
REQUEST_TIMEOUT = 408

#: Makes the endpoint to dial for an origin.
Connect = Callable[[str], IStreamClientEndpoint]


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where to post.

    @ivar origin: the origin as C{scheme://host:port}. Its posts share connections.
    @ivar head: the request line and the headers that are the same for every post, each line with
        its line ending.
    """

    origin: str
    head: bytes = field(repr=False)


class Poster:
    """Posts, and owns the connections that posts are made over."""

    def __init__(self, reactor: IReactorTime, connect: Connect) -> None:
        """
        @param connect: makes the endpoint to dial for an origin.
        """
        self._reactor = reactor
        self._connect = connect
        self._idle: dict[str, list[Connection]] = {}
        self._idle_count = 0
        self._distrusted: dict[str, float] = {}
        self._sweep: IDelayedCall | None = None
        self._open: set[Connection] = set()
        self._closed: Deferred[None] | None = None

    def post(self, target: Target, headers: bytes, body: bytes) -> Deferred[ReceiverAnswer]:
        """
        Send one request.

        A kept connection may turn out to be closed by the other side, or bring what is left of an
        earlier answer. Then the request is sent again on a new one: a receiver recognises a
        repetition by its id.

        @param headers: the headers of this post alone, each line with its line ending.
        @return: a Deferred that fires with the answer, or fails with L{ExchangeFailed}. It may be
            cancelled.
        """
        return Posting(self._reactor, self, target, headers, body).begin()

    def take(self, origin: str) -> Connection | None:
        """Take a kept connection to C{origin}, if there is one that is not too old."""
        while kept := self._idle.get(origin):
            connection = kept.pop()
            if not kept:
                del self._idle[origin]
            self._idle_count -= 1
            if self._reactor.seconds() - connection.opened_at < GREATEST_AGE:
                return connection
            connection.abort()
        return None

    def distrust(self, origin: str) -> None:
        """Keep no connections to C{origin} for a while: a kept one has brought no answer."""
        now = self._reactor.seconds()
        self._distrusted.pop(origin, None)
        self._distrusted[origin] = now + DISTRUST_SECONDS
        if len(self._distrusted) > DISTRUSTED:
            del self._distrusted[next(iter(self._distrusted))]
        for connection in self._idle.get(origin, [])[:]:
            connection.abort()

    def _trusts(self, origin: str) -> bool:
        until = self._distrusted.get(origin)
        if until is None:
            return True
        if until > self._reactor.seconds():
            return False
        del self._distrusted[origin]
        return True

    def open(self, origin: str) -> Deferred[Connection]:
        """Make a new connection to C{origin}."""
        factory = Factory.forProtocol(lambda: Connection(self, origin))
        factory.noisy = False
        opening: Deferred[Any] = self._connect(origin).connect(factory)
        return opening

    def keep(self, connection: Connection) -> None:
        """Keep an idle connection for a moment, if there is room and its origin is trusted."""
        if not self._trusts(connection.origin):
            connection.abort()
            return
        kept = self._idle.setdefault(connection.origin, [])
        if len(kept) >= KEEP_LIMIT or self._idle_count >= KEEP_TOTAL:
            connection.abort()
            return
        kept.append(connection)
        self._idle_count += 1
        connection.idle_since = self._reactor.seconds()
        if self._sweep is None:
            self._sweep = self._reactor.callLater(KEEP_SECONDS, self._swept)

    def opened(self, connection: Connection) -> None:
        """Note that a connection was made."""
        connection.opened_at = self._reactor.seconds()
        self._open.add(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)
        kept = self._idle.get(connection.origin, [])
        if connection in kept:
            kept.remove(connection)
            self._idle_count -= 1
            if not kept:
                del self._idle[connection.origin]
        if self._closed is not None and not self._open:
            self._closed.callback(None)

    def start(self) -> None:
        """Do nothing. Posts make the connections."""

    def stop(self, seconds: float = 0.0) -> Deferred[None]:
        """
        Abort every connection. No post may be under way.

        @param seconds: not used. No connection is in use any more.
        @return: a Deferred that fires when they are gone.
        """
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in tuple(self._open):
            connection.abort()
        if not self._open:
            return succeed(None)
        self._closed = Deferred()
        return self._closed

    def _swept(self) -> None:
        """Abort connections that were idle for too long, and sweep again later if any are left."""
        self._sweep = None
        latest = self._reactor.seconds() - KEEP_SECONDS
        for kept in tuple(self._idle.values()):
            for connection in tuple(kept):
                if connection.idle_since <= latest:
                    connection.abort()
        if self._idle and self._sweep is None:
            self._sweep = self._reactor.callLater(KEEP_SECONDS, self._swept)


class Posting:
    """One post, over one connection, or over two if the first was kept and brought no answer."""

    def __init__(
        self,
        reactor: IReactorTime,
        poster: Poster,
        target: Target,
        headers: bytes,
        body: bytes,
    ) -> None:
        self._reactor = reactor
        self._poster = poster
        self._origin = target.origin
        self._request = b"%b%bcontent-length: %d\r\n\r\n%b" % (
            target.head,
            headers,
            len(body),
            body,
        )
        self._connection: Connection | None = None
        self._opening: Deferred[Connection] | None = None
        self._kept = False
        self._over = False

    def begin(self) -> Deferred[ReceiverAnswer]:
        """Send the request; see L{Poster.post}."""
        self._done: Deferred[ReceiverAnswer] = Deferred(lambda _: self._abandon())
        self._timer = self._reactor.callLater(DEADLINE, self._expired)
        connection = self._poster.take(self._origin)
        if connection is None:
            self._open()
        else:
            self._kept = True
            self._send(connection)
        return self._done

    def answered(self) -> None:
        """Give the body a moment: the status is known, and decides."""
        self._timer.reset(BODY_GRACE)

    def over(self, answer: ReceiverAnswer) -> None:
        """Fire with the answer."""
        if self._kept and answer.status == REQUEST_TIMEOUT:
            # The receiver gave up waiting for a request just when this one was sent.
            self._connection = None
            self._replace()
            return
        self._end()
        self._done.callback(answer)

    def failed(self, failure: Failure) -> None:
        """Fail, or send the request again if a kept connection brought no answer."""
        self._connection = None
        if self._over:
            return
        if self._kept:
            self._replace()
            return
        self._end()
        assert failure.value is not None
        self._done.errback(classify(failure.value))

    def _replace(self) -> None:
        """Send the request again on a new connection. This happens once at most."""
        self._kept = False
        self._poster.distrust(self._origin)
        self._open()

    def _open(self) -> None:
        try:
            self._opening = self._poster.open(self._origin)
        except Exception:
            self._opening = fail(Failure())
        self._opening.addCallbacks(self._send, self.failed)

    def _send(self, connection: Connection) -> None:
        self._opening = None
        if self._over:
            connection.abort()
            return
        self._connection = connection
        connection.send(self._request, self)

    def _expired(self) -> None:
        answer = None if self._connection is None else self._connection.answer()
        self._abandon()
        if answer is None:
            late = ExchangeFailed("timeout", f"no answer within {DEADLINE:g} s")
            self._done.errback(late)
        else:
            self._done.callback(answer)

    def _abandon(self) -> None:
        self._end()
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.abandon()

    def _end(self) -> None:
        self._over = True
        if self._timer.active():
            self._timer.cancel()
