"""Connections of clients to a site in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.web.server import Site

from tests.helpers.messages import Reply, read_head, read_messages, request_bytes
from tests.helpers.transports import MemoryConnection


@dataclass(frozen=True)
class Event:
    """An event of a stream."""

    type: str
    data: Any
    id: str | None = None


class Connection(MemoryConnection):
    """The connection of a client to a site."""

    def __init__(self, site: Site, address: IAddress | None = None) -> None:
        """
        @param address: the address of both ends, where that matters.
        """
        super().__init__(site.buildProtocol(None), address)

    def send(self, data: bytes) -> None:
        """Send bytes to the server."""
        self.protocol.dataReceived(data)

    def ask(self, first_line: str, *headers: str, body: bytes = b"") -> None:
        """Send a request."""
        self.send(request_bytes(first_line, *headers, body=body))

    def hang_up(self) -> None:
        """Close the connection, as the client."""
        self.transport.loseConnection()

    def received(self) -> bytes:
        """Take the bytes that have come."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def answers(self) -> list[Reply]:
        """Take the answers that have come. Each has a C{Content-Length} or no body."""
        return [
            Reply(code=int(first_line.split()[1]), headers=message.headers, body=message.body)
            for first_line, message in read_messages(self.received())
        ]

    def answer(self) -> Reply:
        """Take the one answer that has come."""
        (answer,) = self.answers()
        return answer


class Following:
    """
    A client that follows a stream.

    @ivar head: the beginning of the answer; C{None} before it has come, and for a refusal.
    @ivar refusal: the answer, if it is not a stream.
    @ivar comments: how many heartbeats have come.
    @ivar retry: the milliseconds after which the client is to reconnect.
    @ivar ended: whether the answer has ended properly.
    """

    def __init__(self, site: Site, path: str, *headers: str) -> None:
        self.connection = Connection(site)
        self.head: Reply | None = None
        self.refusal: Reply | None = None
        self.comments = 0
        self.retry = 0
        self.ended = False
        self._received = b""
        self._text = b""
        self.connection.ask(f"GET {path}", *headers)

    @property
    def open(self) -> bool:
        """Whether the server may send more."""
        self._read()
        return self.connection.open and not self.ended

    def events(self) -> list[Event]:
        """Take the events that have come."""
        self._read()
        *blocks, self._text = self._text.split(b"\n\n")
        return [self._event(block.decode()) for block in blocks]

    def versions(self) -> list[int]:
        """Take the versions of the events that have come."""
        return [event.data["version"] for event in self.events()]

    def _event(self, block: str) -> Event:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert fields.keys() - {"id"} == {"event", "data"}, block
        return Event(fields["event"], json.loads(fields["data"]), fields.get("id"))

    def _read(self) -> None:
        self._received += self.connection.received()
        if self.head is None and self.refusal is None and self._received:
            self._read_head()
        while self.head is not None and not self.ended and b"\r\n" in self._received:
            size, _, rest = self._received.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self._take(rest[:length])
            self._received = rest[length + 2 :]
            self.ended = length == 0

    def _take(self, chunk: bytes) -> None:
        """Take one write of the server: a comment, the time to reconnect, or an event."""
        if chunk == b":\n":
            self.comments += 1
        elif chunk.startswith(b"retry: "):
            line, _, rest = chunk.partition(b"\n")
            self.retry = int(line[7:])
            self._text += rest
        else:
            self._text += chunk

    def _read_head(self) -> None:
        first_line, headers, rest = read_head(self._received)
        code = int(first_line.split()[1])
        if headers.get("content-type") == "text/event-stream":
            assert headers["transfer-encoding"] == "chunked"
            self.head = Reply(code=code, headers=headers, body=b"")
            self._received = rest
        else:
            self.refusal = Reply(code=code, headers=headers, body=rest)
