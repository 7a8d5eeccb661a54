"""Servers on loopback sockets. trial fails a test that leaves a socket or a timer behind."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor as _reactor
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IProtocolFactory
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.iweb import IPolicyForHTTPS
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer

from statusjob.testing import HostileReceiver, Mode, self_signed_options

reactor: Any = _reactor


class SocketTestCase(TestCase):
    """Tests that listen on loopback addresses."""

    timeout = 60

    def misbehaving(self, mode: Mode, *then: Mode) -> tuple[str, HostileReceiver]:
        """Start a server that misbehaves; return its base URL and the server."""
        receiver = HostileReceiver(reactor, mode, *then)
        return self.listen(receiver), receiver

    def serve(self, resource: IResource, interface: str = "127.0.0.1") -> str:
        """Serve a resource, and return the base URL."""
        site = Site(resource)
        site.noisy = False
        return self.listen(site, interface)

    def listen(self, factory: IProtocolFactory, interface: str = "127.0.0.1") -> str:
        """Listen on a free port until the test is over, and return the base URL."""
        port = reactor.listenTCP(0, factory, interface=interface)
        self.addCleanup(port.stopListening)
        host = f"[{interface}]" if ":" in interface else interface
        return f"http://{host}:{port.getHost().port}"

    def listen_tls(self, factory: IProtocolFactory, address: str = "127.0.0.1") -> str:
        """Listen likewise, with TLS and a self-signed certificate for an address."""
        options = self_signed_options(address)
        port = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"https://127.0.0.1:{port.getHost().port}"

    async def closed_port(self) -> str:
        """Return a base URL at which nothing listens."""
        port = reactor.listenTCP(0, ServerFactory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        return f"http://127.0.0.1:{number}"


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds. The time-out of the test limits how long that may take."""
    while not condition():
        await deferLater(reactor, 0.01)


class Refusing:
    """
    An origin that refuses connections, until it is revived.

    @ivar port: the number of its port.
    """

    def __init__(self) -> None:
        # It is bound, so that no other process gets the port, but does not listen.
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    async def revive(self, site: Site) -> Any:
        """Serve a site from now on, and return the port, which the caller must close."""
        self._socket.listen(128)
        self._socket.setblocking(False)
        port = reactor.adoptStreamPort(self._socket.fileno(), socket.AF_INET, site)
        self._socket.close()
        return port


def open_sockets(port: int) -> int:
    """Return how many connections to a port are open or being opened on this machine (Linux)."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    # The fields are the other end, the state (06 is TIME_WAIT) and the inode (0 if no process
    # has it open).
    return sum(each[2].endswith(wanted) and each[3] != "06" and each[9] != "0" for each in fields)


@implementer(IPolicyForHTTPS)
class Trusting:
    """A policy that trusts the certificate of L{SocketTestCase.listen_tls} and no other."""

    def __init__(self) -> None:
        certificate: Any = self_signed_options("127.0.0.1").certificate
        pem = ssl.Certificate.loadPEM(certificate.public_bytes(Encoding.PEM))
        self._root = ssl.trustRootFromCertificates([pem])

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return ssl.optionsForClientTLS(hostname.decode(), self._root)
