"""
Posting to receivers that nobody trusts: one request, the status of its answer, on time.

The status decides as soon as it is there; of a body only so much is read that the
connection can be used again, and if that takes too long or too much the
connection is cut. No redirects, no decompression, no cookies; whatever a receiver
sends, little of it is taken in and nothing of it is kept but two headers.
Connections to an origin are kept for a moment, because an origin that has one
delivery often has the next. Which address is dialled is the endpoint's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from statusjob.failures import ExchangeFailed, FailureKind, classify

#: Seconds for one post, and for the body of its answer past the headers; bytes of that body.
DEADLINE = 15.0
BODY_GRACE = 1.0
BODY_LIMIT = 4096
#: Most bytes of an answer on the wire, headers and all (inside TLS).
WIRE_LIMIT = 64 * 1024
#: Seconds for which a connection is kept idle, about, and how many are: to one origin, and in all.
KEEP_SECONDS = 2.0
KEEP_LIMIT = 16
KEEP_TOTAL = 256


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where to post.

    @ivar origin: C{scheme://host:port}: what connections are kept for.
    @ivar head: the request line and the headers that are the same for every post, in full lines.
    """

    origin: str
    head: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What came back.

    @ivar headers: those of L{KEPT_HEADERS} that were there, the first of each.
    """

    status: int
    headers: dict[bytes, bytes]


#: What is looked at of an answer besides its status.
KEPT_HEADERS = frozenset({b"retry-after", b"date"})

Connect = Callable[[str], IStreamClientEndpoint]


class Poster:
    """Posts, over connections of its own."""

    def __init__(self, reactor: IReactorTime, connect: Connect) -> None:
        """
        @param connect: the endpoint to dial for an origin.
        """
        self._reactor = reactor
        self._connect = connect
        self._idle: dict[str, list[_Connection]] = {}
        self._idle_count = 0
        self._sweep: IDelayedCall | None = None
        self._open: set[_Connection] = set()
        self._closed: Deferred[None] | None = None

    def post(self, target: Target, headers: bytes, body: bytes) -> Deferred[Answer]:
        """
        Post once.

        A kept connection may turn out to be closed by the other side: then the request is sent
        again on a new one, because a receiver tells repetitions by their id.

        @param headers: further ones, in full lines.
        @return: fires with the L{Answer}, or fails with L{ExchangeFailed}. May be cancelled.
        """
        return _Post(self._reactor, self, target, headers, body).begin()

    def take(self, origin: str) -> _Connection | None:
        """A kept connection to C{origin}."""
        kept = self._idle.get(origin)
        if not kept:
            return None
        connection = kept.pop()
        if not kept:
            del self._idle[origin]
        self._idle_count -= 1
        return connection

    def open(self, origin: str) -> Deferred[_Connection]:
        """A new connection to C{origin}."""
        factory = Factory.forProtocol(lambda: _Connection(self, origin))
        factory.noisy = False
        opening: Deferred[Any] = self._connect(origin).connect(factory)
        return opening

    def keep(self, connection: _Connection) -> None:
        """Keep an idle connection for a moment, if there is room."""
        kept = self._idle.setdefault(connection.origin, [])
        if len(kept) >= KEEP_LIMIT or self._idle_count >= KEEP_TOTAL:
            connection.abort()
            return
        kept.append(connection)
        self._idle_count += 1
        connection.idle_since = self._reactor.seconds()
        if self._sweep is None:
            self._sweep = self._reactor.callLater(KEEP_SECONDS, self._swept)

    def opened(self, connection: _Connection) -> None:
        """A connection is there."""
        self._open.add(connection)

    def lost(self, connection: _Connection) -> None:
        """A connection is gone."""
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
        """Do nothing: connections are opened by posts."""

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
        self._sweep = None
        # A clock that was set makes no difference: at worst a connection is kept once longer.
        before = self._reactor.seconds() - KEEP_SECONDS
        for kept in tuple(self._idle.values()):
            for connection in tuple(kept):
                if not before < connection.idle_since <= before + KEEP_SECONDS:
                    connection.abort()
        if self._idle and self._sweep is None:
            self._sweep = self._reactor.callLater(KEEP_SECONDS, self._swept)


class _Post:
    """One request, over one connection or, if a kept one was stale, two."""

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
        self._connection: _Connection | None = None
        self._opening: Deferred[_Connection] | None = None
        self._stale = False
        self._over = False

    def begin(self) -> Deferred[Answer]:
        self._done: Deferred[Answer] = Deferred(lambda _: self._abandon())
        self._timer = self._reactor.callLater(DEADLINE, self._expired)
        connection = self._poster.take(self._origin)
        if connection is None:
            self._open()
        else:
            self._stale = True
            self._send(connection)
        return self._done

    def answered(self) -> None:
        """The status is there, and decides; the body may come for a moment."""
        self._timer.reset(BODY_GRACE)

    def over(self, answer: Answer) -> None:
        """The answer is complete, or enough of it."""
        self._end()
        self._done.callback(answer)

    def failed(self, failure: Failure, *, silent: bool = False) -> None:
        """
        It came to nothing.

        @param silent: whether the connection ended before any byte of an answer came.
        """
        self._connection = None
        if self._over:
            return
        if self._stale and silent:
            self._stale = False
            self._open()
            return
        self._end()
        assert failure.value is not None
        self._done.errback(classify(failure.value))

    def _open(self) -> None:
        try:
            self._opening = self._poster.open(self._origin)
        except Exception:
            self._opening = fail(Failure())
        self._opening.addCallbacks(self._send, self.failed)

    def _send(self, connection: _Connection) -> None:
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


class _Connection(Protocol):
    """
    A connection to an origin, serving one post after the other.

    @ivar idle_since: when the last one was over.
    """

    transport: Any
    idle_since = 0.0
    _post: _Post | None = None

    def __init__(self, poster: Poster, origin: str) -> None:
        self._poster = poster
        self.origin = origin

    def connectionMade(self) -> None:
        self._poster.opened(self)

    def send(self, request: bytes, post: _Post) -> None:
        """Send a request on behalf of C{post}, which is told what comes of it."""
        self._post = post
        self._received = self._body = self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._complete = self._reusable = False
        self._parser = HttpResponseParser(self)
        self.transport.write(request)

    def answer(self) -> Answer | None:
        """What was answered, once the headers are there."""
        return Answer(self._status, self._headers) if self._status else None

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self._post = None
        self.abort()

    def abort(self) -> None:
        """Close at once: a hostile receiver would never agree to the end."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        post = self._post
        if post is None:
            # Nothing was asked.
            self.abort()
            return
        undecided = not self._status
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._give_up(post, "connect", "the answer is not HTTP")
            return
        if self._complete:
            self._post = None
            if self._reusable:
                self._poster.keep(self)
            else:
                self.abort()
            post.over(Answer(self._status, self._headers))
        elif self._body > BODY_LIMIT or self._received > WIRE_LIMIT:
            self._give_up(post, "too-big", "more bytes than an answer may have")
        elif undecided and self._status:
            post.answered()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._poster.lost(self)
        post, self._post = self._post, None
        if post is not None:
            answer = self.answer()
            if answer is None:
                post.failed(reason, silent=not self._received)
            else:
                post.over(answer)

    def _give_up(self, post: _Post, kind: FailureKind, reason: str) -> None:
        """Take no more of an answer; what has been decided stands."""
        self._post = None
        self.abort()
        answer = self.answer()
        if answer is None:
            post.failed(Failure(ExchangeFailed(kind, reason)))
        else:
            post.over(answer)

    # What the parser calls.

    def on_message_begin(self) -> None:
        # More than one answer to one request: what comes next would be taken for the next answer.
        self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in KEPT_HEADERS and not self._status:
            self._headers.setdefault(name, value)

    def on_headers_complete(self) -> None:
        if self._status:
            return
        status = self._parser.get_status_code()
        if status < 200:
            # 100 Continue or Early Hints: the answer is still to come.
            self._headers = {}
        else:
            self._status = status

    def on_body(self, body: bytes) -> None:
        self._body += len(body)

    def on_message_complete(self) -> None:
        if self._status and not self._complete:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()
