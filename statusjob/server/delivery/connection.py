"""
One connection to a receiver: it sends a request, and reads no more of the answer than it needs.

The status line decides. Of the headers two are kept; of the body only so much is
read that the connection can be used again. An answer that is too long, or not
HTTP, aborts the connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet import protocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from statusjob.failures import ExchangeFailed, FailureKind

#: Most bytes of an answer's body that are read.
ANSWER_BODY_LIMIT = 4096
#: Most bytes of an answer on the wire, headers and all (inside TLS).
WIRE_LIMIT = 64 * 1024
#: The headers of an answer that are looked at.
KEPT_HEADERS = frozenset({b"retry-after", b"date"})


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """
    What a receiver answered.

    @ivar status: the status code, 200 or higher.
    @ivar headers: those of L{KEPT_HEADERS} that the answer had, the first of each; the names are
        in lower case.
    """

    status: int
    headers: dict[bytes, bytes]


class Caller(Protocol):
    """Sent a request over a connection, and is told what came of it."""

    def answered(self) -> None:
        """The status is there; the body is still to come."""

    def over(self, answer: ReceiverAnswer) -> None:
        """The answer is complete, or enough of it is."""

    def failed(self, failure: Failure, *, silent: bool = False) -> None:
        """
        No status came.

        @param silent: whether the connection ended before any byte of an answer came.
        """


class Owner(Protocol):
    """Keeps the connections of all origins."""

    def opened(self, connection: Connection) -> None:
        """A connection was made."""

    def keep(self, connection: Connection) -> None:
        """A connection can be used again."""

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""


class Connection(protocol.Protocol):
    """
    A connection to an origin. It sends one request after the other.

    @ivar origin: where it leads, as C{scheme://host:port}.
    @ivar idle_since: when the last answer was complete, by the reactor's clock.
    """

    transport: Any
    idle_since = 0.0
    _caller: Caller | None = None

    def __init__(self, owner: Owner, origin: str) -> None:
        self._owner = owner
        self.origin = origin

    def connectionMade(self) -> None:
        self._owner.opened(self)

    def send(self, request: bytes, caller: Caller) -> None:
        """
        Send a request. No other may be under way.

        @param request: the whole request, as bytes of HTTP/1.1.
        @param caller: is told what came of it.
        """
        self._caller = caller
        self._received = self._body = self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._complete = self._reusable = False
        self._parser = HttpResponseParser(self)
        self.transport.write(request)

    def answer(self) -> ReceiverAnswer | None:
        """
        Give the answer so far.

        @return: the answer, or C{None} as long as its headers are not complete.
        """
        return ReceiverAnswer(self._status, self._headers) if self._status else None

    def abandon(self) -> None:
        """Abort the connection, and tell its caller nothing more."""
        self._caller = None
        self.abort()

    def abort(self) -> None:
        """Close at once: a hostile receiver would never agree to an orderly end."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        caller = self._caller
        if caller is None:
            # The receiver sends without a request.
            self.abort()
            return
        undecided = not self._status
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._give_up(caller, "connect", "the answer is not HTTP")
            return
        if self._complete:
            self._caller = None
            if self._reusable:
                self._owner.keep(self)
            else:
                self.abort()
            caller.over(ReceiverAnswer(self._status, self._headers))
        elif self._body > ANSWER_BODY_LIMIT or self._received > WIRE_LIMIT:
            self._give_up(caller, "too-big", "the answer is too long")
        elif undecided and self._status:
            caller.answered()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._owner.lost(self)
        caller, self._caller = self._caller, None
        if caller is not None:
            answer = self.answer()
            if answer is None:
                caller.failed(reason, silent=not self._received)
            else:
                caller.over(answer)

    def _give_up(self, caller: Caller, kind: FailureKind, reason: str) -> None:
        """Read no more of an answer. If its status is known, that stands."""
        self._caller = None
        self.abort()
        answer = self.answer()
        if answer is None:
            caller.failed(Failure(ExchangeFailed(kind, reason)))
        else:
            caller.over(answer)

    # The parser calls these.

    def on_message_begin(self) -> None:
        # A second answer to one request would be taken for the answer to the next one.
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
            # After 100 Continue or 103 Early Hints the answer is still to come.
            self._headers = {}
        else:
            self._status = status

    def on_body(self, body: bytes) -> None:
        self._body += len(body)

    def on_message_complete(self) -> None:
        if self._status and not self._complete:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()
