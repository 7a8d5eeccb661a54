"""TLS to receivers: hosts of any name, and why a connection is not trusted."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from twisted.internet import ssl
from twisted.internet.defer import succeed
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.web.iweb import IPolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from statusjob.server.delivery.attempt import make_attempt
from statusjob.server.delivery.guard import Guard, GuardedEndpoints
from statusjob.server.delivery.poster import Poster
from statusjob.server.delivery.resolver import Resolver
from statusjob.server.store.outbox_settle import Outcome
from statusjob.tls import TLSPolicy
from tests.helpers.core import a_claim
from tests.helpers.sockets import SocketTestCase, reactor

KEY = ec.generate_private_key(ec.SECP256R1())
DAY = timedelta(days=1)


def certificate(host: str, *, begin: timedelta = -DAY, end: timedelta = DAY) -> x509.Certificate:
    """Make a certificate that signs itself, valid from and to these times from now."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(name, name, KEY.public_key(), x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(KEY, hashes.SHA256())
    )


class Receiver(Resource):
    """Answers every request with 200."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        return b""


class Plain(Protocol):
    """Answers without TLS."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class TLSTestCase(SocketTestCase):
    """A receiver with TLS on loopback, to which every name leads."""

    def receive(self, given: x509.Certificate, **options: Any) -> None:
        """Serve with a certificate, and trust it."""
        root = ssl.Certificate.loadPEM(given.public_bytes(Encoding.PEM))
        self.policy = TLSPolicy(ssl.trustRootFromCertificates([root]))
        options = {"privateKey": KEY, "certificate": cast(Any, given), **options}
        site = Site(Receiver())
        site.noisy = False
        port = reactor.listenSSL(0, site, ssl.CertificateOptions(**options), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port

    async def attempt(self, host: str, policy: TLSPolicy | None = None) -> Outcome:
        guard = Guard(
            reactor, Resolver(lambda name: succeed(["127.0.0.1"])), [ip_network("127.0.0.0/8")]
        )
        endpoints = GuardedEndpoints(reactor, guard, policy=policy or self.policy)
        poster = Poster(reactor, endpoints.endpoint)
        try:
            claim = a_claim(f"https://{host}:{self.port}/")
            return await make_attempt(claim, poster=poster, now=reactor.seconds)
        finally:
            await poster.stop()

    async def refusal(self, host: str = "a.example", policy: TLSPolicy | None = None) -> str:
        outcome = await self.attempt(host, policy)
        self.assertEqual(outcome.kind, "tls")
        return str(outcome.detail)


class NameTests(TLSTestCase):
    """The certificate must name the host, whatever the name looks like."""

    async def test_hosts_with_names_that_twisted_refuses_are_reached(self) -> None:
        for host in ("my_service", "docker_api_1.docker_default", "ab--cd.example"):
            self.receive(certificate(host))
            self.assertEqual((await self.attempt(host)).kind, "ok", host)

    async def test_a_certificate_for_another_name_is_refused(self) -> None:
        for host, other in (
            ("my_service", "your_service"),
            ("my_service", "my-service"),
            ("a_b.example", "*.other.example"),
            ("a.example", "b.example"),
            ("127.0.0.1", "a.example"),
            ("2130706433", "a.example"),
        ):
            self.receive(certificate(other))
            self.assertEqual(await self.refusal(host), "the certificate is for another name")

    async def test_a_dot_at_the_end_of_the_host_is_in_no_certificate(self) -> None:
        self.receive(certificate("a.example"))
        self.assertEqual((await self.attempt("a.example.")).kind, "ok")

    def test_the_policy_and_its_creators_provide_the_interfaces_of_twisted(self) -> None:
        policy = TLSPolicy()
        verifyObject(IPolicyForHTTPS, policy)
        creator = policy.creatorForNetloc(b"my_service", 443)
        verifyObject(IOpenSSLClientConnectionCreator, creator)


class ReasonTests(TLSTestCase):
    """Why there is no trusted connection."""

    async def test_a_certificate_that_has_expired(self) -> None:
        self.receive(certificate("a.example", begin=-3 * DAY, end=-2 * DAY))
        self.assertEqual(await self.refusal(), "the certificate has expired")

    async def test_a_certificate_that_is_not_valid_yet(self) -> None:
        self.receive(certificate("a.example", begin=DAY, end=2 * DAY))
        self.assertEqual(await self.refusal(), "the certificate is not valid yet")

    async def test_an_authority_that_is_unknown(self) -> None:
        self.receive(certificate("a.example"))
        refused = await self.refusal(policy=TLSPolicy())
        self.assertEqual(refused, "the certificate is of an unknown authority")

    async def test_ssl_cert_file_names_authorities_that_are_trusted(self) -> None:
        given = certificate("a.example")
        self.receive(given)
        path = self.mktemp()
        Path(path).write_bytes(given.public_bytes(Encoding.PEM))
        with patch.dict(os.environ, SSL_CERT_FILE=path):
            self.assertEqual((await self.attempt("a.example", TLSPolicy())).kind, "ok")

    async def test_a_version_of_tls_that_is_too_old(self) -> None:
        self.receive(
            certificate("a.example"),
            insecurelyLowerMinimumTo=ssl.TLSVersion.TLSv1_0,
            lowerMaximumSecurityTo=ssl.TLSVersion.TLSv1_1,
        )
        self.assertIn("version of TLS", await self.refusal())

    async def test_a_port_without_tls(self) -> None:
        self.receive(certificate("a.example"))
        port = reactor.listenTCP(0, Factory.forProtocol(Plain), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        self.assertEqual(await self.refusal(), "the host does not speak TLS")
