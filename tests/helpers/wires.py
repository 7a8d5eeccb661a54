"""What a poster dials, in memory: what it sends is there to be read, and answers are bytes."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.helpers.messages import Message, Request, read_messages
from tests.helpers.transports import MemoryTransport

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class Wire:
    """
    One connection.

    @ivar aborted: whether the poster cut it.
    """

    def __init__(self, factory: IProtocolFactory) -> None:
        self.transport: Any = MemoryTransport()
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 80))
        self.protocol = protocol
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    @property
    def open(self) -> bool:
        """Whether it is there."""
        return bool(self.transport.connected)

    @property
    def aborted(self) -> bool:
        return bool(self.transport.aborted)

    def sent(self) -> list[Request]:
        """The requests that came since this was last asked."""
        data = self.transport.value()
        self.transport.clear()
        return [_request(first_line, message) for first_line, message in read_messages(data)]

    def answer(self, data: bytes = NO_CONTENT) -> None:
        """The receiver sends."""
        if self.open:
            self.protocol.dataReceived(data)

    def hang_up(self) -> None:
        """The receiver closes."""
        if self.open:
            self.transport.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))


def _request(first_line: str, message: Message) -> Request:
    method, path, version = first_line.split(" ")
    assert version == "HTTP/1.1", first_line
    return Request(method=method, path=path, headers=message.headers, body=message.body)


@implementer(IStreamClientEndpoint)
class Exchange:
    """
    Where a poster dials.

    @ivar dialled: the origins that it wanted, in order.
    @ivar wires: the connections that it got.
    @ivar refusal: what connecting fails with, if it is to fail.
    @ivar held: where connecting takes long: what waits for a connection.
    """

    def __init__(self) -> None:
        self.dialled: list[str] = []
        self.wires: list[Wire] = []
        self.refusal: Exception | None = None
        self.holding = False
        self.held: list[tuple[IProtocolFactory, Deferred[Any]]] = []

    def endpoint(self, origin: str) -> IStreamClientEndpoint:
        """The endpoint for an origin."""
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
        """Whoever waits is connected."""
        for factory, waiting in self.held:
            waiting.callback(self._connect(factory))
        self.held.clear()

    def _connect(self, factory: IProtocolFactory) -> Any:
        self.wires.append(Wire(factory))
        return self.wires[-1].protocol
