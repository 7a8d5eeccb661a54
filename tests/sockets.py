"""Real loopback sockets for tests: servers that misbehave, and a proof that nothing stays open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor as _reactor
from twisted.internet import ssl
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolFactory, IPullProducer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer

reactor: Any = _reactor

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#: What a server does with a connection once a request has come.
Behaviour = Callable[[Any], None]


def silent(transport: Server) -> None:
    """Accept, and never answer."""


def reset_in_mid_answer(transport: Server) -> None:
    """Promise 100 bytes, send a few and reset the connection."""
    transport.write(HEAD + b'Content-Length: 100\r\n\r\n{"resu')
    reactor.callLater(0.01, transport.abortConnection)


def hang_in_mid_answer(transport: Server) -> None:
    """Promise 100 bytes, send a few and fall silent."""
    transport.write(HEAD + b'Content-Length: 100\r\n\r\n{"resu')


def endless(transport: Server) -> None:
    """Never come to the end of the body."""
    transport.write(HEAD + b"\r\n")
    transport.registerProducer(_Flood(transport), False)


def gibberish(transport: Server) -> None:
    """Speak no HTTP."""
    transport.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


@implementer(IPullProducer)
class _Flood:
    """Has always more to say."""

    def __init__(self, transport: Server) -> None:
        self._transport = transport

    def resumeProducing(self) -> None:
        self._transport.write(b" " * 4096)

    def stopProducing(self) -> None:
        """The connection is gone."""


class _Misbehaviour(Protocol):
    factory: Misbehaving

    def connectionMade(self) -> None:
        self.factory.connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        self.factory.requests += 1
        self.factory.behaviour(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.connections.discard(self)
        if not self.factory.connections and self.factory.emptied is not None:
            self.factory.emptied.callback(None)


class Misbehaving(ServerFactory):
    """A server that treats every request in one bad way."""

    noisy = False

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.connections: set[Protocol] = set()
        self.emptied: Deferred[None] | None = None
        self.requests = 0

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        protocol = _Misbehaviour()
        protocol.factory = self
        return protocol

    def deserted(self) -> Deferred[None]:
        """Fires once no connection is open; fails if that does not come soon."""
        self.emptied = Deferred()
        if not self.connections:
            self.emptied.callback(None)
        return self.emptied.addTimeout(3, reactor)


class SocketTestCase(TestCase):
    """Listens on loopback; trial's own check then shows that no socket and no timer stays."""

    timeout = 20

    def misbehaving(self, behaviour: Behaviour) -> tuple[str, Misbehaving]:
        """A server that misbehaves: its base URL, and itself."""
        factory = Misbehaving(behaviour)
        return self.listen(factory), factory

    def serve(self, resource: IResource, interface: str = "127.0.0.1") -> str:
        """A proper server of one resource: its base URL."""
        site = Site(resource)
        site.noisy = False
        return self.listen(site, interface)

    def listen(self, factory: IProtocolFactory, interface: str = "127.0.0.1") -> str:
        """Listen on a free port, until the test is over; say the base URL."""
        port = reactor.listenTCP(0, factory, interface=interface)
        self.addCleanup(port.stopListening)
        host = f"[{interface}]" if ":" in interface else interface
        return f"http://{host}:{port.getHost().port}"

    async def closed_port(self) -> str:
        """A base URL at which nobody listens."""
        port = reactor.listenTCP(0, ServerFactory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        return f"http://127.0.0.1:{number}"


def self_signed(host: str) -> ssl.CertificateOptions:
    """A server's options, with a certificate for a host that only itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    is_address = isIPAddress(host) or isIPv6Address(host)
    general = x509.IPAddress(ip_address(host)) if is_address else x509.DNSName(host)
    alternative = x509.SubjectAlternativeName([general])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    # pyOpenSSL warns of its own wrappers, which is all that Twisted's signature knows.
    return ssl.CertificateOptions(
        privateKey=cast(Any, key),
        certificate=cast(Any, certificate),
    )
