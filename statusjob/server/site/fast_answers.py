"""
Fast answers: polls that are answered before Twisted has parsed them.

A request that is sent in one piece, over a plain connection on which nothing else is under way, is
answered at once if its head has the one form that is read here, and if its answer is ready
(L{statusjob.server.web.ready_answers}). Everything else, and whatever is in doubt, goes on to
L{BoundedChannel} before anything was done about it. The client cannot tell the difference: the
bytes are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from twisted.internet.abstract import FileDescriptor

from statusjob.server.site.channels import BoundedChannel
from statusjob.server.twisted_private import has_unsent
from statusjob.server.web.access import Access
from statusjob.server.web.answers import Conditions
from statusjob.server.web.reading import read_known_tags
from statusjob.server.web.ready_answers import ReadyAnswers

#: Most bytes of the head of a request that is answered fast.
HEAD_LIMIT = 4_096
#: How many sets of header fields are remembered, so that those are not read again which a client
#: sends again.
REMEMBERED = 2_048

#: The end of the first line of such a request.
_END_OF_LINE = b" HTTP/1.1\r\n"
#: The other lines (RFC 9112 5), without what is obsolete or lenient there: no line is folded, all
#: end in CRLF, and no name has a space after it.
_FIELDS = re.compile(rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n){1,100})\r\n")
#: The fields on which more may depend than is known here: how the request ends, whether the
#: connection lasts, or what is answered.
_SLOW = frozenset(
    {
        b"content-length",
        b"expect",
        b"if-match",
        b"if-unmodified-since",
        b"origin",
        b"prefer",
        b"range",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)


def read_fields(data: bytes, admits: Callable[[bytes], bool]) -> Conditions | None:
    """
    Read the header fields of a GET.

    @param data: everything after the first line.
    @param admits: whether a request with this Host is answered.
    @return: C{None} if it is not to be answered fast.
    """
    found = _FIELDS.fullmatch(data)
    if found is None:
        return None
    hosts: list[bytes] = []
    tags: list[bytes] = []
    for line in found[1].splitlines():
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name == b"host":
            hosts.append(value)
        elif name == b"if-none-match":
            tags.append(value)
        elif name in _SLOW or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
    if len(hosts) != 1 or not admits(hosts[0]):
        return None
    return Conditions(read_known_tags(tags) if tags else None)


class FastAnswers:
    """
    Answers requests of which the answer is ready.

    @ivar given: how many answers were given.
    """

    def __init__(
        self, ready: ReadyAnswers, access: Access, count: Callable[[str, int], None]
    ) -> None:
        """
        @param count: counts an answer, given the name of its route and the status code.
        """
        self.given = 0
        self._ready = ready
        self._count = count
        self._read_fields = lru_cache(REMEMBERED)(lambda data: read_fields(data, access.admits))

    def answer(self, data: bytes) -> bytes | None:
        """
        Find the answer to a request.

        @param data: what has arrived.
        @return: C{None} if it is not one whole request whose answer is ready.
        """
        if data[:4] != b"GET " or len(data) > HEAD_LIMIT:
            return None
        line, _, fields = data.partition(_END_OF_LINE)
        target = line[4:]
        if target not in self._ready:
            return None
        conditions = self._read_fields(fields)
        if conditions is None:
            return None
        found = self._ready.answer(target, conditions)
        if found is None:
            return None
        route, code, answer = found
        self.given += 1
        self._count(route, code)
        return answer


class FastChannel(BoundedChannel):
    """A connection on which the next request may be answered fast."""

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        super().__init__()
        self._descriptor: FileDescriptor | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        # TLS and PROXY have other transports, beneath which nothing may be sent.
        if isinstance(self.transport, FileDescriptor):
            self._descriptor = self.transport

    def dataReceived(self, data: bytes) -> None:
        descriptor, fast = self._descriptor, self.site.fast
        if (
            descriptor is None
            or fast is None
            or not self._rests()
            or has_unsent(descriptor)
            or (answer := fast.answer(data)) is None
        ):
            super().dataReceived(data)
            return
        self.resetTimeout()
        self._answer_size = len(answer)
        # It has not been idle for as long as any other.
        self.site.idle.pop(self, None)
        self.site.idle[self] = None
        _send_now(descriptor, answer)

    def _rests(self) -> bool:
        """Whether all that was received has been answered, and the connection is to last."""
        return (
            self.receiving_since is None
            and self.answering_since is None
            and not (self.paused or self.refused or self._closing or self.site.draining)
        )


def _send_now(descriptor: FileDescriptor, data: bytes) -> None:
    """
    Send data without waiting until the reactor finds that this is possible, which it nearly always
    is. Nothing may be unsent.
    """
    sent = descriptor.writeSomeData(data)
    if not isinstance(sent, int):
        # The connection is lost. The transport will find that out in its own time.
        sent = 0
    if sent < len(data):
        descriptor.write(data[sent:])
