"""Sockets in memory: real descriptors of Twisted, whose other end reads as a test says."""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.web.server import Site


class MemorySocket(FileDescriptor):
    """
    A server's end of a connection, and what its client does at the other.

    @ivar received: what the client has received, and at last how the connection ended.
    @ivar window: how many bytes the client takes until it reads again; C{None} for any number.
    @ivar broken: whether the connection is lost, which nobody has noticed yet.
    """

    def __init__(self, site: Site, clock: MemoryReactorClock) -> None:
        super().__init__(clock)
        self.received = b""
        self.window: int | None = None
        self.broken = False
        self._clock = clock
        self._sent = b""
        self._sends_no_more = False
        self.connected = 1
        self.startReading()
        self.protocol: Any = site.buildProtocol(None)
        self.protocol.makeConnection(self)

    def send(self, data: bytes) -> None:
        """Send bytes to the server, as the client."""
        self._sent += data
        self.settle()

    def read(self, size: int | None = None) -> None:
        """
        Read what the server sends, as the client.

        @param size: how many bytes; C{None} for all from now on.
        """
        self.window = size
        self.settle()

    def send_no_more(self) -> None:
        """Close the client's half of the connection."""
        self._sends_no_more = True
        self.settle()

    def reset(self) -> None:
        """Lose the connection, as if the client had reset it."""
        if self.connected:
            self.connectionLost(Failure(ConnectionLost()))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in steps of a second at most."""
        while seconds > 0:
            self._clock.advance(min(1.0, seconds))
            seconds -= 1.0
            self.settle()

    def settle(self) -> None:
        """Do what a reactor does until there is nothing left to do at this time."""
        before = None
        while before != (before := (self._sent, self.received, self.connected)):
            if self.connected and self in self._clock.getReaders():
                self._deliver()
            self.send_unsent()
            self._clock.advance(0)

    def send_unsent(self) -> None:
        """Send what the server has written, and close the connection if it is to be closed."""
        if self.connected and self in self._clock.getWriters():
            error = self.doWrite()
            if error is not None:
                self.connectionLost(Failure(error))

    def _deliver(self) -> None:
        if self._sent:
            data, self._sent = self._sent, b""
            self.protocol.dataReceived(data)
        elif self._sends_no_more:
            self._sends_no_more = False
            self.stopReading()
            self.protocol.readConnectionLost()

    def writeSomeData(self, data: bytes) -> int | BaseException:
        if self.broken:
            return CONNECTION_LOST
        taken = len(data) if self.window is None else min(self.window, len(data))
        if self.window is not None:
            self.window -= taken
        self.received += data[:taken]
        return taken

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.received += b"<closed>" if reason.check(ConnectionDone) else b"<lost>"
        self.protocol.connectionLost(reason)

    def abortConnection(self) -> None:
        """Close at once, as the server."""
        self.disconnecting = True
        self.stopReading()
        self.stopWriting()
        self._clock.callLater(0, self._abort)

    def _abort(self) -> None:
        if self.connected:
            self.connectionLost(Failure(ConnectionAborted()))

    def getPeer(self) -> None:
        return None

    def getHost(self) -> None:
        return None
