"""
Connections, with bounds on what comes in, on the time that it takes, and on how long an answer may
wait to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http_headers import Headers
from zope.interface import implementer

from statusjob.contract.codec import BODY_LIMIT
from statusjob.server.twisted_private import MalformedRequestChannel
from statusjob.server.web.problems import Problem
from statusjob.server.web.writing import head_bytes

if TYPE_CHECKING:
    from statusjob.server.site.site import BoundedSite

#: Seconds for which more of a request that was refused is read and thrown away.
LINGER_SECONDS = 2.0
#: Bytes of such a request that are read and thrown away; at more the connection is aborted.
LINGER_LIMIT = 16 * BODY_LIMIT
#: Bytes of pipelined requests that may wait for a turn. Beyond, no more are read.
READ_AHEAD = 16_384
#: Most bytes of a chunked body that are parsed in one turn: its chunks may be of one byte each.
CHUNKED_PIECE = 1_024
#: Seconds within which a client must have read an answer, or the connection is aborted.
ANSWER_SECONDS = 60.0
#: A large answer may take longer: this is the least number of bytes to be read in a second.
LEAST_RATE = 65_536
#: The longest time that any answer may take.
ANSWER_SECONDS_LIMIT = 600.0
#: Seconds for which the other end of TLS may take to say that it closes, too.
TLS_CLOSE_SECONDS = 1.0
#: Seconds after its request within which a client is answered that has said that it sends no
#: more. Then it counts as gone: a client that has hung up looks the same.
HALF_CLOSED_SECONDS = 2.0
#: The first letters of header lines that may say where a request ends.
_MAY_FRAME = frozenset(b"CcTt")
#: Most digits of a Content-Length.
LENGTH_DIGITS = 20


@implementer(IHalfCloseableProtocol)
class BoundedChannel(MalformedRequestChannel):
    """
    A connection whose requests are bounded in size and time.

    Of several requests that were sent at once (pipelined), the first is answered at once. The
    others wait for turns of the site: otherwise all would be answered in one iteration of the
    reactor. C{paused}, by which the base class stops parsing, is set meanwhile.

    @ivar receiving_since: when the request that is being received began to arrive, in seconds by
        the reactor; C{None} if none is being received.
    @ivar answering_since: when the request arrived that is not answered yet; C{None} if there is
        none.
    @ivar refused: whether a request was refused before it had arrived. No more are read.
    @ivar _rest: what waits for a turn to be parsed.
    @ivar _reader_is_slow: whether the transport has asked to write no more for now.
    """

    # Python looks attributes up faster if they are not too many in the dictionary of an object.
    __slots__ = (
        "_answer_size",
        "_closing",
        "_discarded",
        "_reader_is_slow",
        "_reading_stopped",
        "_rest",
        "_sends_no_more",
        "_timer",
        "answering_since",
        "receiving_since",
        "refused",
    )

    site: BoundedSite
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.receiving_since: float | None = None
        self.answering_since: float | None = None
        self.refused = False
        self._rest = b""
        self._reading_stopped = False
        self._reader_is_slow = False
        self._closing = False
        self._sends_no_more = False
        self._discarded = 0
        self._answer_size = 0
        self._timer: IDelayedCall | None = None

    @property
    def waiting(self) -> int:
        """The number of bytes that wait for a turn."""
        return len(self._rest)

    def connectionMade(self) -> None:
        self.site.connection_made(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        self._stop_timer()
        super().connectionLost(reason)
        self.site.connection_closed(self)

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        if self.refused:
            self._discarded += len(data)
            if self._discarded > LINGER_LIMIT:
                self.transport.abortConnection()
        elif self.paused:
            self._rest += data
            self._limit_reading()
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        if self.receiving_since is None and self.answering_since is None:
            self.receiving_since = self.site.reactor.seconds()
        later = b""
        if self.length is None:
            data, later = data[:CHUNKED_PIECE], data[CHUNKED_PIECE:]
        super().dataReceived(data)
        if self._closing or self.refused:
            return
        if self.answering_since is not None:
            if later:
                super().dataReceived(later)
        elif self.paused and self.length is None:
            # The head of a request with a chunked body has just been parsed.
            self.paused = False
            if body := self.clearLineBuffer():
                self._parse(body)
        elif later or self.paused:
            self._wait_for_turn(later)

    def _wait_for_turn(self, later: bytes = b"") -> None:
        """
        Have the site call L{take_turn} soon, if there is anything left to parse.

        @param later: follows what is left already.
        """
        if self.refused or self._closing:
            return
        self._rest += self.clearLineBuffer() + later
        self.paused = bool(self._rest)
        if self._rest and not self._reader_is_slow:
            self.site.turns.add(self)
        self._limit_reading()

    def take_turn(self) -> None:
        """Go on with what has been received."""
        data, self._rest = self._rest, b""
        self.paused = False
        self._parse(data)
        self._limit_reading()

    def _limit_reading(self) -> None:
        """Read no more while too much waits for a turn."""
        if self._closing:
            return
        if len(self._rest) > READ_AHEAD:
            self._reading_stopped = True
            self.transport.pauseProducing()
        elif self._reading_stopped and not self._reader_is_slow:
            self._reading_stopped = False
            # While a request is being answered, Twisted keeps what comes, and reads on afterwards.
            if self.answering_since is None:
                self.transport.resumeProducing()

    def headerReceived(self, line: bytes) -> bool:
        if line[0] in _MAY_FRAME and not _is_valid_framing(line):
            self.refuse_malformed()
            return False
        valid: bool = super().headerReceived(line)
        return valid

    def lineLengthExceeded(self, line: bytes) -> None:
        # Before its first line has arrived, there is no request.
        if self.requests:
            self.refuse_head()
        else:
            self.refuse(Problem("target-too-long", "the request target is too long"))

    def allHeadersReceived(self) -> None:
        if self.length is not None and self.length > BODY_LIMIT:
            self.refuse_body()
        else:
            super().allHeadersReceived()
            # Of a chunked body, only a piece is parsed in each turn.
            self.paused = self.length is None

    def allContentReceived(self) -> None:
        self.receiving_since = None
        site = self.site
        if site.bodies.size:
            site.bodies.remove(self)
        if not self.refused:
            self.answering_since = site.reactor.seconds()
            site.idle.pop(self, None)
            super().allContentReceived()

    def requestDone(self, request: http.Request) -> None:
        self.answering_since = None
        self._answer_size = request.sentLength
        # What came meanwhile may be the next request.
        self.paused = True
        super().requestDone(request)
        if self._closing:
            return
        self.site.idle[self] = None
        rest = self.clearLineBuffer()
        if rest or self._rest:
            self._wait_for_turn(rest)
            return
        self.paused = False
        if self._reader_is_slow:
            self.setTimeout(self._answer_seconds())
        if self._sends_no_more:
            self.loseConnection()

    def _answer_seconds(self) -> float:
        """How long the client may take to read the last answer."""
        return min(ANSWER_SECONDS + self._answer_size / LEAST_RATE, ANSWER_SECONDS_LIMIT)

    def pauseProducing(self) -> None:
        self._reader_is_slow = True
        self.site.turns.discard(self)
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._reader_is_slow = False
        super().resumeProducing()
        if self.answering_since is None and not self._closing:
            self.setTimeout(self.site.timeOut)
            if self._rest:
                self._wait_for_turn()

    def readConnectionLost(self) -> None:
        """
        Answer what the client has sent, then close the connection: it sends no more. A client that
        has hung up looks the same, so wait for the answer for a short time only.
        """
        self._sends_no_more = True
        if self.answering_since is not None:
            waited = self.site.reactor.seconds() - self.answering_since
            self._set_timer(HALF_CLOSED_SECONDS - waited, self._abort)
        elif not self._rest:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: this end is never closed alone."""

    def loseConnection(self) -> None:
        begin, self._closing = not self._closing, True
        self._rest = b""
        self.site.turns.discard(self)
        super().loseConnection()
        if not begin or self not in self.site.channels:
            return
        if self.isSecure():
            self._set_timer(TLS_CLOSE_SECONDS, self._close_beneath_tls)
        else:
            self._set_timer(self._answer_seconds(), self._abort_unread)

    def timeoutConnection(self) -> None:
        # Twisted would log this for every idle connection.
        if self._reader_is_slow:
            self._abort_unread()
        else:
            self.loseConnection()

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        # In one piece. Twisted would pass every name, colon and value on by itself.
        self.transport.write(head_bytes(version, code, reason, headers))

    def refuse_body(self) -> None:
        """Refuse a request whose body is too large."""
        self.refuse(Problem("too-large", f"a body may have at most {BODY_LIMIT} bytes"))

    def refuse_head(self) -> None:
        """Refuse a request whose headers are too large or too many."""
        self.refuse(
            Problem(
                "head-too-large", f"all headers together may have {self.totalHeadersSize} bytes"
            )
        )

    def refuse(self, problem: Problem) -> None:
        """
        Answer a request that has not arrived yet, and close the connection after
        L{LINGER_SECONDS}. What the client sends until then is read and thrown away: to close a
        connection that has unread data would reset it, and the client would lose the answer.
        """
        if self.refused or self._closing:
            return
        self.refused = True
        self.paused = True
        self._rest = b""
        self.site.turns.discard(self)
        self.receiving_since = None
        self.site.bodies.remove(self)
        for request in self.requests:
            if request.content is not None:
                request.content.close()
        self._write_problem(problem)
        self._set_timer(LINGER_SECONDS, self.loseConnection)

    def refuse_malformed(self) -> None:
        self._write_problem(Problem("invalid-request", "this is not a valid HTTP request"))
        self.loseConnection()

    def abort_slow_request(self) -> None:
        """Abort the connection: its client takes too long to send a request."""
        self.site.limits.note("slow-requests")
        self._abort()

    def _abort_unread(self) -> None:
        self.site.limits.note("unread-answers")
        self._abort()

    def _abort(self) -> None:
        self.transport.abortConnection()

    def _close_beneath_tls(self) -> None:
        """Wait no longer for the other end to say that it closes, too (RFC 8446 6.1)."""
        self._set_timer(self._answer_seconds(), self._abort_unread)
        # What is unsent still is sent first.
        self.transport.transport.loseConnection()

    def _set_timer(self, seconds: float, call: Callable[[], object]) -> None:
        """Call C{call} later, instead of what was to be called."""
        self._stop_timer()
        self._timer = self.callLater(max(0.0, seconds), call)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _write_problem(self, problem: Problem) -> None:
        """Answer where there is no request object that could."""
        body = problem.body()
        headers = {
            **problem.headers,
            "content-type": "application/problem+json",
            "content-length": str(len(body)),
            "connection": "close",
        }
        self.writeHeaders(
            b"HTTP/1.1",
            b"%d" % problem.status,
            http.RESPONSES.get(problem.status, b""),
            Headers({name: [value] for name, value in headers.items()}),
        )
        self.transport.write(body)


def _is_valid_framing(line: bytes) -> bool:
    """
    Whether a header line may say where a request ends. Twisted takes C{Transfer-Encoding:
    identity} for none, and fails on a number of thousands of digits.
    """
    name, _, value = line.partition(b":")
    match name.lower():
        case b"transfer-encoding":
            return value.strip(b" \t").lower() == b"chunked"
        case b"content-length":
            return len(value.strip(b" \t")) <= LENGTH_DIGITS
    return True
