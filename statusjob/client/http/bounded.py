"""
Connections that take in a bounded number of bytes and that close within a bounded time.

Twisted limits the length of one header, but not that of all headers of an answer, and it waits
without end for a peer that does not read or, with TLS, does not agree to close.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from statusjob.client.http.lookups import HostEndpoint, Lookups
from statusjob.failures import ExchangeFailed
from statusjob.tls import TLSPolicy

#: Seconds that a peer has to take unsent bytes and, with TLS, to agree when a connection closes.
CLOSE_GRACE = 1.0


@implementer(IAgentEndpointFactory)
class HostEndpoints:
    """Connects to the host of a URL, with TLS for C{https}."""

    def __init__(
        self,
        reactor: Any,
        policy: IPolicyForHTTPS | None = None,
        lookups: Lookups | None = None,
    ) -> None:
        """
        @param policy: decides which certificates are trusted; by default those that the platform
            trusts.
        @param lookups: looks names up; by default it is shared with nobody.
        """
        self._reactor = reactor
        self._lookups = Lookups() if lookups is None else lookups
        self._policy: Any = TLSPolicy() if policy is None else policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint for an C{http} or C{https} URL."""
        host = uri.host.decode("ascii")
        endpoint = HostEndpoint(self._reactor, self._lookups, host, uri.port)
        if uri.scheme != b"https":
            return endpoint
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)


@implementer(IAgentEndpointFactory)
class BoundedEndpoints:
    """
    Puts bounds around the connections of other endpoints.

    @ivar connections: the connections that are open now.
    """

    def __init__(self, reactor: Any, endpoints: IAgentEndpointFactory, *, limit: int) -> None:
        """
        @param endpoints: make the connections.
        @param limit: most bytes (inside TLS) of all headers of one answer, and most bytes of its
            body on the wire. See L{BoundedConnection.resumeProducing} for longer bodies.
        """
        self.reactor = reactor
        self.limit = limit
        self.connections: set[BoundedConnection] = set()
        self._endpoints: Any = endpoints

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return a bounded endpoint for a URL."""
        return _BoundedEndpoint(self._endpoints.endpointForURI(uri), self)


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    """Puts a L{BoundedConnection} between each connection of an endpoint and its protocol."""

    def __init__(self, endpoint: IStreamClientEndpoint, bounds: BoundedEndpoints) -> None:
        self._endpoint = endpoint
        self._bounds = bounds

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        factory: Any = WrappingFactory(protocolFactory)
        factory.noisy = protocolFactory.noisy = False
        factory.protocol = partial(BoundedConnection, self._bounds)
        connected: Deferred[Any] = self._endpoint.connect(factory)
        return connected.addCallback(lambda connection: connection.wrappedProtocol)


class BoundedConnection(ProtocolWrapper):
    """
    Counts the bytes that arrive on a connection, and aborts it when there are too many.

    It is the transport of the protocol that it wraps. The one who reads a body reaches it as its
    own transport, an C{IPushProducer}.
    """

    _received = 0
    _too_long = False
    _closing: IDelayedCall | None = None

    def __init__(self, bounds: BoundedEndpoints, factory: Any, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self._bounds = bounds

    def connectionMade(self) -> None:
        """Be counted among the open connections."""
        self._bounds.connections.add(self)

    def write(self, data: bytes) -> None:
        """Send a part of a request; the answer to it may have C{limit} bytes."""
        self._received = 0
        super().write(data)

    def writeSequence(self, data: Any) -> None:
        """Send parts of a request; the answer to it may have C{limit} bytes."""
        self._received = 0
        super().writeSequence(data)

    def resumeProducing(self) -> None:
        """
        Reset the byte counter, so that another C{limit} bytes may arrive.

        Twisted calls this once when the body of an answer is to be read. The one who reads a long
        body calls it whenever it has dealt with what arrived.
        """
        self._received = 0
        transport: Any = self.transport
        transport.resumeProducing()

    def stopProducing(self) -> None:
        """Abort the connection: the one who reads the body wants no more of it."""
        self.abortConnection()

    def abortConnection(self) -> None:
        """Close the connection at once, whatever the peer does."""
        self.disconnecting = 1
        transport: Any = self.transport
        transport.abortConnection()

    def loseConnection(self) -> None:
        """Close the connection; abort it if that takes longer than L{CLOSE_GRACE}."""
        super().loseConnection()
        if self.connected and self._closing is None:
            self._closing = self._bounds.reactor.callLater(CLOSE_GRACE, self.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Hand on what arrives, as far as it is within the limit."""
        room = max(self._bounds.limit - self._received, 0)
        self._received += len(data)
        # Bytes within the limit count, however they were cut into pieces on their way.
        super().dataReceived(data[:room])
        if len(data) > room:
            self._too_long = True
            self.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the protocol why the connection is gone."""
        self.connected = 0
        self._bounds.connections.discard(self)
        if self._closing is not None:
            if self._closing.active():
                self._closing.cancel()
            # Our side closed the connection. If a request still waits for its answer, it was
            # Twisted that closed, because of a single header that is too long, and gave no reason.
            # In all other cases the request has been answered or has failed already.
            reason = Failure(ExchangeFailed("too-big", "a longer header than an answer may have"))
        if self._too_long:
            reason = Failure(ExchangeFailed("too-big", "more bytes than an answer may have"))
        super().connectionLost(reason)
