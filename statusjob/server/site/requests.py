"""
Requests, with bounds on their bodies. A body is kept in memory, never in a temporary file.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING

from twisted.web.server import Request

from statusjob.contract.codec import BODY_LIMIT
from statusjob.server.web.access import host_of
from statusjob.server.web.problems import Problem

if TYPE_CHECKING:
    from statusjob.server.site.channels import BoundedChannel

#: Most bytes of all bodies that are being received at the same time.
BODIES_LIMIT = 64 * BODY_LIMIT

#: A request target in absolute form: its authority, and its path with the query.
_ABSOLUTE = re.compile(rb"\Ahttps?://([^/?]*)/?(.*)\Z", re.IGNORECASE | re.DOTALL)


class Bodies:
    """The bodies that are being received, by their connections."""

    def __init__(self) -> None:
        # In the order in which they began to arrive.
        self._sizes: dict[BoundedChannel, int] = {}
        self.size = 0

    def add(self, channel: BoundedChannel, size: int) -> None:
        """
        Note that a part of a body has arrived. If all bodies together are too large, refuse those
        that have been arriving for the longest time: a client that stops sending in the middle
        must not keep others from being heard.

        @param size: the number of bytes.
        """
        self._sizes[channel] = self._sizes.get(channel, 0) + size
        self.size += size
        while self.size > BODIES_LIMIT:
            oldest = next(iter(self._sizes))
            oldest.site.limits.note("bodies")
            oldest.refuse(
                Problem(
                    "unavailable", "too many bodies are being sent", headers={"retry-after": "1"}
                )
            )

    def remove(self, channel: BoundedChannel) -> None:
        """Note that a body is not being received any more."""
        self.size -= self._sizes.pop(channel, 0)


class BoundedRequest(Request):
    """A request whose body is bounded."""

    channel: BoundedChannel

    def __init__(self, channel: BoundedChannel, *args: object) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self._site = channel.site
        self._received = 0

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > BODY_LIMIT:
            self.channel.refuse_body()
        elif not self.channel.refused:
            if self._received != self.channel.length:
                # It is not complete yet.
                self._site.bodies.add(self.channel, len(data))
            if not self.channel.refused:
                super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        absolute = _ABSOLUTE.match(path)
        if absolute is not None:
            # The authority counts then, not the Host header. This must be valid all the same (RFC
            # 9112 3.2).
            path = b"/" + absolute[2]
            given = self.requestHeaders.hasHeader(b"host")
            if host_of(self) is not None or not (given or version == b"HTTP/1.1"):
                self.requestHeaders.setRawHeaders(b"host", [absolute[1]])
        elif path == b"*":
            # Twisted would answer this without any check.
            path = b"/" if command == b"OPTIONS" else b"/*"
        super().requestReceived(command, path, version)

    def getRequestHostname(self) -> bytes:
        # Klein asks for this, but no route depends on it. Twisted fails on a UNIX socket.
        return b"localhost"

    def write(self, data: bytes) -> None:
        if not self.startedWriting and self.channel is not None:
            if self.code == 204:
                # It must not have one (RFC 9110 8.6).
                self.responseHeaders.removeHeader(b"content-length")
            if self._site.draining:
                self.setHeader(b"connection", b"close")
                self.channel.persistent = False
        super().write(data)

    def finish(self) -> None:
        if self._site.draining and self.channel is not None:
            # The answer may have begun before the server was stopped, as that of a stream does.
            self.channel.persistent = False
        super().finish()
