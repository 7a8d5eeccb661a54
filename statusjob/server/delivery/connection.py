"""
One connection to a receiver: it sends a request, and reads no more of the answer than it needs.

A legible status line decides, whatever follows it. Of the headers two are kept; of
the body only so much is read that the connection can be used again. That it can is
believed only after an answer that was HTTP to the letter; any other one, and one that
is too long, aborts the connection.
"""

from __future__ import annotations

from typing import Any, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet import protocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from statusjob.failures import ExchangeFailed, FailureKind
from statusjob.server.delivery.answer import KEPT_HEADERS, ReceiverAnswer, read_leniently

#: Most bytes of an answer's body that are read.
ANSWER_BODY_LIMIT = 4096
#: Most bytes of an answer on the wire, headers and all (inside TLS).
WIRE_LIMIT = 64 * 1024
#: Most bytes of headers that are read of an answer that is not HTTP to the letter.
LENIENT_LIMIT = 4096
#: The headers that tell how long a body is.
LENGTH_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class Caller(Protocol):
    """Sent a request over a connection, and is told what came of it."""

    def answered(self) -> None:
        """The status is there; the body is still to come."""

    def over(self, answer: ReceiverAnswer) -> None:
        """The answer is complete, or enough of it is."""

    def failed(self, failure: Failure) -> None:
        """No legible status came."""


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
    @ivar opened_at: when the connection was made, by the reactor's clock.
    @ivar idle_since: when the last answer was complete, by the reactor's clock.
    """

    transport: Any
    opened_at = idle_since = 0.0
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
        self._complete = self._reusable = self._has_length = False
        self._valid = self._clean = True
        self._head = bytearray()
        self._parser = HttpResponseParser(self)
        self.transport.write(request)

    def answer(self) -> ReceiverAnswer | None:
        """
        Give the answer so far.

        @return: the answer, or C{None} as long as there is no legible status line.
        """
        if self._status:
            return ReceiverAnswer(self._status, self._headers)
        try:
            found = read_leniently(self._head)
        except ValueError:
            return None
        return None if found is None else found[0]

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
        if undecided:
            self._head += data
        if self._valid:
            try:
                self._parser.feed_data(data)
            except (HttpParserError, HttpParserUpgrade):
                self._valid = self._reusable = False
        if self._complete:
            self._caller = None
            if self._reusable:
                self._owner.keep(self)
            else:
                self.abort()
            caller.over(ReceiverAnswer(self._status, self._headers))
        elif self._body > ANSWER_BODY_LIMIT or self._received > WIRE_LIMIT:
            self._give_up(caller, "too-big", "the answer is too long")
        elif not self._valid:
            self._go_on_leniently(caller)
        elif undecided and self._status:
            caller.answered()

    def _go_on_leniently(self, caller: Caller) -> None:
        """Read an answer that is not HTTP to the letter, as far as the end of its headers."""
        try:
            found = None if self._status else read_leniently(self._head)
        except ValueError:
            found = None
        else:
            if not self._status and len(self._head) <= LENIENT_LIMIT and not (found and found[1]):
                if found:
                    caller.answered()
                return
        self._give_up(caller, "connect", "the answer is not HTTP")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._owner.lost(self)
        caller, self._caller = self._caller, None
        if caller is not None:
            answer = self.answer()
            if answer is None:
                caller.failed(reason)
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
        self._reusable = self._has_length = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._has_length |= name in LENGTH_HEADERS
        if name in KEPT_HEADERS and not self._status:
            self._headers.setdefault(name, value)

    def on_headers_complete(self) -> None:
        if self._status:
            return
        status = self._parser.get_status_code()
        # These have no body. Who states a length all the same may well send one, sooner or later.
        if self._has_length and (status < 200 or status in (204, 304)):
            self._clean = False
        if status < 200:
            # After 100 Continue or 103 Early Hints the answer is still to come.
            self._headers = {}
        else:
            self._status = status
            # It need not be read once more.
            self._head = bytearray()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)

    def on_message_complete(self) -> None:
        if self._status and not self._complete:
            self._complete = True
            self._reusable = self._clean and self._parser.should_keep_alive()
