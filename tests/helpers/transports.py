"""Transports and connections in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure


class MemoryTransport(StringTransportWithDisconnection):
    """
    A transport that can be closed in every way in which a real one can.

    @ivar aborted: whether it was closed without waiting for what is unsent.
    @ivar stalled: whether the other end does not read. Closing waits for that, aborting does not.
    """

    aborted = False
    stalled = False

    def loseConnection(self) -> None:
        self.disconnecting = True
        if not self.stalled:
            super().loseConnection()

    def abortConnection(self) -> None:
        self.aborted = True
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionLost()))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing: what is written arrives at once."""

    def unregisterProducer(self) -> None:
        self.producer = None


class MemoryConnection:
    """
    A connection to a protocol of the product.

    @ivar transport: the transport of that protocol.
    """

    def __init__(self, protocol: Any, address: IAddress | None = None) -> None:
        """
        @param address: the address of both ends, where that matters.
        """
        self.transport: Any = MemoryTransport(hostAddress=address, peerAddress=address)
        self.transport.protocol = self.protocol = protocol
        protocol.makeConnection(self.transport)

    @property
    def open(self) -> bool:
        """Whether the connection is open."""
        return bool(self.transport.connected)

    @property
    def aborted(self) -> bool:
        """Whether the protocol closed it without waiting until everything was sent."""
        return bool(self.transport.aborted)
