"""Real loopback sockets for tests; trial's own check then shows that no socket and timer stays."""

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
    """Listens on loopback, until the test is over."""

    timeout = 60

    def misbehaving(self, mode: Mode, *then: Mode) -> tuple[str, HostileReceiver]:
        """A server that misbehaves: its base URL, and itself."""
        receiver = HostileReceiver(reactor, mode, *then)
        return self.listen(receiver), receiver

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

    def listen_tls(self, factory: IProtocolFactory, address: str = "127.0.0.1") -> str:
        """The same with TLS, and a self-signed certificate for some address."""
        options = self_signed_options(address)
        port = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"https://127.0.0.1:{port.getHost().port}"

    async def closed_port(self) -> str:
        """A base URL at which nobody listens."""
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

    @ivar port: where it is.
    """

    def __init__(self) -> None:
        # Bound, so that nobody else gets the port, and not listening.
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    async def revive(self, site: Site) -> Any:
        """Serve properly from now on: the port to stop listening on."""
        self._socket.listen(128)
        self._socket.setblocking(False)
        port = reactor.adoptStreamPort(self._socket.fileno(), socket.AF_INET, site)
        self._socket.close()
        return port


def open_sockets(port: int) -> int:
    """How many connections somebody on this machine has, or is opening, to a port (on Linux)."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    # The other end, the state (not TIME_WAIT) and the inode (none once nobody has it open).
    return sum(each[2].endswith(wanted) and each[3] != "06" and each[9] != "0" for each in fields)


@implementer(IPolicyForHTTPS)
class Trusting:
    """Trusts the certificate of C{listen_tls}, and no other."""

    def __init__(self) -> None:
        certificate: Any = self_signed_options("127.0.0.1").certificate
        pem = ssl.Certificate.loadPEM(certificate.public_bytes(Encoding.PEM))
        self._root = ssl.trustRootFromCertificates([pem])

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return ssl.optionsForClientTLS(hostname.decode(), self._root)
