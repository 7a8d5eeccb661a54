"""Transports in memory."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
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

    def unregisterProducer(self) -> None:
        self.producer = None
