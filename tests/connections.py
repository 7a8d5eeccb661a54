"""Connections to a site in memory: what is sent by hand comes back as bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.web.server import Site


@dataclass(frozen=True)
class Raw:
    """One answer as it came over the wire; header names in lower case."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class _Transport(StringTransportWithDisconnection):
    """
    Says, as real ones do, that it is being closed, and how.

    @ivar stalled: whether its client does not read, which closing waits for and aborting does not.
    """

    aborting = False
    stalled = False

    def loseConnection(self) -> None:
        self.disconnecting = True
        if not self.stalled:
            super().loseConnection()

    def abortConnection(self) -> None:
        self.aborting = True
        super().loseConnection()

    def unregisterProducer(self) -> None:
        self.producer = None


class Connection:
    """A client's connection."""

    def __init__(self, site: Site, host: IAddress | None = None) -> None:
        """
        @param host: the server's end, if that matters.
        """
        self.transport: Any = _Transport(hostAddress=host, peerAddress=host)
        self.protocol = site.buildProtocol(None)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    @property
    def open(self) -> bool:
        """Whether the server has not closed it."""
        return bool(self.transport.connected)

    @property
    def aborted(self) -> bool:
        """Whether the server closed it without waiting for what is unsent."""
        return bool(self.transport.aborting)

    def send(self, data: bytes) -> None:
        """The client sends."""
        self.protocol.dataReceived(data)

    def ask(self, first_line: str, *headers: str, body: bytes = b"") -> None:
        """Send a request."""
        lines = [f"{first_line} HTTP/1.1", "Host: localhost", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def hang_up(self) -> None:
        """The client closes."""
        self.transport.loseConnection()

    def received(self) -> bytes:
        """What came since this was last asked."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def answers(self) -> list[Raw]:
        """The answers that came since this was last asked, each with a Content-Length or none."""
        rest, answers = self.received(), []
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            pairs = [line.split(": ", 1) for line in lines]
            headers = {name.lower(): value for name, value in pairs}
            length = int(headers.get("content-length", 0))
            answers.append(Raw(int(first.split()[1]), headers, rest[:length]))
            rest = rest[length:]
        return answers

    def answer(self) -> Raw:
        """The one answer that came."""
        (answer,) = self.answers()
        return answer
