"""
TLS to hosts of any name, with the reason when a certificate is refused.

Twisted refuses names that no registry of international names would accept, such as C{my_service},
and of a certificate that is refused it does not tell why.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, platformTrust
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from statusjob.failures import ExchangeFailed

_NOT_YET_VALID, _EXPIRED = 9, 10
#: OpenSSL's numbers of the errors that mean that no chain leads to an authority that is trusted.
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)


@implementer(IPolicyForHTTPS)
class TLSPolicy:
    """Makes TLS connections to hosts with certificates of an authority that is trusted."""

    def __init__(self, trust_root: Any = None) -> None:
        """
        @param trust_root: the authorities that are trusted, as Twisted's C{CertificateOptions}
            takes them; by default those of the platform.
        """
        self._trust_root = trust_root
        self._context: SSL.Context | None = None

    @property
    def context(self) -> SSL.Context:
        """What all connections share. It is made only once, because that reads many files."""
        if self._context is None:
            options = CertificateOptions(trustRoot=self._trust_root or platformTrust())
            self._context = options.getContext()
        return self._context

    def creatorForNetloc(self, hostname: bytes, port: int) -> TLSConnectionCreator:
        """Make connections for a host, which may be an IP address; see C{IPolicyForHTTPS}."""
        return TLSConnectionCreator(self.context, hostname.decode("ascii"))


@implementer(IOpenSSLClientConnectionCreator)
class TLSConnectionCreator:
    """Makes TLS connections to one host, and verifies that its certificate names the host."""

    _log = Logger()

    def __init__(self, context: SSL.Context, host: str) -> None:
        """
        @param context: decides which authorities are trusted.
        @param host: a name in ASCII, or an IP address.
        """
        self._context = context
        self._is_address = isIPAddress(host) or isIPv6Address(host)
        # No certificate names a host with the dot that may end it.
        self._host = host if self._is_address else host.rstrip(".")

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Make a connection for a protocol; see C{IOpenSSLClientConnectionCreator}."""
        connection = SSL.Connection(self._context)
        if not self._is_address:
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        protocol: Any = tlsProtocol

        def verify(_: SSL.Connection, certificate: X509, code: int, depth: int, ok: int) -> bool:
            nonlocal protocol
            refused: str | None
            try:
                refused = self._refusal(certificate, code, depth, bool(ok))
            except Exception:
                # An exception would get lost in OpenSSL.
                self._log.failure("a certificate cannot be verified")
                refused = "the certificate cannot be verified"
            if refused is None:
                return True
            if protocol is not None:
                protocol.failVerification(Failure(ExchangeFailed("tls", refused)))
            # The connection must not refer to the protocol, which refers to it.
            protocol = None
            return False

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection

    def _refusal(self, certificate: X509, code: int, depth: int, ok: bool) -> str | None:
        """Say why a certificate of the chain is refused; C{None} if it is not."""
        if not ok:
            if code == _EXPIRED:
                return "the certificate has expired"
            if code == _NOT_YET_VALID:
                return "the certificate is not valid yet"
            if code in _UNKNOWN_AUTHORITY:
                return "the certificate is of an unknown authority"
            return f"the certificate is not trusted (OpenSSL's error {code})"
        if depth == 0:
            kind = IPAddress_ID if self._is_address else DNS_ID
            try:
                identity: ServiceID = kind(self._host)
                verify_service_identity(extract_patterns(certificate), [identity], [])
            except (VerificationError, ValueError):
                # A ValueError means that no certificate can name the host, such as 2130706433.
                return "the certificate is for another name"
        return None
