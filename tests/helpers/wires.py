"""Connections in memory for a poster: tests read what it sends, and answer with bytes."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.helpers.messages import Message, Request, read_messages
from tests.helpers.transports import MemoryConnection

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class Wire(MemoryConnection):
    """One connection of a poster, as its receiver sees it."""

    def __init__(self, factory: IProtocolFactory) -> None:
        super().__init__(factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 80)))

    def sent(self) -> list[Request]:
        """Give the requests that arrived since the last call."""
        data = self.transport.value()
        self.transport.clear()
        return [_request(first_line, message) for first_line, message in read_messages(data)]

    def answer(self, data: bytes = NO_CONTENT) -> None:
        """Let the receiver send these bytes."""
        if self.open:
            self.protocol.dataReceived(data)

    def hang_up(self) -> None:
        """Let the receiver close the connection."""
        if self.open:
            self.transport.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))


def _request(first_line: str, message: Message) -> Request:
    method, path, version = first_line.split(" ")
    assert version == "HTTP/1.1", first_line
    return Request(method=method, path=path, headers=message.headers, body=message.body)


@implementer(IStreamClientEndpoint)
class Network:
    """
    Makes the connections of a poster.

    @ivar dialled: the origins that the poster dialled, in order.
    @ivar wires: the connections that it got, in order.
    @ivar refusal: the error with which connecting fails; C{None} if it succeeds.
    @ivar holding: whether connecting takes until L{let_connect}.
    @ivar held: the factories that wait for a connection, each with the Deferred that they wait on.
    """

    def __init__(self) -> None:
        self.dialled: list[str] = []
        self.wires: list[Wire] = []
        self.refusal: Exception | None = None
        self.holding = False
        self.held: list[tuple[IProtocolFactory, Deferred[Any]]] = []

    def endpoint(self, origin: str) -> IStreamClientEndpoint:
        """Give the endpoint for an origin, which is always this object."""
        self.dialled.append(origin)
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        if self.refusal is not None:
            return fail(self.refusal)
        if self.holding:
            waiting: Deferred[Any] = Deferred()
            self.held.append((protocolFactory, waiting))
            return waiting
        return succeed(self._connect(protocolFactory))

    def let_connect(self) -> None:
        """Connect all those who wait."""
        for factory, waiting in self.held:
            waiting.callback(self._connect(factory))
        self.held.clear()

    def _connect(self, factory: IProtocolFactory) -> Any:
        self.wires.append(Wire(factory))
        return self.wires[-1].protocol
