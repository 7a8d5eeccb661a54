"""A server in memory that sends to an HTTP client exactly the bytes that a test gives it."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class ByteServer:
    """
    One server for every URL, and the client's end of its latest connection.

    @ivar connected: the number of connections so far.
    @ivar transport: the client's transport.
    """

    def __init__(self) -> None:
        self.connected = 0

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return cast(IStreamClientEndpoint, self)

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.connected += 1
        self.protocol = protocolFactory.buildProtocol(None)
        self.transport = StringTransport(lenient=True)
        self.protocol.makeConnection(self.transport)
        return succeed(self.protocol)

    def send(self, data: bytes) -> None:
        """Let bytes arrive at the client."""
        self.protocol.dataReceived(data)

    def close(self) -> None:
        """Tell the client that the connection is gone, for the reason that the client gave."""
        aborted = self.transport.disconnected
        self.protocol.connectionLost(Failure(ConnectionAborted() if aborted else ConnectionDone()))
